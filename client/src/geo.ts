import { cellToParent, gridDiskDistances, isValidCell } from "h3-js";
import type { Feature, FeatureCollection, MultiPolygon, Polygon } from "./geojson.js";
import type { Votes } from "./message.js";
import { outline } from "./outline.js";
import { bySize, type CellAggregate, cellAggregate } from "./tally.js";

/** A row that deck.gl's H3HexagonLayer draws without further accessors. */
export interface Hexagon {
  readonly hexagon: string;
  readonly totalVotes: number;
  readonly votes: Votes;
  readonly leader: string | null;
  readonly dominance: number;
}

export interface CellProperties {
  readonly h3_index: string;
  readonly resolution: number;
  readonly votes: Votes;
  readonly total: number;
  readonly leader: string | null;
  readonly dominance: number;
}

export type CellCollection = FeatureCollection<Polygon | MultiPolygon, CellProperties>;

/**
 * Rolled up to `resolution` (0 to 15), biggest first, as SQL's `get_match_aggregates(match_id, resolution)`: coarser cells stay
 * as they are, so that the sum stays. Throws a RangeError for another resolution.
 */
export function aggregateByResolution(aggregates: readonly CellAggregate[], resolution: number): CellAggregate[] {
  if (!Number.isInteger(resolution) || resolution < 0 || resolution > 15) {
    throw new RangeError(`resolution must be a whole number from 0 to 15, not ${resolution}`);
  }
  const sums = new Map<string, Map<string, number>>();
  for (const { h3Index, resolution: own, votes } of aggregates) {
    const cell = own > resolution ? cellToParent(h3Index, resolution) : h3Index;
    let sum = sums.get(cell);
    if (!sum) sums.set(cell, (sum = new Map()));
    for (const [team, count] of Object.entries(votes)) sum.set(team, (sum.get(team) ?? 0) + count);
  }
  return [...sums].map(([cell, votes]) => cellAggregate(cell, Object.fromEntries(votes))).sort(bySize);
}

/**
 * The cells up to `k` steps (0 to 500) away without the cell itself, nearest first, those as near in order of their index: SQL's
 * `h3_neighbors`. A pentagon has five neighbours. Throws a RangeError for what is no cell, or another `k`.
 */
export function calculateH3Neighbors(h3Index: string, k = 1): string[] {
  if (!isValidCell(h3Index)) throw new RangeError(`invalid H3 cell: "${h3Index}"`);
  if (!Number.isInteger(k) || k < 0 || k > 500) throw new RangeError(`k must be a whole number from 0 to 500, not ${k}`);
  return gridDiskDistances(h3Index, k).slice(1).flatMap((ring) => ring.sort());
}

/** Data for deck.gl's H3HexagonLayer, or the GeoJSON that SQL's `get_match_geojson` returns, in order of cells. */
export function formatAggregateForMap(aggregates: readonly CellAggregate[], format?: "hexagons"): Hexagon[];
export function formatAggregateForMap(aggregates: readonly CellAggregate[], format: "geojson"): CellCollection;
export function formatAggregateForMap(aggregates: readonly CellAggregate[], format = "hexagons"): Hexagon[] | CellCollection {
  if (format === "hexagons") return aggregates.map(hexagonOf);
  const sorted = [...aggregates].sort((a, b) => (a.h3Index < b.h3Index ? -1 : 1));
  return { type: "FeatureCollection", features: sorted.map(featureOf) };
}

const hexagons = new WeakMap<CellAggregate, Hexagon>();

function hexagonOf(aggregate: CellAggregate): Hexagon {
  // The same object for the same aggregate, so that a layer sees what moved.
  let hexagon = hexagons.get(aggregate);
  if (!hexagon) {
    const { h3Index, totalVotes, votes, leader, dominance } = aggregate;
    hexagons.set(aggregate, (hexagon = { hexagon: h3Index, totalVotes, votes, leader, dominance }));
  }
  return hexagon;
}

function featureOf(aggregate: CellAggregate): Feature<Polygon | MultiPolygon, CellProperties> {
  const { h3Index, resolution, votes, totalVotes, leader, dominance } = aggregate;
  return {
    type: "Feature",
    id: h3Index,
    geometry: outline(h3Index),
    properties: { h3_index: h3Index, resolution, votes, total: totalVotes, leader, dominance },
  };
}
