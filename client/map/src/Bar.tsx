import type { Votes } from "vote-agg-client";
import type { Palette } from "./colour.js";

/** Shares of teams side by side; what it says stands beside it in words. */
export function Bar({ votes, palette }: { votes: Votes; palette: Palette }) {
  const total = Object.values(votes).reduce((sum, each) => sum + each, 0);
  return (
    <span className="bar" aria-hidden="true">
      {palette.teams.filter((team) => votes[team]).map((team) => (
        <span key={team} style={{ flexGrow: votes[team]! / total, background: palette.of(team) }} />
      ))}
    </span>
  );
}

export function Swatch({ team, palette }: { team: string | null; palette: Palette }) {
  return <span className="swatch" style={{ background: palette.of(team) }} aria-hidden="true" />;
}
