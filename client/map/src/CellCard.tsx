import { cellToLatLng } from "h3-js";
import type { CellAggregate } from "vote-agg-client";
import { Bar, Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { formatCount, formatPercent, formatPlace } from "./words.js";

/** The numbers of the cell that is looked at. */
export function CellCard({ cell, palette }: { cell: CellAggregate; palette: Palette }) {
  const { h3Index, totalVotes, votes, leader, dominance } = cell;
  const [latitude, longitude] = cellToLatLng(h3Index);
  return (
    <aside className="cell" aria-label="Cell" aria-live="polite" data-cell={h3Index} data-votes={totalVotes}>
      <p className="where">{formatPlace(latitude, longitude)} <code>{h3Index}</code></p>
      <p className="headline">{leader === null ? "Level" : <><strong>{leader}</strong> leads by {formatPercent(dominance)}</>} <span className="share">of {formatCount(totalVotes)} votes</span></p>
      <Bar votes={votes} palette={palette} />
      <ul className="teams">
        {palette.teams.filter((team) => votes[team]).map((team) => (
          <li key={team}><Swatch team={team} palette={palette} /><span className="name">{team}</span><span className="number">{formatCount(votes[team]!)}</span></li>
        ))}
      </ul>
    </aside>
  );
}

/** What colours mean. */
export function Legend({ palette }: { palette: Palette }) {
  if (palette.teams.length === 0) return null;
  const steps = [0.01, 0.1, 0.3, 0.6, 1];
  const rgb = (dominance: number, team: string) => `rgb(${palette.shade(team, dominance).join(" ")})`;
  return (
    <div className="legend" aria-label="Colours: who leads, the stronger the clearer" role="img">
      <span>close</span><span>clear</span>
      {palette.teams.slice(0, 6).map((team) => (
        <div key={team}>
          <span className="ramp">{steps.map((step) => <i key={step} style={{ background: rgb(step, team) }} />)}</span>
          <span className="name">{team}</span>
        </div>
      ))}
      <div><span className="ramp"><i style={{ background: palette.of(null) }} /></span><span className="name">level</span></div>
    </div>
  );
}
