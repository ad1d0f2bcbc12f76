import { cellToLatLng } from "h3-js";
import type { CellAggregate, Votes } from "vote-agg-client";
import { Bar, Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { biggestTeams, formatCount, formatPercent, formatPlace } from "./words.js";

/** Teams that a card names: more would not fit on a phone. */
const NAMED = 5;

/** Teams that the legend names. */
const EXPLAINED = 6;

/** The numbers of the cell that is looked at. */
export function CellCard({ cell, palette, onClose }: { cell: CellAggregate; palette: Palette; onClose: () => void }) {
  const { h3Index, totalVotes, votes, leader, dominance } = cell;
  const [latitude, longitude] = cellToLatLng(h3Index);
  const teams = biggestTeams(votes);
  // One more takes no more room than the line that would leave it out.
  const named = teams.length > NAMED + 1 ? teams.slice(0, NAMED) : teams;
  return (
    <aside className="cell" aria-label="Cell" aria-live="polite" data-cell={h3Index} data-votes={totalVotes}>
      <button type="button" className="close" aria-label="Close" onClick={onClose}>×</button>
      <p className="where">{formatPlace(latitude, longitude)} <code>{h3Index}</code></p>
      <p className="headline">{leader === null ? "Level" : <><strong>{leader}</strong> leads by {formatPercent(dominance)}</>} <span className="share">of {formatCount(totalVotes)} votes</span></p>
      <Bar votes={votes} palette={palette} />
      <ul className="teams">
        {named.map((team) => (
          <li key={team}><Swatch team={team} palette={palette} /><span className="name">{team}</span><span className="number">{formatCount(votes[team]!)}</span></li>
        ))}
      </ul>
      {named.length < teams.length && <p className="quiet">and {teams.length - named.length} more</p>}
    </aside>
  );
}

/** The meaning of colours. */
export function Legend({ votes, palette }: { votes: Votes; palette: Palette }) {
  const teams = biggestTeams(votes);
  if (teams.length === 0) return null;
  const explained = teams.length > EXPLAINED + 1 ? teams.slice(0, EXPLAINED) : teams;
  const steps = [0.01, 0.1, 0.3, 0.6, 1];
  const rgb = (dominance: number, team: string) => `rgb(${palette.shade(team, dominance).join(" ")})`;
  return (
    <div className="legend" aria-label="Colours: who leads, the stronger the clearer" role="img">
      <span>close</span><span>clear</span>
      {explained.map((team) => (
        <div key={team}>
          <span className="ramp">{steps.map((step) => <i key={step} style={{ background: rgb(step, team) }} />)}</span>
          <span className="name">{team}</span>
        </div>
      ))}
      {explained.length < teams.length && <div><span className="ramp rest">{teams.slice(EXPLAINED).map((team) => <i key={team} style={{ background: palette.of(team) }} />)}</span><span className="name">{teams.length - explained.length} others</span></div>}
      <div><span className="ramp"><i style={{ background: palette.of(null) }} /></span><span className="name">level</span></div>
    </div>
  );
}
