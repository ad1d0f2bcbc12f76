// The fan-out that a competent user writes on the official server, as its documentation teaches: a room a match, a snapshot at
// the join, three events a fold. PORT, and the variables of libpq, say where.
import { createServer } from "node:http";
import { Server } from "socket.io";
import pg from "pg";

const http = createServer();
const votes = new Server(http).of("/votes");
const pool = new pg.Pool();
const heads = new Map(); // the last seq sent, by match

votes.on("connection", (socket) => {
  socket.on("match:join", async ({ matchId }, acknowledge) => {
    const { rows } = await pool.query("SELECT get_match_snapshot($1) AS snapshot", [matchId]);
    const [{ snapshot }] = rows;
    if (!heads.has(matchId)) heads.set(matchId, snapshot.seq);
    socket.emit("match:snapshot", snapshot);
    socket.join(`match:${matchId}`);
    acknowledge({ ok: true });
  });
});

function send({ match, seq, prev, epoch, at, cells, countries, stats, new: arrived }) {
  const head = { matchId: match, seq, prev, epoch, at };
  const room = votes.to(`match:${match}`);
  room.emit("aggregate:updated", { ...head, cells, countries });
  room.emit("match:stats", { ...head, stats });
  room.emit("vote:new", { ...head, new: arrived });
}

let turn = Promise.resolve();
const listener = new pg.Client();
listener.on("notification", ({ payload }) => {
  const message = JSON.parse(payload);
  if (!heads.has(message.match)) return;
  // One after the other: a message that has to be fetched must not be overtaken.
  turn = turn.then(async () => {
    const messages = [message];
    if (message.partial) {
      const changes = "SELECT body FROM get_match_changes($1, $2) ORDER BY seq";
      const { rows } = await pool.query(changes, [message.match, heads.get(message.match)]);
      messages.splice(0, 1, ...rows.map((row) => row.body));
    }
    for (const each of messages.filter((each) => each.seq > heads.get(each.match))) {
      heads.set(each.match, each.seq);
      send(each);
    }
  });
});
await listener.connect();
await listener.query("LISTEN vote_agg");
http.listen(Number(process.env.PORT), "127.0.0.1");
