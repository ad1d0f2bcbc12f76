import { useId, useState } from "react";
import type { MatchStats } from "vote-agg-client";
import { Bar, Name, Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { HUES } from "./hues.js";
import { say, tell } from "./language.js";
import { biggestTeams, firstOf, isFound } from "./teams.js";
import { formatCount, formatPercent, formatPoints, formatShort, marginOf } from "./words.js";

/** Teams that are listed at first. */
const LISTED = 8;

/** Who leads, and by how much. */
export function Headline({ stats, palette }: { stats: MatchStats; palette: Palette }) {
  const { totalVotes, votes, leader, dominance } = stats;
  if (leader === null) return <p className="headline">{say(totalVotes ? "level" : "noVotes")}</p>;
  return (
    <>
      <p className="headline">
        {tell("leadsBy", { team: <strong><bdi>{leader}</bdi></strong>, votes: say("votes", { n: marginOf(stats) }) })} <span className="share">({formatPoints(dominance)})</span>
      </p>
      <Bar votes={votes} palette={palette} most={HUES} />
    </>
  );
}

export interface ScoreProps {
  readonly stats: MatchStats;
  /** Votes in a minute, up to this moment. */
  readonly rate: number;
  readonly palette: Palette;
  /** The one team that the map shows; null: who leads. */
  readonly team: string | null;
  readonly onTeam: (team: string | null) => void;
}

/** The match as a whole, team by team. A team that is pressed is shown alone on the map. */
export function Score({ stats, rate, palette, team: shown, onTeam }: ScoreProps) {
  const { totalVotes, votes } = stats;
  const [isOpen, setOpen] = useState(false);
  const [sought, setSought] = useState("");
  const list = useId();
  const all = biggestTeams(votes);
  const isLong = all.length > LISTED + 1;
  const found = sought.trim() ? all.filter((team) => isFound(team, sought)) : all;
  const { first, left } = isOpen || found !== all ? { first: found, left: 0 } : firstOf(found, LISTED);
  const rest = left ? all.slice(first.length).reduce((sum, team) => sum + votes[team]!, 0) : 0;
  const line = (votes: number) => (
    <>
      <span className="number" data-votes={votes}>{formatCount(votes)}</span>
      <span className="share">{formatPercent(votes / totalVotes, 1)}</span>
    </>
  );
  return (
    <section aria-label={say("score")} className="score">
      {isLong && (
        <input type="search" className="find" value={sought} placeholder={say("findTeam")} aria-label={say("findTeam")} aria-controls={list} onChange={({ target }) => setSought(target.value)} />
      )}
      <ul className="teams" id={list}>
        {first.map((team) => (
          <li key={team}>
            <button type="button" aria-pressed={team === shown} title={say("showTeam", { team })} onClick={() => onTeam(team === shown ? null : team)}>
              <Swatch team={team} palette={palette} />
              <Name>{team}</Name>
              {line(votes[team]!)}
            </button>
          </li>
        ))}
        {left > 0 && (
          <li className="rest">
            <span className="swatch" style={{ background: palette.others }} aria-hidden="true" />
            <span className="name">{say("others", { n: left })}</span>
            {line(rest)}
          </li>
        )}
      </ul>
      {found.length === 0 && all.length > 0 && <p className="quiet" role="status">{say("noTeam")}</p>}
      {isLong && found === all && (
        <button type="button" className="more" aria-expanded={isOpen} aria-controls={list} onClick={() => setOpen(!isOpen)}>
          {isOpen ? say("showFewer") : say("showAll", { n: all.length })}
        </button>
      )}
      <dl className="facts">
        <div><dt>{say("votesLabel")}</dt><dd data-total={totalVotes}>{formatCount(totalVotes)}</dd></div>
        <div><dt>{say("perMinute")}</dt><dd data-rate={rate}>{formatShort(rate)}</dd></div>
      </dl>
    </section>
  );
}
