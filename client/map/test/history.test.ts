// What happened before the page was opened.
import { expect, test } from "vitest";
import { columnsOf, earlierOf, widthOf } from "../src/history.js";

const start = Date.parse("2026-07-19T20:00:00Z");
const totals = (minute: number, home: number, away: number, votes = 1) => [["home", home], ["away", away]].map(([team, total]) =>
  ({ bucket_start: new Date(start + minute * 60_000).toISOString(), team_choice: team as string, votes, running_total: total as number }));

test("columns tell who led at their end; in a tie who led before", () => {
  const columns = columnsOf([...totals(0, 0, 0, 0), ...totals(1, 3, 1), ...totals(2, 4, 4), ...totals(3, 4, 9), ...totals(4, 0, 0, -5)]);
  expect(columns.map(({ start: at, votes, leader }) => [(at - start) / 60_000, votes, leader])).toEqual([[1, 2, "home"], [2, 2, "home"], [3, 2, "away"], [4, -10, null]]);
  expect(columnsOf([])).toEqual([]);
  expect(columnsOf(totals(0, 0, 0, 0))).toEqual([]);
});

test("columns are as wide as the match is long, and rows are not too many", () => {
  const day = 86_400_000;
  expect(widthOf(0, 60_000, 2)).toBe(1);
  expect(widthOf(0, 4 * 3_600_000, 2)).toBe(1);
  for (const age of [1, 30, 400]) for (const teams of [2, 14, 40, 2_000]) {
    const width = widthOf(0, age * day, teams);
    expect((age * 1_440) / width, `${age} ${teams}`).toBeLessThanOrEqual(Math.max(2, Math.min(240, 2_400 / teams)));
  }
});

test("an earlier moment has the page's own form, without what has no votes", () => {
  const { stats, countries } = earlierOf(
    { as_of: "", stats: { total: 3, votes: { home: 2, away: 1 }, leader: "home" }, countries: [["FR", { home: 2 }], ["DE", { home: 0 }]] },
    { status: "open", votesPerMinute: 9, totalVotes: 0, votes: {}, leader: null, dominance: 0 },
  );
  expect(stats).toMatchObject({ totalVotes: 3, leader: "home", status: "open", votesPerMinute: 0 });
  expect(stats.dominance).toBeCloseTo(1 / 3);
  expect(countries.map(({ countryCode, totalVotes }) => [countryCode, totalVotes])).toEqual([["FR", 2]]);
  expect(earlierOf({ as_of: "", stats: null, countries: [] }, stats).stats.totalVotes).toBe(0);
});
