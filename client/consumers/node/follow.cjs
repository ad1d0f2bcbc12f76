// The same in CommonJS, on all of Node 20.
const { createVoteStore } = require("vote-agg-client");
const { version } = require("vote-agg-client/package.json");

const [, , url, matchId] = process.argv;
const store = createVoteStore({ url, matchId });
console.error(version);
const end = store.subscribe(() => {
  const { stats } = store.getSnapshot();
  if (!stats) return;
  console.log(stats.totalVotes);
  if (stats.totalVotes >= 2) end();
});
