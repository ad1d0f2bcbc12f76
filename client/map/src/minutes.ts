// Votes by minute, reckoned against the present: without new votes a rate falls, and columns move to the left.

/** The net votes of a team in a minute. */
export interface Minute {
  readonly bucket_start: string;
  readonly team_choice: string;
  readonly votes: number;
}

/** Minutes that the timeline shows. */
export const MINUTES = 30;

const MINUTE = 60_000;

const minuteOf = (time: number) => Math.floor(time / MINUTE);

/** Votes by team for each of the last minutes, by its column: the last is the current minute. */
export function columnsOf(minutes: readonly Minute[], now: number): Map<number, Map<string, number>> {
  const columns = new Map<number, Map<string, number>>();
  for (const { bucket_start, team_choice, votes } of minutes) {
    const column = MINUTES - 1 - (minuteOf(now) - minuteOf(Date.parse(bucket_start)));
    // Where more votes were taken back than came in, nothing stands in that column.
    if (column >= 0 && column < MINUTES && votes > 0) columns.set(column, (columns.get(column) ?? new Map()).set(team_choice, votes));
  }
  return columns;
}

/** Until then a rate that came with a fold is as good as new. */
const FRESH = 3_000;

/**
 * Votes a minute at a time: SQL's sliding window counter, which takes the votes of the minute before to have come evenly.
 * `reported` came with the fold `at`; `minutes` are null where they are not known up to that fold.
 */
export function rateAt(now: number, reported: number, at: string | null, minutes: readonly Minute[] | null): number {
  if (at === null) return reported;
  const age = now - Date.parse(at);
  if (age < FRESH) return reported;
  if (age >= 2 * MINUTE) return 0;
  if (minutes === null) return reported;
  const of = (minute: number) =>
    minutes.reduce((sum, { bucket_start, votes }) => (minuteOf(Date.parse(bucket_start)) === minute ? sum + votes : sum), 0);
  const current = minuteOf(now);
  return Math.floor(of(current) + of(current - 1) * (1 - (now % MINUTE) / MINUTE));
}
