// Teams: their order, and how one is found.
import type { Votes } from "vote-agg-client";
import { localized } from "./language.js";

const collator = localized((locale) => new Intl.Collator(locale, { numeric: true }));

/** As people sort names: "Team 2" before "Team 10". */
export const byName = (a: string, b: string) => collator().compare(a, b) || (a < b ? -1 : Number(a > b));

/** Teams with votes, the one with most first; those as big by name. */
export function biggestTeams(votes: Votes): string[] {
  return Object.keys(votes).filter((team) => votes[team]! > 0).sort((a, b) => votes[b]! - votes[a]! || byName(a, b));
}

/** Without marks and capitals. */
const plain = (text: string) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLocaleLowerCase().trim();

/** Whether a name is what somebody looks for: each word of that begins one of the name, in any order. */
export function isFound(name: string, sought: string): boolean {
  const own = plain(name);
  const words = own.split(/[^\p{L}\p{N}]+/u);
  // Scripts without spaces, and flags, are found anywhere.
  return plain(sought).split(/\s+/).every((word) => words.some((each) => each.startsWith(word)) || (/[^\x00-\x7f]/.test(word) && own.includes(word)));
}

/** The first ones, and how many are left: one more takes no more room than the line that would leave it out. */
export function firstOf<T>(list: readonly T[], most: number): { first: readonly T[]; left: number } {
  return list.length > most + 1 ? { first: list.slice(0, most), left: list.length - most } : { first: list, left: 0 };
}
