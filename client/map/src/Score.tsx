import type { MatchStats } from "vote-agg-client";
import { Bar, Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { formatShort, formatCount, formatPercent } from "./words.js";

/** The match as a whole. */
export function Score({ stats, palette }: { stats: MatchStats; palette: Palette }) {
  const { totalVotes, votes, leader, dominance, votesPerMinute } = stats;
  const teams = [...palette.teams].filter((team) => votes[team]).sort((a, b) => votes[b]! - votes[a]!);
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
        <div><dt>a minute</dt><dd>{formatShort(votesPerMinute)}</dd></div>
      </dl>
    </section>
  );
}
