import type { Votes } from "vote-agg-client";
import type { Palette } from "./colour.js";
import { byName } from "./teams.js";

/** A part of a bar; null: all teams without a part of their own. */
type Part = readonly [team: string | null, votes: number];

/** Parts by name, so that they stay where they are while votes come in; of many teams the `most` biggest and the rest. */
export function partsOf(votes: Votes, palette: Palette, most: number): Part[] {
  const teams = Object.keys(votes).filter((team) => votes[team]! > 0);
  if (teams.length <= most) return teams.sort(byName).map((team) => [team, votes[team]!]);
  const biggest = teams.filter((team) => palette.has(team)).sort((a, b) => votes[b]! - votes[a]!).slice(0, most - 1);
  const rest = teams.reduce((sum, team) => (biggest.includes(team) ? sum : sum + votes[team]!), 0);
  return [...biggest.map((team) => [team, votes[team]!] as const), [null, rest]];
}

/** Shares of teams side by side; what it says stands beside it in words. */
export function Bar({ votes, palette, most = 3 }: { votes: Votes; palette: Palette; most?: number }) {
  const parts = partsOf(votes, palette, most);
  const total = parts.reduce((sum, [, each]) => sum + each, 0);
  return (
    <span className="bar" aria-hidden="true">
      {parts.map(([team, count]) => (
        <span key={team ?? "\0"} style={{ flexGrow: count / total, background: team === null ? palette.others : palette.of(team) }} />
      ))}
    </span>
  );
}

export function Swatch({ team, palette }: { team: string | null; palette: Palette }) {
  return <span className="swatch" style={{ background: palette.of(team) }} aria-hidden="true" />;
}

/** A name that may be long, or run from right to left. */
export function Name({ children }: { children: string }) {
  return <bdi className="name" title={children}>{children}</bdi>;
}
