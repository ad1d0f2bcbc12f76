// A script in ES modules: prints the total of each change. The arguments are the relay's address and the match.
import { createVoteStore } from "vote-agg-client";

const [, , url, matchId] = process.argv;
const store = createVoteStore({ url, matchId });
const end = store.subscribe(() => {
  const { stats } = store.getSnapshot();
  if (!stats) return;
  console.log(stats.totalVotes);
  if (stats.totalVotes >= 2) end();
});
