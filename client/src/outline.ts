import { cellToBoundary } from "h3-js";
import type { MultiPolygon, Polygon, Position } from "./geojson.js";

/**
 * A cell as GeoJSON (RFC 7946): counterclockwise, cut at the antimeridian, and around a pole closed along the map's rim.
 *
 * The same cut as `core/src/geo/outline.rs`, which draws for SQL and tiles; a page has only this one. The test "GeoJSON is that of
 * SQL, corners to a billionth of a degree" in `client/test/e2e/relay.test.ts` holds them together.
 */
export function outline(h3Index: string): Polygon | MultiPolygon {
  const ring = cellToBoundary(h3Index) as [lat: number, lng: number][];
  // Each longitude within half a turn of the one before; all the way round that adds up to 0, or to ±360 about a pole.
  let turns = 0;
  const flat = ring.map(([lat, lng], i): Position => {
    if (i > 0) turns += turn(ring[i - 1]![1], lng);
    return [lng + turns, lat];
  });
  turns += turn(ring.at(-1)![1], ring[0]![1]);
  if (turns) return polygon(aroundPole(flat, turns));
  const lngs = flat.map((point) => point[0]!);
  const side = Math.max(...lngs) > 180 ? 180 : Math.min(...lngs) < -180 ? -180 : 0;
  if (!side) return polygon(flat);
  const inside = clip(flat, side, (lng) => lng * side <= side * side);
  const beyond = clip(flat, side, (lng) => lng * side >= side * side).map(([lng, lat]): Position => [lng! - 2 * side, lat!]);
  const rings = side > 0 ? [inside, beyond] : [beyond, inside];
  return { type: "MultiPolygon", coordinates: rings.map((part) => [closed(part)]) };
}

function polygon(ring: Position[]): Polygon {
  return { type: "Polygon", coordinates: [closed(ring)] };
}

function closed(ring: Position[]): Position[] {
  return [...ring, ring[0]!];
}

/** The turn to add to the longitudes that follow, so that the step is the short way round. */
function turn(from: number, to: number): number {
  return to - from > 180 ? -360 : to - from < -180 ? 360 : 0;
}

/** The part of a ring on one side of a meridian. */
function clip(ring: Position[], meridian: number, isIn: (lng: number) => boolean): Position[] {
  return ring.flatMap((here, i) => {
    const next = ring[(i + 1) % ring.length]!;
    const kept = isIn(here[0]!) ? [here] : [];
    const isOn = here[0] === meridian || next[0] === meridian;
    return !isOn && isIn(here[0]!) !== isIn(next[0]!) ? [...kept, crossing(here, next, meridian)] : kept;
  });
}

/** From one side of the map to the other, then back along the pole. */
function aroundPole(flat: Position[], turns: number): Position[] {
  const side = Math.sign(turns) * 180;
  const ahead = (lng: number) => (lng - side) * side >= 0;
  // A copy one turn on: between the two lies exactly one crossing of the map's far side, whatever the ring starts with.
  const thrice = [-turns, 0, turns].flatMap((by) => flat.map(([lng, lat]): Position => [lng! + by, lat!]));
  const line: Position[] = [];
  for (let i = 0; i + 1 < thrice.length; i++) {
    const [here, next] = [thrice[i]!, thrice[i + 1]!];
    for (const edge of [-side, side]) {
      if ((here[0]! - edge) * side < 0 && (next[0]! - edge) * side >= 0) line.push(crossing(here, next, edge));
    }
    if ((next[0]! + side) * side > 0 && !ahead(next[0]!)) line.push(next);
  }
  const pole = Math.sign(turns) * 90;
  return [...line, [side, pole], [-side, pole]];
}

/** Where the great circle through two points crosses a meridian: edges of cells are arcs of great circles. */
function crossing(from: Position, to: Position, meridian: number): Position {
  const radians = (degrees: number) => (degrees * Math.PI) / 180;
  const [a, b] = [radians(from[0]! - meridian), radians(to[0]! - meridian)];
  const tangent = (Math.tan(radians(from[1]!)) * Math.sin(b) - Math.tan(radians(to[1]!)) * Math.sin(a)) / Math.sin(b - a);
  return [meridian, (Math.atan(tangent) * 180) / Math.PI];
}
