import { cellToLatLng } from "h3-js";
import { useState } from "react";
import type { CellAggregate } from "vote-agg-client";
import { Bar, Name, Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { say, tell } from "./language.js";
import { biggestTeams, firstOf } from "./teams.js";
import { formatCount, formatPlace, marginOf } from "./words.js";

/** Teams that a card names: more would not fit on a phone. */
const NAMED = 5;

export interface CellCardProps {
  readonly cell: CellAggregate;
  readonly palette: Palette;
  /** What is near; null: nothing is known of it. */
  readonly near: string | null;
  readonly onClose: () => void;
}

/** The numbers of the cell that is looked at. */
export function CellCard({ cell, palette, near, onClose }: CellCardProps) {
  const { h3Index, totalVotes, votes, leader } = cell;
  const [isNamed, setNamed] = useState(false);
  const [latitude, longitude] = cellToLatLng(h3Index);
  const { first, left } = firstOf(biggestTeams(votes), NAMED);
  return (
    <aside className="cell" aria-label={say("cell")} aria-live="polite" data-cell={h3Index} data-votes={totalVotes}>
      <button type="button" className="close" aria-label={say("close")} onClick={onClose}>×</button>
      <p className="where">{near ?? formatPlace(latitude, longitude)}</p>
      <p className="headline">
        {leader === null ? say("level") : tell("leadsBy", { team: <strong><bdi>{leader}</bdi></strong>, votes: say("votes", { n: marginOf(cell) }) })} <span className="share">{say("ofVotes", { votes: say("votes", { n: totalVotes }) })}</span>
      </p>
      <Bar votes={votes} palette={palette} />
      <ul className="teams">
        {first.map((team) => (
          <li key={team}><Swatch team={team} palette={palette} /><Name>{team}</Name><span className="number">{formatCount(votes[team]!)}</span></li>
        ))}
      </ul>
      {left > 0 && <p className="quiet">{say("andMore", { n: left })}</p>}
      <p className="index">
        <button type="button" aria-expanded={isNamed} onClick={() => setNamed(!isNamed)}>{say("cellIndex")}</button>
        {isNamed && <> <code>{h3Index}</code> {formatPlace(latitude, longitude)}</>}
      </p>
    </aside>
  );
}
