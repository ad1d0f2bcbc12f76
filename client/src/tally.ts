import type { Votes } from "./message.js";

/** Votes of one place, or of the match, and what follows from them; the same as SQL's columns of these names. */
export interface Tally {
  readonly totalVotes: number;
  /** Only teams that have votes. */
  readonly votes: Votes;
  /** Null in a tie. */
  readonly leader: string | null;
  /** (leader − runner-up) ÷ total, 0 to 1; 0 in a tie. */
  readonly dominance: number;
}

export interface CellAggregate extends Tally {
  /** 15 hexadecimal digits. */
  readonly h3Index: string;
  /** 0 to 15. */
  readonly resolution: number;
}

export interface CountryAggregate extends Tally {
  /** ISO 3166-1 alpha-2. */
  readonly countryCode: string;
}

/** An object without what objects inherit: no vote of a team called "constructor" is found where it has none. */
const NoVotes = function () {} as unknown as new () => Record<string, number>;
NoVotes.prototype = Object.create(null);

function copyOf(votes: Votes): Votes {
  const copy = new NoVotes();
  for (const team of Object.keys(votes)) copy[team] = votes[team]!;
  return copy;
}

export function tallyOf(counted: Votes): Tally {
  const votes = copyOf(counted);
  let [totalVotes, first, second] = [0, 0, 0];
  let leader: string | null = null;
  for (const team of Object.keys(votes)) {
    const count = votes[team]!;
    totalVotes += count;
    if (count > first) [leader, first, second] = [team, count, first];
    else if (count > second) second = count;
  }
  return {
    totalVotes,
    votes,
    leader: first > second ? leader : null,
    dominance: totalVotes > 0 ? (first - second) / totalVotes : 0,
  };
}

export function cellAggregate(h3Index: string, counted: Votes): CellAggregate {
  // The resolution is the bits 52 to 55 of the index: the second of its 15 digits.
  const { totalVotes, votes, leader, dominance } = tallyOf(counted);
  // Not spread: objects put together from others take half as much memory again.
  return { h3Index, resolution: parseInt(h3Index[1]!, 16), totalVotes, votes, leader, dominance };
}

export function countryAggregate(countryCode: string, votes: Votes): CountryAggregate {
  return { countryCode, ...tallyOf(votes) };
}

/** (leader − runner-up) ÷ total of votes by team, 0 to 1; 0 in a tie or without votes. */
export function calculateDominance(votes: Votes): number {
  return tallyOf(votes).dominance;
}

/** Those with at least `minVotes` votes, in the order given. */
export function filterByThreshold<T extends Tally>(aggregates: readonly T[], minVotes: number): T[] {
  return aggregates.filter((aggregate) => aggregate.totalVotes >= minVotes);
}

/** The `count` biggest, those as big in order of their name: the rows that SQL keeps with `max_cells`. */
export function topAggregates<T extends CellAggregate | CountryAggregate>(aggregates: readonly T[], count: number): T[] {
  return [...aggregates].sort(bySize).slice(0, Math.max(0, count));
}

export function bySize(a: CellAggregate | CountryAggregate, b: CellAggregate | CountryAggregate): number {
  return b.totalVotes - a.totalVotes || (nameOf(a) < nameOf(b) ? -1 : 1);
}

function nameOf(place: CellAggregate | CountryAggregate): string {
  return "h3Index" in place ? place.h3Index : place.countryCode;
}
