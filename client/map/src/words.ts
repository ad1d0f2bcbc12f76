// Numbers, times, names and places as people read them.
import type { Tally } from "vote-agg-client";
import { localized, say } from "./language.js";

const whole = localized((locale) => new Intl.NumberFormat(locale));
const short = localized((locale) => new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 }));
const percent = localized((locale) => [0, 1].map((digits) => new Intl.NumberFormat(locale, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits })));
const tenths = localized((locale) => new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 }));
const regions = localized((locale) => new Intl.DisplayNames(locale, { type: "region" }));
const clock = localized((locale) => new Intl.DateTimeFormat(locale, { timeStyle: "medium" }));
const calendar = localized((locale) => new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" }));
const days = localized((locale) => new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }));
const minutes = localized((locale) => new Intl.DateTimeFormat(locale, { timeStyle: "short" }));
const relative = localized((locale) => new Intl.RelativeTimeFormat(locale, { numeric: "auto" }));
const distance = localized((locale) => new Intl.NumberFormat(locale, { style: "unit", unit: "kilometer", maximumFractionDigits: 0 }));

export const formatCount = (votes: number) => whole().format(votes);
export const formatShort = (votes: number) => short().format(votes);
export const formatDistance = (kilometres: number) => distance().format(kilometres);

/** A share of 0 to 1 in per cent. */
export const formatPercent = (share: number, decimals: 0 | 1 = 0) => percent()[decimals]!.format(share);

/** By how many votes the first is ahead of the second. */
export function marginOf({ votes, leader }: Pick<Tally, "votes" | "leader">): number {
  if (leader === null) return 0;
  let second = 0;
  for (const team of Object.keys(votes)) if (team !== leader) second = Math.max(second, votes[team]!);
  return votes[leader]! - second;
}

/** A lead as a share, in a word: points, or that it is less than what points can say. */
export function formatPoints(dominance: number): string {
  const points = dominance * 100;
  return points < 0.1 ? say("underPoints", { n: tenths().format(0.1) }) : say("points", { n: tenths().format(points) });
}

/** A lead in short: per cent, or votes where per cent would say 0. */
export function formatLead(tally: Tally, decimals: 0 | 1 = 0): string {
  return tally.dominance < (decimals ? 0.001 : 0.01) ? `+${say("votes", { n: marginOf(tally) })}` : `+${formatPercent(tally.dominance, decimals)}`;
}

export function countryName(code: string): string {
  if (code === "ZZ") return say("unknownCountry");
  try {
    return regions().of(code) ?? code;
  } catch {
    return code;
  }
}

export function formatPlace(latitude: number, longitude: number): string {
  return say("place", {
    latitude: tenths().format(Math.abs(latitude)), ns: say(latitude < 0 ? "south" : "north"),
    longitude: tenths().format(Math.abs(longitude)), ew: say(longitude < 0 ? "west" : "east"),
  });
}

/** A time of today; of another day with its date. */
export function formatTime(at: string | number, now = Date.now()): string {
  return (isToday(at, now) ? clock() : calendar()).format(new Date(at));
}

const isToday = (at: string | number, now: number) => new Date(at).toDateString() === new Date(now).toDateString();

/** The same without seconds. */
export const formatMoment = (at: number, now = Date.now()) => (isToday(at, now) ? minutes() : days()).format(new Date(at));

/** Hours and minutes. */
export const formatMinute = (at: number) => minutes().format(new Date(at));

/** "3 minutes ago" */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1_000));
  const [unit, size] = seconds < 60 ? ["second", 1] as const : seconds < 3_600 ? ["minute", 60] as const : seconds < 86_400 ? ["hour", 3_600] as const : ["day", 86_400] as const;
  return relative().format(-Math.floor(seconds / size), unit);
}
