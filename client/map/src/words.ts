// Numbers and names as people read them.
import type { Votes } from "vote-agg-client";

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const regions = new Intl.DisplayNames("en", { type: "region" });

export const formatCount = (votes: number) => whole.format(votes);
export const formatShort = (votes: number) => short.format(votes);

/** A share of 0 to 1 in per cent. */
export function formatPercent(share: number, decimals = 0): string {
  return `${(share * 100).toFixed(decimals)} %`;
}

export function countryName(code: string): string {
  if (code === "ZZ") return "Unknown";
  try {
    return regions.of(code) ?? code;
  } catch {
    return code;
  }
}

export function formatPlace(latitude: number, longitude: number): string {
  return `${Math.abs(latitude).toFixed(1)}° ${latitude < 0 ? "S" : "N"}, ${Math.abs(longitude).toFixed(1)}° ${longitude < 0 ? "W" : "E"}`;
}

/** Teams with votes, the one with most first. */
export function biggestTeams(votes: Votes): string[] {
  return Object.keys(votes).filter((team) => votes[team]! > 0).sort((a, b) => votes[b]! - votes[a]! || (a < b ? -1 : 1));
}

export function formatTime(at: string): string {
  return new Date(at).toLocaleTimeString("en-GB");
}
