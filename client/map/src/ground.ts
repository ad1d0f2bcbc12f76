// Land and borders, from the outlines that come with the map.
import type { Feature, MultiLineString, MultiPolygon, Polygon, Position } from "geojson";
import { feature, mesh } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import { readOutlines } from "./host.js";

export interface Ground {
  readonly land: Feature<MultiPolygon>;
  /** Coasts and borders, each once. */
  readonly lines: Feature<MultiLineString>;
}

/** From this zoom on the coarse outlines look it. */
export const FINE_FROM = 2.2;

export async function loadGround(isFine: boolean, signal: AbortSignal): Promise<Ground> {
  return groundOf(JSON.parse(await readOutlines(isFine, signal)) as Atlas);
}

export type Atlas = Topology<{ land: GeometryCollection; countries: GeometryCollection }>;

export function groundOf(atlas: Atlas): Ground {
  const polygons = feature(atlas, atlas.objects.land).features.flatMap(({ geometry }) => {
    const { type, coordinates } = geometry as Polygon | MultiPolygon;
    return type === "Polygon" ? [coordinates] : coordinates;
  });
  const { coordinates: lines } = mesh(atlas, atlas.objects.countries);
  return {
    land: { type: "Feature", properties: {}, geometry: { type: "MultiPolygon", coordinates: polygons.map((rings) => rings.filter(isSeen).map(closed)) } },
    lines: { type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates: lines.map(unrolled) } },
  };
}

/** A line that goes on past 180° where it crosses the antimeridian; the outlines jump to the other side there. */
function unrolled(line: readonly Position[]): Position[] {
  let turn = 0;
  return line.map(([longitude, latitude], i) => {
    const step = i ? longitude! - line[i - 1]![0]! : 0;
    if (Math.abs(step) > 180) turn -= Math.sign(step) * 360;
    return [longitude! + turn, latitude!];
  });
}

/** The same of a ring; the one around the south pole is closed along it. */
function closed(ring: readonly Position[]): Position[] {
  const line = unrolled(ring);
  const [first, last] = [line[0]!, line.at(-1)!];
  return first[0] === last[0] ? line : [...line, [last[0]!, -90], [first[0]!, -90], first];
}

/** Not the hole that is left open at the pole itself. */
function isSeen(ring: readonly Position[]): boolean {
  return ring.some(([, latitude]) => latitude! > -89);
}
