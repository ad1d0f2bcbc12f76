import type { MatchStats } from "vote-agg-client";
import { Bar, Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { biggestTeams, formatCount, formatPercent, formatShort } from "./words.js";

/** The match as a whole. `rate`: votes in a minute, up to this moment. */
export function Score({ stats, rate, palette }: { stats: MatchStats; rate: number; palette: Palette }) {
  const { totalVotes, votes, leader, dominance } = stats;
  const teams = biggestTeams(votes);
  return (
    <section aria-label="Score" className="score">
      <p className="headline">{leader === null ? (totalVotes ? "Level" : "No votes yet") : <><strong>{leader}</strong> leads by {formatPercent(dominance, 1)}</>}</p>
      <Bar votes={votes} palette={palette} />
      <ul className="teams">
        {teams.map((team) => (
          <li key={team}>
            <Swatch team={team} palette={palette} />
            <span className="name" title={team}>{team}</span>
            <span className="number" data-votes={votes[team]}>{formatCount(votes[team]!)}</span>
            <span className="share">{formatPercent(votes[team]! / totalVotes, 1)}</span>
          </li>
        ))}
      </ul>
      <dl className="facts">
        <div><dt>votes</dt><dd data-total={totalVotes}>{formatCount(totalVotes)}</dd></div>
        <div><dt>a minute</dt><dd data-rate={rate}>{formatShort(rate)}</dd></div>
      </dl>
    </section>
  );
}
