import type { MatchStats } from "vote-agg-client";
import type { VoteSocket } from "vote-agg-client/react";
import { Name, Swatch } from "../Bar.js";
import type { Palette } from "../colour.js";
import { isLive, Trouble, useLastLive } from "../Connection.js";
import { Headline } from "../Score.js";
import { biggestTeams } from "../teams.js";
import { formatCount } from "../words.js";

/** The match in words and numbers: for people who do not see the map, and for all where it cannot be drawn. */
export function Numbers({ stats, palette, isSeen }: { stats: MatchStats; palette: Palette; isSeen: boolean }) {
  return (
    <div className={isSeen ? "numbers" : "unseen"} data-total={stats.totalVotes}>
      <Headline stats={stats} palette={palette} />
      <ul className="teams">
        {biggestTeams(stats.votes).map((team) => (
          <li key={team}><Swatch team={team} palette={palette} /><Name>{team}</Name><span className="number">{formatCount(stats.votes[team]!)}</span></li>
        ))}
      </ul>
    </div>
  );
}

/** What is wrong with the connection. It asks for the time each second, so it stands apart from the map. */
export function Connection({ votes }: { votes: VoteSocket }) {
  const { connected, connectionError: error, staleSince, stats } = votes;
  // The page's remedy for a token is its own address; an application has another one.
  const connectionError = error && (error.code === "forbidden" || error.code.startsWith("token")) ? { ...error, code: "invalid" } : error;
  const connection = { connected, connectionError, staleSince };
  const lastLive = useLastLive(connection, stats !== null);
  return <Trouble {...connection} lastLive={lastLive} onRetry={() => { votes.disconnect(); votes.connect(); }} />;
}

export const isStale = (votes: VoteSocket) => votes.stats !== null && !isLive(votes);
