import type { Door } from "vote-agg-client";

/** May this page vote? The relay decides; this spares the visitor buttons that it would refuse. */
export function mayVote(door: Door | null, token: string | undefined): boolean {
  if (door === null) return false;
  return token === undefined ? door === "anonymous" : scopesOf(token).some((scope) => scope === "vote" || scope === "vote:any");
}

function scopesOf(token: string): readonly string[] {
  try {
    const { scope } = JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))) as { scope?: unknown };
    return Array.isArray(scope) ? scope.map(String) : String(scope ?? "").split(" ");
  } catch {
    return [];
  }
}

/** The teams to choose from: those that the page's address names, then those that have votes, by name. */
export function teamsOf(search: string, seen: readonly string[]): string[] {
  const named = (new URLSearchParams(search).get("teams") ?? "").split(",").filter((team) => team !== "");
  const others = seen.filter((team) => !named.includes(team)).sort();
  return [...new Set([...named, ...others])];
}
