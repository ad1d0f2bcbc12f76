// Which teams have a colour of their own, and which.
import type { CountryAggregate, Votes } from "vote-agg-client";
import { biggestTeams } from "./teams.js";

/** Colours that there are. */
export const HUES = 8;

/** The hues that teams get as long as there are no more of them. */
const FEW = 4;

/** A team keeps its colour until so many others are before it. */
const SLACK = 4;

/** Teams that lead the match have a colour, wherever they lead. */
const FIRST = 3;

/** Names of colours, taken at their word: the nearest of the hues. */
const WORDS = new Map(Object.entries({
  blue: 0, navy: 0, indigo: 0, red: 1, vermilion: 1, scarlet: 1, crimson: 1, green: 2, teal: 2, turquoise: 2, lime: 2, pink: 4, rose: 4, magenta: 4,
  maroon: 4, wine: 4, orange: 3, amber: 3, yellow: 3, gold: 3, sky: 5, cyan: 5, aqua: 5, azure: 5, purple: 6, violet: 6, brown: 7, olive: 7,
}));

/** A number that goes by the name alone (FNV-1a). */
function hash(name: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) value = Math.imul(value ^ name.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/**
 * The hue of each of at most eight teams, by its place among the hues. Those in `kept` keep theirs. The others' follow from the names
 * alone, so that all visitors see the same colours. A team gets the hue that it is called by. Else its name chooses one, or the
 * next free one.
 */
export function huesOf(teams: readonly string[], kept: ReadonlyMap<string, number> = new Map()): ReadonlyMap<string, number> {
  const hues = new Map(kept);
  const taken = new Set(kept.values());
  const take = (team: string, hue: number) => {
    hues.set(team, hue);
    taken.add(hue);
  };
  const fresh = [...teams].filter((team) => !hues.has(team)).sort();
  for (const team of fresh) {
    const hue = WORDS.get(team.toLowerCase());
    if (hue !== undefined && !taken.has(hue)) take(team, hue);
  }
  for (const team of fresh) {
    if (hues.has(team)) continue;
    const [few, many] = [FEW, HUES - FEW].map((count) => Array.from({ length: count }, (_, i) => (hash(team) + i) % count));
    const wanted = [...few!, ...many!.map((hue) => FEW + hue)];
    take(team, wanted.find((hue) => !taken.has(hue))!);
  }
  return hues;
}

/** Teams by their claim to a colour: the first of the match, then by the countries where they lead, then by votes. */
export function claims(votes: Votes, countries: readonly Pick<CountryAggregate, "leader">[]): string[] {
  const teams = biggestTeams(votes);
  const led = new Map<string, number>();
  for (const { leader } of countries) if (leader !== null) led.set(leader, (led.get(leader) ?? 0) + 1);
  const rest = teams.slice(FIRST).sort((a, b) => (led.get(b) ?? 0) - (led.get(a) ?? 0));
  return [...teams.slice(0, FIRST), ...rest];
}

/**
 * The teams that have a colour of their own, from those that had one. Up to eight teams all have one. Of more, those with the best
 * claims have one, and keep it while the ranking moves: until four others are before them, or a leader of the match needs the room.
 */
export function colourTeams(known: ReadonlyMap<string, number>, teams: readonly string[], ranking: readonly string[]): ReadonlyMap<string, number> {
  if (teams.length <= HUES) return huesOf(teams);
  const place = new Map(ranking.map((team, i) => [team, i]));
  const placeOf = (team: string) => place.get(team) ?? Infinity;
  const kept = [...known.keys()].filter((team) => placeOf(team) < HUES + SLACK).sort((a, b) => placeOf(a) - placeOf(b));
  const lacking = ranking.slice(0, FIRST).filter((team) => !kept.includes(team));
  const chosen = new Set([...kept.slice(0, HUES - lacking.length), ...lacking]);
  for (const team of ranking) if (chosen.size < HUES) chosen.add(team);
  if (chosen.size === known.size && [...chosen].every((team) => known.has(team))) return known;
  return huesOf([...chosen], new Map([...known].filter(([team]) => chosen.has(team))));
}
