// A match with votes from the world's cities, and what the page should make of them.
import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { type Database, eventually } from "../../test/e2e/rig.js";

const [HEAD, ...ROWS] = readFileSync(new URL("../../../fixtures/cities.tsv", import.meta.url), "utf8").trim().split("\n").map((line) => line.split("\t"));
const column = (name: string) => HEAD!.indexOf(name);

/** Votes of every city by its size, each country with a leaning of its own: the same in every run. Of many teams each country has two favourites, and a few votes go to any. */
export async function fill(database: Database, match: string, teams = ["home", "away"]): Promise<void> {
  let seed = 7;
  const chance = () => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
  const leanings = new Map<string, number>();
  const favourites = new Map<string, readonly (string | undefined)[]>();
  const votes = ROWS.flatMap((row) => {
    const country = row[column("country_code")]!;
    if (!leanings.has(country)) leanings.set(country, 0.15 + 0.7 * chance());
    const all = Math.max(2, Math.round(Number(row[column("population")]) / 40_000));
    const first = Math.round(all * Math.min(1, Math.max(0, leanings.get(country)! + 0.3 * (chance() - 0.5))));
    if (!favourites.has(country)) favourites.set(country, teams.length === 2 ? teams : [0, 1].map(() => teams[Math.floor(chance() ** 1.5 * teams.length)]));
    const [home, away] = favourites.get(country)!;
    const any = teams.length > 2 ? [[teams[Math.floor(chance() * teams.length)], Math.ceil(all / 9)] as const] : [];
    return [[home, first] as const, [away, all - first] as const, ...any].flatMap(([team, count]) =>
      count > 0 ? [{ match_id: match, team_choice: team, h3_index: row[column("h3_index")], country_code: country, votes: count }] : []);
  });
  await database.rows("SELECT bulk_increment($1)", [JSON.stringify(votes)]);
  await database.settle();
}

export interface Cell {
  readonly h3Index: string;
  readonly totalVotes: number;
  readonly leader: string | null;
  readonly dominance: number;
}

export function cellsOf(database: Database, match: string, resolution: number): Promise<Cell[]> {
  return database.rows(
    `SELECT h3_index AS "h3Index", total_votes::float8 AS "totalVotes", leader, dominance FROM get_match_aggregates($1, resolution => $2)`, [match, resolution]);
}

export function totalOf(database: Database, match: string): Promise<number> {
  return database.value("SELECT total_votes::float8 FROM get_realtime_stats($1)", [match]);
}

/** Waits until the page shows so many votes. */
export async function shows(page: Page, total: number): Promise<void> {
  await eventually(`the page shows ${total} votes`, async () => (await page.locator("[data-total]").getAttribute("data-total").catch(() => null)) === String(total), 120_000);
}

/** Waits until the ground is drawn and hexagons stand on it, of that resolution if one is named. */
export async function isDrawn(page: Page, resolution: number | null): Promise<void> {
  await page.waitForFunction((wanted) => {
    const map = window.voteMap;
    const page = document.querySelector<HTMLElement>(".page")!;
    return map?.base.getLayer("lines") && map.base.loaded() && (wanted === null || page.dataset.resolution === String(wanted)) && map.indexes.length > 0 && String(map.indexes.length) === page.dataset.cells;
  }, resolution, { polling: 200, timeout: 120_000 });
}
