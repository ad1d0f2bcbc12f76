// The state of one match: what snapshots and updates make of it, and when it is stale.
import { type Area, areaTest } from "./area.js";
import type { AreaCells, Flip, MatchStatus, Message, PlaceVotes, Snapshot, Votes, WireStats } from "./message.js";
import { type CellAggregate, type CountryAggregate, cellAggregate, countryAggregate, type Tally, tallyOf } from "./tally.js";

export interface MatchStats extends Tally {
  readonly status: MatchStatus;
  /** The sliding window counter over whole minutes. */
  readonly votesPerMinute: number;
}

/** A change of the announced leader. */
export interface LeadChange {
  readonly scope: Flip[0];
  /** The country's code or the cell's index, as counted; null: the match as a whole. */
  readonly place: string | null;
  /** The leader announced before; null: none was. */
  readonly before: string | null;
  /** The leader announced now; null: all votes there were taken back. In a tie the announced leader stays. */
  readonly after: string | null;
  readonly seq: number;
  /** When that was, ISO 8601. */
  readonly at: string;
}

/** Why a state cannot go on: a message is missing, or only a snapshot helps. */
export type Stale = "gap" | "snapshot";

/** The known state of a match. Nothing in it is ever changed: a part that moves is replaced, the rest stays the same object. */
export interface MatchState {
  readonly matchId: string;
  /** The resolution that cells are rolled up to; null: their own. */
  readonly resolution: number | null;
  /** The area whose cells are known; null: all cells. */
  readonly area: Area;
  readonly seq: number;
  /** Null before the first fold. */
  readonly epoch: string | null;
  /** When the last fold was; null before the first. */
  readonly at: string | null;
  readonly stats: MatchStats;
  /** In no particular order; a cell keeps its place in the array while no cell goes. */
  readonly aggregates: readonly CellAggregate[];
  readonly countries: readonly CountryAggregate[];
  /** Those announced since following began, newest first: at most 50 of each scope. */
  readonly flips: readonly LeadChange[];
  /** Null: exact. Else what is known stays as it was until what is missing has come. */
  readonly stale: Stale | null;
}

/**
 * The state after a message: pure, and the same object where the message says nothing new (one that came before, or of another
 * match). A snapshot starts a state. Updates must follow each other: after a gap the state is stale until the missing one
 * comes; after a change of history (`epoch`), or a message without its cells, until a snapshot does. Cells that have come into an
 * area take the place of those that have left it.
 */
export function applyMessage(state: MatchState | undefined, message: Message | Snapshot | AreaCells): MatchState | undefined {
  if (state && message.match !== state.matchId) return state;
  if ("stats" in message && !("prev" in message)) return applySnapshot(state, message);
  return state && ("prev" in message ? applyUpdate(state, message) : applyArea(state, message));
}

function applyArea(state: MatchState, { seq, epoch, resolution, area, cells: come }: AreaCells): MatchState {
  if (epoch !== state.epoch || resolution !== state.resolution || seq < state.seq || state.stale === "snapshot") return state;
  if (seq !== state.seq || state.stale) return staled(state, "gap");
  const isIn = area ? areaTest(area) : () => true;
  const gone = state.aggregates.filter(({ h3Index }) => !isIn(h3Index)).map(({ h3Index }): PlaceVotes => [h3Index, {}]);
  return { ...state, area, aggregates: cells(state.aggregates, [...gone, ...come]) };
}

function applyUpdate(state: MatchState, message: Message): MatchState {
  if (state.epoch !== null && message.epoch !== state.epoch) return staled(state, "snapshot");
  if (message.seq <= state.seq || state.stale === "snapshot") return state;
  if (message.prev !== state.seq || message.partial) return staled(state, "gap");
  if (message.resync || !message.cells || !message.countries) return staled(state, "snapshot");
  return {
    ...state,
    seq: message.seq,
    epoch: message.epoch,
    at: message.at,
    stats: statsOf(message.stats, message.final ? "final" : openedBy(state.stats.status)),
    aggregates: cells(state.aggregates, message.cells),
    countries: countries(state.countries, message.countries),
    flips: message.flips?.length ? recent(state.flips, message.flips, message) : state.flips,
    stale: null,
  };
}

function applySnapshot(before: MatchState | undefined, snapshot: Snapshot): MatchState {
  const isSameSeries = before?.epoch === snapshot.epoch && before?.resolution === snapshot.resolution;
  // From a relay that is behind: its next messages are known already, and go on from here.
  if (before && isSameSeries && snapshot.seq < before.seq) return before;
  return {
    matchId: snapshot.match,
    resolution: snapshot.resolution,
    area: snapshot.area ?? null,
    seq: snapshot.seq,
    epoch: snapshot.epoch,
    at: snapshot.at,
    stats: statsOf(snapshot.stats, snapshot.status),
    aggregates: cells(before?.aggregates ?? [], snapshot.cells, true),
    countries: countries(before?.countries ?? [], snapshot.countries, true),
    flips: before?.epoch === snapshot.epoch ? before.flips : NONE,
    stale: null,
  };
}

/** The same empty list everywhere. */
export const NONE: readonly never[] = [];

function recent(known: readonly LeadChange[], flips: readonly Flip[], { seq, at }: Message): readonly LeadChange[] {
  const changes = flips.map(([scope, place, before, after]) => ({ scope, place, before, after, seq, at }));
  // Each scope has its own room: of cells there are so many that nothing else would be left.
  const room = { match: 50, country: 50, cell: 50 };
  return [...changes, ...known].filter(({ scope }) => room[scope]-- > 0);
}

function staled(state: MatchState, stale: Stale): MatchState {
  return state.stale === stale || state.stale === "snapshot" ? state : { ...state, stale };
}

// Votes come into open matches only.
function openedBy(status: MatchStatus): MatchStatus {
  return status === "unknown" || status === "scheduled" ? "open" : status;
}

function statsOf(wire: WireStats, status: MatchStatus): MatchStats {
  // Computed anew: the wire rounds dominance.
  return { ...tallyOf(wire.votes), status, votesPerMinute: wire.per_minute };
}

function cells(list: readonly CellAggregate[], entries: readonly PlaceVotes[], areAll = false) {
  return changed(list, entries, areAll, (cell) => cell.h3Index, cellAggregate);
}

function countries(list: readonly CountryAggregate[], entries: readonly PlaceVotes[], areAll = false) {
  return changed(list, entries, areAll, (country) => country.countryCode, countryAggregate);
}

/** Where each place stands in a list. Only the newest list has its index at hand: it goes from version to version. */
const indexes = new WeakMap<readonly Tally[], Map<string, number>>();

/** The list with new votes; the same list where none differ, and the same elements where theirs don't. */
function changed<T extends Tally>(
  list: readonly T[],
  entries: readonly PlaceVotes[],
  areAll: boolean,
  nameOf: (item: T) => string,
  make: (name: string, votes: Votes) => T,
): readonly T[] {
  const index = indexes.get(list) ?? new Map(list.map((item, place) => [nameOf(item), place]));
  indexes.delete(list);
  let next: T[] | undefined;
  const set = (name: string, votes: Votes) => {
    const place = index.get(name);
    const known = place === undefined ? undefined : (next ?? list)[place];
    if (known ? isSame(known.votes, votes) : isEmpty(votes)) return;
    next ??= list.slice();
    if (place === undefined) {
      index.set(name, next.push(make(name, votes)) - 1);
    } else if (isEmpty(votes)) {
      // The last one fills the hole.
      const last = next.pop()!;
      index.delete(name);
      if (place < next.length) {
        next[place] = last;
        index.set(nameOf(last), place);
      }
    } else {
      // With the name that the index has, so that only one copy of it is kept.
      next[place] = make(nameOf(known!), votes);
    }
  };
  if (areAll && list.length) {
    const left = new Set(entries.map(([name]) => name));
    for (const item of list) if (!left.has(nameOf(item))) set(nameOf(item), {});
  }
  for (const [name, votes] of entries) set(name, votes);
  const result = next ?? list;
  indexes.set(result, index);
  return result;
}

function isEmpty(votes: Votes): boolean {
  for (const _ in votes) return false;
  return true;
}

function isSame(a: Votes, b: Votes): boolean {
  const teams = Object.keys(a);
  return teams.length === Object.keys(b).length && teams.every((team) => a[team] === b[team]);
}
