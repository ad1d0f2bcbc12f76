// What the page is made of, apart from what needs a browser.
import { latLngToCell } from "h3-js";
import { describe, expect, test } from "vitest";
import { listAddress, matchAddress, readAddress, relayAddress, writeView } from "../src/address.js";
import { learnTime, serverNow } from "../src/clock.js";
import { mix, Palette, parseHex } from "../src/colour.js";
import { huesOf } from "../src/hues.js";
import { addedRows, cellAt, indexesOf } from "../src/layer.js";
import { columnsOf, rateAt } from "../src/minutes.js";
import { resolutionAt } from "../src/resolution.js";
import { biggestTeams } from "../src/teams.js";
import { drawn, votesIn } from "../src/voting/place.js";
import { mayVote, teamsOf } from "../src/voting/right.js";

describe("address", () => {
  test("says match, view and token", () => {
    expect(readAddress("?match=final&z=3.5&lat=48.9&lng=-2", "#token=a.b.c")).toEqual({
      match: "final", view: { zoom: 3.5, latitude: 48.9, longitude: -2 }, team: null, token: "a.b.c",
    });
    expect(readAddress("", "")).toEqual({ match: null, view: null, team: null, token: undefined });
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
    expect(readAddress(matchAddress("ö & ?#", "", "").slice(2), "").match).toBe("ö & ?#");
    for (const [page, base] of [["https://x.example/?match=a#token=t", "/"], ["https://x.example/live/?match=a", "/live/"]] as const) {
      expect(relayAddress(page)).toBe(base);
      expect([matchAddress("b", "", ""), listAddress("")].map((to) => new URL(to, page).pathname)).toEqual([base, base]);
    }
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
  const colours = (teams: string[]) => Object.fromEntries(teams.map((team) => [team, new Palette(teams, "light").of(team)]));

  test("go by the names alone, in whatever order teams come", () => {
    expect(colours(["red", "blue"])).toEqual(colours(["blue", "red"]));
    const few = ["Arsenal", "Chelsea", "Napoli", "home", "away", "third", "fourth", "fifth"];
    expect(colours([...few].reverse())).toEqual(colours(few));
    expect(new Set(Object.values(colours(few))).size).toBe(8);
  });

  test("a name of a colour is taken at its word, whoever else is there", () => {
    const { red, blue, green, Amber } = colours(["red", "blue", "green", "Amber", "away"]);
    expect([red, blue, green, Amber]).toEqual(["#b44a03", "#1421b9", "#107d68", "#b78a05"]);
    expect(colours(["red"])).toEqual({ red: "#b44a03" });
    expect(colours(["blue", "navy"]).blue).toBe("#1421b9");
  });

  test("up to eight teams have colours of their own", () => {
    for (const count of [2, 7, 8]) {
      for (const name of ["Team", "Country", "x"]) {
        expect(new Set(huesOf(Array.from({ length: count }, (_, i) => `${name} ${i}`)).values()).size).toBe(count);
      }
    }
  });

  test("names that objects have are names", () => {
    const teams = ["constructor", "toString", "__proto__", "valueOf"];
    expect(new Set(teams.map((team) => new Palette(teams, "dark").of(team))).size).toBe(4);
    for (const team of teams) expect(new Palette(teams, "light").shade(team, 1)).toEqual(parseHex(new Palette(teams, "light").of(team)));
  });

  test.each(["light", "dark"] as const)("the clearer the lead, the stronger, %s", (theme) => {
    const palette = new Palette(["home", "away"], theme);
    expect(palette.shade("home", 1)).toEqual(parseHex(palette.of("home")));
    expect(palette.shade(null, 0)).toEqual(palette.tie);
    const distance = (a: readonly number[], b: readonly number[]) => Math.hypot(...a.map((part, i) => part - b[i]!));
    const away = [0, 0.05, 0.25, 0.6, 1].map((dominance) => distance(palette.shade("home", dominance), parseHex(palette.of("home"))));
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

describe("the present", () => {
  const at = "2026-07-19T20:11:50.000Z";
  const time = Date.parse(at);
  const minute = (start: string, team: string, votes: number) => ({ bucket_start: `2026-07-19T${start}:00.000Z`, team_choice: team, votes });
  const minutes = [minute("20:10", "home", 50), minute("20:10", "away", 10), minute("20:11", "home", 7), minute("20:11", "away", 0)];

  test("a rate is told by a fold, and falls with time, as SQL's does", () => {
    expect(rateAt(time, 17, at, minutes)).toBe(17);
    expect(rateAt(time + 2_999, 17, at, minutes)).toBe(17);
    expect(rateAt(time + 5_000, 17, at, minutes)).toBe(7 + 5);
    expect(rateAt(time + 10_000, 17, at, minutes)).toBe(7);
    expect(rateAt(time + 40_000, 17, at, minutes)).toBe(3);
    expect(rateAt(time + 69_999, 17, at, minutes)).toBe(0);
    expect(rateAt(time + 10 * 60_000, 17, at, minutes)).toBe(0);
  });

  test("without its minutes it holds for two minutes", () => {
    expect(rateAt(time + 119_999, 17, at, null)).toBe(17);
    expect(rateAt(time + 120_000, 17, at, null)).toBe(0);
    expect(rateAt(time, 0, null, null)).toBe(0);
  });

  test("columns move to the left as minutes go by", () => {
    const taken = [...minutes, minute("20:09", "home", -4)];
    expect([...columnsOf(taken, time)]).toEqual([[28, new Map([["home", 50], ["away", 10]])], [29, new Map([["home", 7]])]]);
    expect([...columnsOf(taken, time + 60_000).keys()]).toEqual([27, 28]);
    expect([...columnsOf(taken, time + 28 * 60_000).keys()]).toEqual([0, 1]);
    expect(columnsOf(taken, time + 30 * 60_000).size).toBe(0);
  });

  test("is the server's", () => {
    const own = Date.parse("2026-07-19T20:00:00Z");
    learnTime(new Headers({ date: "Sun, 19 Jul 2026 20:03:00 GMT" }), own);
    expect(serverNow(own + 1_000)).toBe(Date.parse("2026-07-19T20:03:01.500Z"));
    learnTime(new Headers({ date: "nonsense" }), own);
    learnTime(new Headers(), own);
    expect(serverNow(own)).toBe(Date.parse("2026-07-19T20:03:00.500Z"));
    learnTime(new Headers({ date: "Sun, 19 Jul 2026 19:59:00 GMT", age: "60" }), own);
    expect(serverNow(own)).toBe(own + 500);
  });
});

test("the biggest teams first, those as big by name, and none without votes", () => {
  expect(biggestTeams({ b: 2, a: 2, c: 9, none: 0, back: -1 })).toEqual(["c", "a", "b"]);
});

test("the cell at a point is the finest that is drawn there", () => {
  const [paris, north, date] = [latLngToCell(48.86, 2.35, 3), latLngToCell(90, 0, 1), latLngToCell(-17.5, 180, 2)];
  const coarse = latLngToCell(48.86, 2.35, 1);
  const drawn = [coarse, paris!, north!, date!];
  expect(cellAt(drawn, 48.86, 2.35)).toBe(paris);
  expect(cellAt([coarse], 48.86, 2.35)).toBe(coarse);
  expect([cellAt(drawn, 89.9, 77), cellAt(drawn, -17.5, -179.99), cellAt(drawn, -17.5, 179.99)]).toEqual([north, date, date]);
  expect([cellAt(drawn, 0, 0), cellAt([], 48.86, 2.35)]).toEqual([null, null]);
});

describe("a vote of one's own", () => {
  const token = (claims: object) => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;

  test("is offered to those from whom the relay takes one", () => {
    const [vote, watch] = [token({ sub: "ä ö ü ÿ", scope: "watch vote" }), token({ sub: "ann" })];
    expect([mayVote("token", vote), mayVote("anonymous", vote), mayVote("anonymous", undefined), mayVote("token", token({ scope: ["vote"] }))]).toEqual([true, true, true, true]);
    expect([mayVote(null, vote), mayVote("token", watch), mayVote("anonymous", watch), mayVote("token", undefined), mayVote("token", "x"), mayVote("token", token({ scope: "votes" }))]).not.toContain(true);
  });

  test("has the teams of the address first, then those with votes, each once", () => {
    expect(teamsOf("?teams=home,away,,home", ["third", "away", "a"])).toEqual(["home", "away", "a", "third"]);
    expect(teamsOf("?match=final", [])).toEqual([]);
  });

  test("is drawn in the hexagon that is shown", () => {
    const fine = latLngToCell(48.86, 2.35, 7);
    expect([drawn(fine, 3), drawn(fine, 9), drawn(fine, null)]).toEqual([latLngToCell(48.86, 2.35, 3), fine, fine]);
    const cells = [{ h3Index: fine, resolution: 7, totalVotes: 3, votes: { home: 3 }, leader: "home", dominance: 1 }];
    expect([votesIn(cells, fine, "home"), votesIn(cells, fine, "away"), votesIn([], fine, "home")]).toEqual([3, 0, 0]);
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
