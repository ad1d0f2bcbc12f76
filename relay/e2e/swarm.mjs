// Many followers in one process, told what to do by lines of JSON on stdin; each line is answered by one.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";
import { Follower } from "./follower.mjs";

const followers = [];
const raw = new Map();
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const commands = {
  start({ urls, clients }) {
    followers.push(...clients.map((client) => new Follower(urls, client)));
  },
  heads: () => followers.map(({ matchId, state, socket }) => [matchId, state?.epoch ?? null, state?.seq ?? -1, !!socket?.connected]),
  totals: () => followers.map(({ state }) => state?.stats.total ?? -1),
  reports: () => followers.map((follower) => follower.report()),
  // A share of them, chosen by a number so that a run can be repeated.
  drop({ every, offset }) {
    followers.filter((_, n) => n % every === offset % every).forEach((follower) => follower.drop());
  },
  // Some look elsewhere: areas by the number of the follower.
  move({ areas }) {
    for (const [number, area] of Object.entries(areas)) followers[number].move(area);
  },
  stop() {
    followers.splice(0).forEach((follower) => follower.socket?.disconnect());
    for (const socket of raw.values()) socket.disconnect();
    raw.clear();
  },
  // One plain client; its events are kept as they came.
  async open({ name, url, options = {}, namespace = "/votes", patience = 30_000 }) {
    const socket = io(url + namespace, { transports: ["websocket"], forceNew: true, reconnection: false, ...options });
    const events = [];
    socket.onAny((event, ...data) => events.push([event, ...data]));
    socket.on("disconnect", (reason) => events.push(["disconnect", reason]));
    socket.events = events;
    raw.set(name, socket);
    return Promise.race([
      new Promise((done) => socket.once("connect", () => done({ connected: true, transport: socket.io.engine.transport.name }))),
      new Promise((done) => socket.once("connect_error", (e) => done({ connected: false, error: e.message, active: socket.active }))),
      wait(patience).then(() => ({ connected: false, error: "patience" })),
    ]);
  },
  async emit({ name, event, data = [], patience = 30_000 }) {
    try {
      return await raw.get(name).timeout(patience).emitWithAck(event, ...data);
    } catch (e) {
      return { error: e.message };
    }
  },
  // Without waiting for answers.
  flood({ name, event, data = [], times }) {
    for (let n = 0; n < times; n++) raw.get(name).emit(event, ...data);
  },
  events: ({ name }) => raw.get(name).events,
  transport: ({ name }) => raw.get(name).io.engine.transport.name,
  connected: ({ name }) => raw.get(name).connected,
  close({ name }) {
    raw.get(name).disconnect();
    raw.delete(name);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { answer: (await commands[command](options)) ?? null };
  } catch (e) {
    answer = { failed: e.stack };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
