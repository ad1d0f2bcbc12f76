"use client";
import { useVoteSocket } from "vote-agg-client/react";

export function Score({ matchId, url }) {
  const { stats, connected } = useVoteSocket({ matchId, url });
  return <p>{stats?.leader ?? "Nobody"} leads, {stats?.totalVotes ?? 0} votes{connected ? "" : " (connecting…)"}</p>;
}
