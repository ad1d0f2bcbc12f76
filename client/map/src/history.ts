// What happened before: the time line of the whole match, and who led when.
import type { CountryAggregate, MatchStats, Votes } from "vote-agg-client";
import { countryAggregate, tallyOf } from "../../src/tally.js";

/** The net votes of a team in a bucket, and all its votes up to the bucket's end. */
export interface Bucket {
  readonly bucket_start: string;
  readonly team_choice: string;
  readonly votes: number;
  readonly running_total: number;
}

/** A column of the time line. */
export interface Column {
  /** When it begins, in milliseconds. */
  readonly start: number;
  /** New votes of all teams. */
  readonly votes: number;
  /** Who led at its end; in a tie who led before. */
  readonly leader: string | null;
}

const MINUTE = 60_000;

/** Widths of columns in minutes. */
const WIDTHS = [1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1_440, 10_080];

/** Rows that are asked for, at most: a column has one for each team. */
const ROWS = 2_400;

/** Columns that a screen has room for. */
const COLUMNS = 240;

/** The width of columns, in minutes, for a match that began at `from`. */
export function widthOf(from: number, now: number, teams: number): number {
  const columns = Math.max(2, Math.min(COLUMNS, Math.floor(ROWS / Math.max(1, teams))));
  const age = Math.max(1, (now - from) / MINUTE);
  return WIDTHS.find((width) => age / width <= columns) ?? Math.ceil(age / columns / 1_440) * 1_440;
}

/** Columns from the first one with votes on. */
export function columnsOf(buckets: readonly Bucket[]): Column[] {
  const columns: { start: number; votes: number; leader: string | null; most: number; isTie: boolean }[] = [];
  for (const { bucket_start, team_choice, votes, running_total } of buckets) {
    const start = Date.parse(bucket_start);
    let column = columns.at(-1);
    if (column?.start !== start) columns.push((column = { start, votes: 0, leader: null, most: 0, isTie: false }));
    column.votes += votes;
    if (running_total > column.most) Object.assign(column, { leader: team_choice, most: running_total, isTie: false });
    else if (running_total === column.most && running_total > 0) column.isTie = true;
  }
  let leader: string | null = null;
  for (const column of columns) {
    if (column.isTie) column.leader = leader;
    else leader = column.leader;
  }
  const first = columns.findIndex(({ votes, leader }) => votes !== 0 || leader !== null);
  return first < 0 ? [] : columns.slice(first);
}

/** The answer of `/matches/{id}/at`. */
export interface Earlier {
  readonly as_of: string;
  readonly stats: { readonly total: number; readonly votes: Votes; readonly leader: string | null } | null;
  readonly countries: readonly (readonly [code: string, votes: Votes])[];
}

/** The match as it stood then, in the page's own form. */
export function earlierOf({ stats, countries }: Earlier, { status }: MatchStats): { stats: MatchStats; countries: CountryAggregate[] } {
  return {
    stats: { ...tallyOf(stats?.votes ?? {}), status, votesPerMinute: 0 },
    countries: countries.map(([code, votes]) => countryAggregate(code, votes)).filter(({ totalVotes }) => totalVotes > 0),
  };
}
