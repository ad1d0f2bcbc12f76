// The wire format, version 1, as `core` defines it. Counts are new totals, never differences; only teams with votes are named.

export const VERSION = 1;

/** Votes by team. Counts are exact up to 2^53. */
export type Votes = Readonly<Record<string, number>>;

/** A cell or country and its votes; `{}` where none are left. */
export type PlaceVotes = readonly [place: string, votes: Votes];

/** Votes that arrived: team, cell, country, votes; negative where a voter took votes back. */
export type NewVotes = readonly [team: string, h3Index: string | null, countryCode: string | null, votes: number];

/**
 * A change of the announced leader: scope, place (null: the match as a whole), the leader announced before, the leader announced now.
 * Null before: none was announced. Null after: all votes there were taken back. A tie changes nothing: the announced leader stays.
 */
export type Flip = readonly [scope: "match" | "country" | "cell", place: string | null, before: string | null, after: string | null];

export type MatchStatus = "unknown" | "scheduled" | "open" | "closed" | "final";

/** The match as a whole, on the wire. */
export interface WireStats {
  readonly total: number;
  readonly votes: Votes;
  /** The team with most votes; null in a tie. Unlike the announced leader of `flips`, it follows every vote. */
  readonly leader: string | null;
  readonly dominance: number;
  readonly per_minute: number;
}

/** The changes of one fold in one match. */
export interface Message {
  readonly v: number;
  readonly match: string;
  readonly seq: number;
  readonly prev: number;
  readonly epoch: string;
  readonly at: string;
  readonly stats: WireStats;
  readonly cells?: readonly PlaceVotes[];
  readonly countries?: readonly PlaceVotes[];
  readonly new?: readonly NewVotes[];
  readonly flips?: readonly Flip[];
  /** Too much changed for one message: a snapshot is needed. */
  readonly resync?: boolean;
  /** A notification that had no room for the whole message. */
  readonly partial?: boolean;
  /** The match is closed and these are its final totals. */
  readonly final?: boolean;
}

/** The folded state of a match: a follower starts from it. */
export interface Snapshot {
  readonly v: number;
  readonly match: string;
  readonly seq: number;
  /** Null before the first fold. */
  readonly epoch: string | null;
  readonly at: string | null;
  readonly status: MatchStatus;
  /** The resolution that cells were rolled up to; null: they were not. */
  readonly resolution: number | null;
  readonly stats: WireStats;
  readonly cells: readonly PlaceVotes[];
  readonly countries: readonly PlaceVotes[];
  /** The area whose cells these are; missing: all of them. */
  readonly area?: readonly string[] | null;
}

/** The cells that have come into a client's area. Those that have left it are told no more. */
export interface AreaCells {
  readonly v: number;
  readonly match: string;
  /** The message after which this is so. */
  readonly seq: number;
  readonly epoch: string;
  readonly resolution: number | null;
  /** The area from now on; null: all cells. */
  readonly area: readonly string[] | null;
  readonly cells: readonly PlaceVotes[];
}

/** The relay's words after connecting. All of it is optional, here and below: other relays do not send it. */
export interface RelayWelcome {
  /** Milliseconds over which clients should spread when they connect again: it grows with their number. */
  readonly window?: number;
  /** Where the relay takes votes: whose. */
  readonly votes?: string;
}

/** The relay closes the connection. */
export interface RelayClosing {
  readonly reason: string;
  readonly window?: number;
}

/** The relay is cut off from its database: what it shows may be old. */
export interface RelayStale {
  /** Since when, ISO 8601; null or missing: it is up to date again. */
  readonly since?: string | null;
}
