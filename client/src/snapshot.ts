import type { Area } from "./area.js";
import type { VoteError } from "./error.js";
import { type Door, type MyVoteState, NO_VOTE } from "./my_vote.js";
import { type LeadChange, type MatchState, type MatchStats, NONE } from "./state.js";
import type { CellAggregate, CountryAggregate } from "./tally.js";

/** All that a page shows of a match. The same object until something changes; so are all its parts. */
export interface VoteSnapshot extends MyVoteState {
  readonly matchId: string;
  /** The resolution that cells are rolled up to; null: their own. Another than asked for until the first snapshot at that one. */
  readonly resolution: number | null;
  /** The area whose cells these are; null: all of them. Another than asked for until its cells are here. */
  readonly area: Area;
  readonly connected: boolean;
  /** An attempt is under way or due. */
  readonly connecting: boolean;
  /** Why there is no connection, or no match; null when all is well. */
  readonly connectionError: VoteError | null;
  /** Since when the relay is cut off from its database, ISO 8601: what is shown may be old. Null: it is up to date, as far as it says. */
  readonly staleSince: string | null;
  /** Whose votes the relay takes; null: none, or it does not tell. */
  readonly door: Door | null;
  /** Null until the first snapshot. */
  readonly stats: MatchStats | null;
  readonly aggregates: readonly CellAggregate[];
  readonly countries: readonly CountryAggregate[];
  /** Changes of leader since following began, newest first: at most 50 of each scope. */
  readonly flips: readonly LeadChange[];
  /** When the last fold was, ISO 8601; null before the first. */
  readonly at: string | null;
  /** 0 before the first fold. */
  readonly seq: number;
  /** Null before the first fold. */
  readonly epoch: string | null;
}

/** A snapshot without a connection. */
export function idle(matchId: string, resolution: number | null, state: MatchState | undefined, connecting: boolean): VoteSnapshot {
  return snapshotOf(matchId, resolution, state, { connected: false, connecting, connectionError: null, staleSince: null, door: null });
}

export function snapshotOf(
  matchId: string,
  resolution: number | null,
  state: MatchState | undefined,
  connection: Pick<VoteSnapshot, "connected" | "connecting" | "connectionError" | "staleSince" | "door">,
): VoteSnapshot {
  const { area = null, stats = null, aggregates = NONE, countries = NONE, flips = NONE, at = null, seq = 0, epoch = null } = state ?? {};
  return { matchId, resolution: state ? state.resolution : resolution, area, ...connection, stats, aggregates, countries, flips, at, seq, epoch, ...NO_VOTE };
}
