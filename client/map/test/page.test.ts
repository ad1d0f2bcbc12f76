// What the page is made of, apart from what needs a browser.
import { latLngToCell } from "h3-js";
import { describe, expect, test } from "vitest";
import { matchAddress, readAddress, writeView } from "../src/address.js";
import { mix, orderTeams, Palette, parseHex } from "../src/colour.js";
import { addedRows, indexesOf } from "../src/layer.js";
import { resolutionAt } from "../src/resolution.js";

describe("address", () => {
  test("says match, view and token", () => {
    expect(readAddress("?match=final&z=3.5&lat=48.9&lng=-2", "#token=a.b.c")).toEqual({
      match: "final", view: { zoom: 3.5, latitude: 48.9, longitude: -2 }, token: "a.b.c",
    });
    expect(readAddress("", "")).toEqual({ match: null, view: null, token: undefined });
    expect(readAddress("?match=", "").match).toBe("");
    expect(readAddress("?match=final&z=3", "").view).toMatchObject({ zoom: 3 });
  });

  test("nonsense is no view", () => {
    for (const query of ["z=", "z=-1", "z=99", "z=NaN", "z=Infinity", "lat=48&lng=2"]) expect(readAddress(`?${query}`, "").view, query).toBeNull();
    expect(readAddress("?z=3&lat=200&lng=x", "").view).toEqual({ zoom: 3, latitude: 20, longitude: 10 });
  });

  test("a view written is a view read, and the rest stays", () => {
    const written = writeView("?match=a%26b&x=1", { zoom: 3.456, latitude: -33.5, longitude: 190 });
    expect(readAddress(written, "")).toMatchObject({ match: "a&b", view: { zoom: 3.46, latitude: -33.5, longitude: -170 } });
    expect(new URLSearchParams(written).get("x")).toBe("1");
    expect(readAddress(matchAddress("ö & ?#", "").slice(1), "").match).toBe("ö & ?#");
  });
});

describe("resolution", () => {
  test("by zoom, as the table says", () => {
    const table = [[-1, 1], [0.89, 1], [0.9, 2], [2.29, 2], [2.3, 3], [3.7, 4], [5.1, 5], [6.5, 6], [7.9, 7], [9.3, 8], [10.7, 9], [12.1, 10], [22, 10]] as const;
    for (const [zoom, resolution] of table) expect(resolutionAt(zoom), `${zoom}`).toBe(resolution);
  });

  test("stays within the slack and goes beyond it", () => {
    expect([2.31, 2.45].map((zoom) => resolutionAt(zoom, 2))).toEqual([2, 2]);
    expect([2.29, 2.15].map((zoom) => resolutionAt(zoom, 3))).toEqual([3, 3]);
    expect([resolutionAt(2.55, 2), resolutionAt(2.05, 3)]).toEqual([3, 2]);
    expect(resolutionAt(8, 1)).toBe(7);
  });

  test("a zoom that wavers around a border changes nothing", () => {
    let resolution = resolutionAt(3.7);
    for (let i = 0; i < 100; i++) {
      const next = resolutionAt(3.7 + 0.19 * Math.sin(i), resolution);
      expect(next).toBe(resolution);
      resolution = next;
    }
  });
});

describe("colours", () => {
  test("teams keep theirs, whoever comes later", () => {
    const first = orderTeams([], { home: 3, away: 5 });
    expect(first).toEqual(["away", "home"]);
    expect(orderTeams(first, { home: 1 })).toBe(first);
    expect(orderTeams(first, { a: 9, home: 1, b: 10 })).toEqual(["away", "home", "a", "b"]);
    const eight = Object.fromEntries([..."hgfedcba"].map((team, i) => [team, i]));
    // The six biggest have colours of their own.
    expect(orderTeams([], eight)).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"]);
    expect(orderTeams([], { ...eight, h: 100 })).toEqual(["a", "b", "c", "d", "e", "h", "f", "g"]);
  });

  test.each(["light", "dark"] as const)("the clearer the lead, the stronger, %s", (theme) => {
    const palette = new Palette(["home", "away"], theme);
    expect(palette.shade("home", 1)).toEqual(parseHex(palette.of("home")));
    expect(palette.shade(null, 0)).toEqual(palette.tie);
    const distance = (a: readonly number[], b: readonly number[]) => Math.hypot(...a.map((part, i) => part - b[i]!));
    const away = [0, 0.01, 0.1, 0.3, 0.6, 1].map((dominance) => distance(palette.shade("home", dominance), parseHex(palette.of("home"))));
    expect(away).toEqual([...away].sort((a, b) => b - a));
    expect(new Set(away).size).toBe(away.length);
    expect(palette.shade("home", 0.5)).toBe(palette.shade("home", 0.5));
    // The palest of one team is not the palest of the other, nor a tie.
    expect(distance(palette.shade("home", 0), palette.shade("away", 0))).toBeGreaterThan(30);
    expect(distance(palette.shade("home", 0), palette.tie)).toBeGreaterThan(30);
    expect(palette.of("somebody")).not.toBe(palette.of(null));
  });

  test("mixing", () => {
    expect(mix([0, 100, 200], [100, 0, 200], 0.25)).toEqual([25, 75, 200]);
  });
});

describe("what is drawn anew", () => {
  const cell = (i: number, votes = 1) =>
    ({ h3Index: latLngToCell(i, i, 5), resolution: 5, totalVotes: votes, votes: { home: votes }, leader: "home", dominance: 1 });

  test("nothing of the geometry while only votes move", () => {
    const indexes = indexesOf([], [cell(1), cell(2)]);
    expect(indexesOf(indexes, [cell(1, 7), cell(2, 9)])).toBe(indexes);
  });

  test("only what is new where cells come", () => {
    const before = indexesOf([], [cell(1), cell(2)]);
    const next = indexesOf(before, [cell(1), cell(2), cell(3)]);
    expect(addedRows(next, before)).toEqual([{ startRow: 2, endRow: 3 }]);
  });

  test("everything where cells go, or others come", () => {
    const before = indexesOf([], [cell(1), cell(2)]);
    expect(addedRows(indexesOf(before, [cell(2)]), before)).toBeUndefined();
    expect(addedRows(indexesOf(before, [cell(1), cell(3), cell(2)]), before)).toBeUndefined();
    expect(addedRows(before, [])).toBeUndefined();
  });
});
