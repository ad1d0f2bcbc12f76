import { useState } from "react";
import type { Votes } from "vote-agg-client";
import { Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { say } from "./language.js";
import { biggestTeams } from "./teams.js";
import { formatPercent } from "./words.js";

/** Teams that the folded legend of a phone names. */
const CHIPS = 3;

export interface LegendProps {
  readonly votes: Votes;
  readonly palette: Palette;
  /** The one team that the map shows; null: who leads. */
  readonly team: string | null;
  readonly onTeam: (team: string | null) => void;
  /** Folded to a row, until it is opened. */
  readonly isNarrow: boolean;
}

/** The meaning of colours. */
export function Legend({ votes, palette, team, onTeam, isNarrow }: LegendProps) {
  const [isOpen, setOpen] = useState(false);
  const teams = biggestTeams(votes);
  if (teams.length === 0) return null;
  if (team !== null) return <TeamLegend team={team} palette={palette} onTeam={onTeam} />;
  const own = teams.filter((each) => palette.has(each));
  const others = teams.length - own.length;
  const chips = own.slice(0, CHIPS);
  return (
    <div className="legend">
      {isNarrow && (
        <button type="button" className="chips" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          <span className="unseen">{say("colours")}: </span>
          {chips.map((each) => <span key={each} className="chip"><Swatch team={each} palette={palette} /><bdi>{each}</bdi></span>)}
          {teams.length > chips.length && <span className="chip quiet">+{teams.length - chips.length}</span>}
        </button>
      )}
      {(!isNarrow || isOpen) && <Ramps teams={own} others={others} palette={palette} />}
    </div>
  );
}

const STEPS = [0.01, 0.1, 0.3, 0.6, 1];

function Ramps({ teams, others, palette }: { teams: readonly string[]; others: number; palette: Palette }) {
  const ramp = (team: string) => (
    <span className="ramp">{STEPS.map((step) => <i key={step} style={{ background: `rgb(${palette.shade(team, step).join(" ")})` }} />)}</span>
  );
  return (
    <div className="ramps" role="img" aria-label={`${say("coloursAre")}: ${teams.join(", ")}`}>
      <span>{say("closeRace")}</span><span>{say("clearLead")}</span>
      {teams.map((team) => <div key={team}>{ramp(team)}<bdi className="name">{team}</bdi></div>)}
      {others > 0 && <div data-others={others}><span className="ramp"><i style={{ background: palette.others }} /></span><span className="name">{say("others", { n: others })}</span></div>}
      <div><span className="ramp"><i style={{ background: palette.of(null) }} /></span><span className="name">{say("levelLow")}</span></div>
    </div>
  );
}

function TeamLegend({ team, palette, onTeam }: { team: string; palette: Palette; onTeam: (team: string | null) => void }) {
  const shares = [0.1, 0.3, 0.5, 0.7, 0.9];
  return (
    <div className="legend one" data-team={team}>
      <p><bdi>{say("shareOf", { team })}</bdi></p>
      <span className="ramp" role="img" aria-label={`${formatPercent(0)} – ${formatPercent(1)}`}>
        {shares.map((share) => <i key={share} style={{ background: `rgb(${palette.share(team, share).join(" ")})` }} />)}
      </span>
      <span className="scale" aria-hidden="true">{[0, 0.2, 0.4, 0.6, 0.8, 1].map((share) => <span key={share}>{formatPercent(share)}</span>)}</span>
      <button type="button" className="more" onClick={() => onTeam(null)}>{say("showLeaders")}</button>
    </div>
  );
}
