// How much memory the state of 100,000 cells takes: `node --expose-gc test/memory.js` prints megabytes. Uses what `npm run build` made.
import { gridDisk } from "h3-js";
import { applyMessage } from "../dist/state.js";

const text = (seq) => {
  const cells = gridDisk("872a1072bffffff", 183).slice(0, 100_000).map((cell, i) => [cell, { home: i + seq, away: 2 * i }]);
  const stats = { total: 1, votes: { home: 1, away: 0 }, leader: "home", dominance: 1, per_minute: 0 };
  return JSON.stringify({ v: 1, match: "final", seq, epoch: "e", at: null, status: "open", resolution: null, stats, cells, countries: [] });
};
const used = () => {
  global.gc();
  global.gc();
  return process.memoryUsage().heapUsed;
};

gridDisk("872a1072bffffff", 183); // what h3-js keeps for itself
const before = used();
let state;
// In a function of its own, so that nothing holds the text afterwards.
const take = (seq) => {
  state = applyMessage(state, JSON.parse(text(seq)));
};
[2, 3].forEach(take);
// As after an hour of folds: nothing of the past may be kept.
for (let i = 0; i < 500; i++) {
  const cells = state.aggregates.slice(i, i + 100).map(({ h3Index, votes }) => [h3Index, { ...votes, home: votes.home + 1 }]);
  const message = { v: 1, match: "final", seq: state.seq + 1, prev: state.seq, epoch: "e", at: "", stats: { votes: {} }, cells, countries: [] };
  state = applyMessage(state, JSON.parse(JSON.stringify(message)));
}
console.log(((used() - before) / 1e6).toFixed(1));
if (state.aggregates.length !== 100_000 || state.stale) throw new Error("not the state that was meant");
