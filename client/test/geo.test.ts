import { cellArea, cellToLatLng, getPentagons, getRes0Cells, cellToChildren, gridDisk, latLngToCell, UNITS } from "h3-js";
import { expect, test } from "vitest";
import { aggregateByResolution, calculateH3Neighbors, formatAggregateForMap } from "../src/geo.js";
import { outline } from "../src/outline.js";
import { calculateDominance, cellAggregate, countryAggregate, filterByThreshold, topAggregates } from "../src/tally.js";

const NEW_YORK = cellAggregate("872a1072bffffff", { home: 3, away: 1 });
const JERSEY = cellAggregate("872a10728ffffff", { away: 10 });
const NORTH = cellAggregate("8001fffffffffff", { home: 4 });
const ALL = [NEW_YORK, JERSEY, NORTH];

test("dominance is the lead over the total", () => {
  const cases: [Record<string, number>, number][] = [
    [{}, 0], [{ a: 0, b: 0 }, 0], [{ a: 3, b: 3, c: 1 }, 0], [{ a: 1, b: 3, c: 3 }, 0], [{ a: 5 }, 1], [{ a: 1, b: 3, c: 0 }, 0.5], [{ a: 6, b: 1, c: 3 }, 0.3],
  ];
  for (const [votes, dominance] of cases) expect(calculateDominance(votes)).toBe(dominance);
});

test("thresholds and tops", () => {
  expect(filterByThreshold(ALL, 4)).toEqual(ALL);
  expect(filterByThreshold(ALL, 5)).toEqual([JERSEY]);
  // As big: the lower index first.
  expect(topAggregates(ALL, 2)).toEqual([JERSEY, NORTH]);
  expect(topAggregates(ALL, 0)).toEqual([]);
  const countries = [countryAggregate("US", { home: 1 }), countryAggregate("FR", { home: 1 })];
  expect(topAggregates(countries, 1)).toEqual([countries[1]]);
});

test("rolled up, coarser cells stay and the sum with them", () => {
  const rolled = aggregateByResolution(ALL, 3);
  expect(rolled).toEqual([cellAggregate("832a10fffffffff", { home: 3, away: 11 }), NORTH]);
  expect(aggregateByResolution(ALL, 15)).toEqual(topAggregates(ALL, 3));
  expect(aggregateByResolution([], 0)).toEqual([]);
  for (const bad of [-1, 16, 1.5, NaN]) expect(() => aggregateByResolution(ALL, bad)).toThrow(RangeError);
});

test("neighbours, nearest first, then by index", () => {
  expect(calculateH3Neighbors("872a1072bffffff")).toEqual([
    "872a1070cffffff", "872a1070dffffff", "872a10728ffffff", "872a10729ffffff", "872a1072affffff", "872a10776ffffff",
  ]);
  expect(calculateH3Neighbors("872a1072bffffff", 0)).toEqual([]);
  expect(calculateH3Neighbors("872a1072bffffff", 3)).toHaveLength(36);
  for (const pentagon of getPentagons(3)) {
    expect(calculateH3Neighbors(pentagon)).toHaveLength(5);
    expect(calculateH3Neighbors(pentagon, 2).sort()).toEqual(gridDisk(pentagon, 2).filter((cell) => cell !== pentagon).sort());
  }
  for (const [cell, k] of [["872a1072bfffff0", 1], ["", 1], ["872a1072bffffff", -1], ["872a1072bffffff", 501]] as const) {
    expect(() => calculateH3Neighbors(cell, k)).toThrow(RangeError);
  }
});

test("a layer's data, the same object for the same cell", () => {
  const data = formatAggregateForMap(ALL);
  expect(data[0]).toEqual({ hexagon: "872a1072bffffff", totalVotes: 4, votes: { home: 3, away: 1 }, leader: "home", dominance: 0.5 });
  expect(formatAggregateForMap([JERSEY, NEW_YORK])[1]).toBe(data[0]);
});

test("GeoJSON in order of cells", () => {
  const { type, features } = formatAggregateForMap(ALL, "geojson");
  expect([type, features.map((feature) => feature.id)]).toEqual(["FeatureCollection", ["8001fffffffffff", "872a10728ffffff", "872a1072bffffff"]]);
  expect(features[2]!.properties).toEqual({ h3_index: "872a1072bffffff", resolution: 7, votes: { home: 3, away: 1 }, total: 4, leader: "home", dominance: 0.5 });
  expect(features[2]!.geometry.type).toBe("Polygon");
});

/** Solid angle under a ring of a map whose edges are arcs of great circles, except where they follow the map's rim. */
function ringArea(ring: number[][]): number {
  let sum = 0;
  for (let i = 0; i + 1 < ring.length; i++) {
    const [a, b] = [ring[i]!, ring[i + 1]!].map(([lng, lat]) => [(lng! * Math.PI) / 180, (lat! * Math.PI) / 180]) as [[number, number], [number, number]];
    const [x, y] = [Math.tan(a[1] / 2), Math.tan(b[1] / 2)];
    const turn = b[0] - a[0];
    // Along the pole, or the rim, this is exact too.
    sum -= Math.abs(turn) > Math.PI ? turn * Math.sin((a[1] + b[1]) / 2) : 2 * Math.atan2(Math.tan(turn / 2) * (x + y), 1 + x * y);
  }
  return sum;
}

test("every outline is on the map, counterclockwise, and has its cell's area", () => {
  const cells = getRes0Cells().flatMap((cell) => [cell, ...cellToChildren(cell, 1), ...cellToChildren(cell, 2)]);
  let parts = 0;
  let poles = 0;
  for (const cell of [...cells, latLngToCell(-17, 180, 5), latLngToCell(90, 0, 9), latLngToCell(-90, 0, 9), latLngToCell(66.5, 180, 7)]) {
    const geometry = outline(cell);
    const rings = geometry.type === "Polygon" ? geometry.coordinates : geometry.coordinates.map((polygon) => polygon[0]!);
    parts += rings.length - 1;
    poles += Number(rings.some((ring) => ring.some((point) => Math.abs(point[1]!) === 90)));
    let area = 0;
    for (const ring of rings) {
      expect(ring[0]).toEqual(ring.at(-1));
      for (const [lng, lat] of ring) expect(Math.abs(lng!) <= 180 && Math.abs(lat!) <= 90, `${cell} ${lng} ${lat}`).toBe(true);
      expect(ringArea(ring), cell).toBeGreaterThan(0);
      area += ringArea(ring);
    }
    expect(area / cellArea(cell, UNITS.rads2), `${cell} at ${cellToLatLng(cell)}`).toBeCloseTo(1, 6);
  }
  expect(parts).toBeGreaterThan(50);
  expect(poles).toBe(8);
});
