// A client as the README tells to write one: it keeps what it received, notices what cannot be right, and joins again after
// each connect. What it noticed is in `faults`; an exact client has none.
import { Agent } from "node:http";
import { io } from "socket.io-client";

const resolutionOf = (cell) => parseInt(cell[1], 16);

/** Whether one cell lies in the other: their digits are the same as far as both have some. */
function isRelated(a, b) {
  const shift = BigInt(45 - 3 * Math.min(resolutionOf(a), resolutionOf(b)));
  const digits = (cell) => (BigInt(`0x${cell}`) & ((1n << 52n) - 1n)) >> shift;
  return digits(a) === digits(b);
}

export class Follower {
  constructor(urls, { matchId, resolution = null, bundle = true, area = null, parts, transports = ["websocket"], auth, address }) {
    Object.assign(this, { urls, matchId, resolution, bundle, area, parts, transports, auth });
    this.agent = address && new Agent({ localAddress: address, keepAlive: true }); // the address that it comes from
    this.faults = [];
    this.counts = {};
    this.state = null; // { seq, epoch, stats, area, cells: Map, countries: Map }
    this.half = null; // of the separate events of one fold
    this.next = 0;
    this.connect();
  }

  connect() {
    const url = this.urls[this.next++ % this.urls.length];
    const socket = io(`${url}/votes`, {
      transports: this.transports, forceNew: true, auth: this.auth, agent: this.agent, reconnectionDelay: 50, reconnectionDelayMax: 500, timeout: 60_000,
    });
    this.socket = socket;
    const on = (name, handle) => socket.on(name, (data) => {
      this.counts[name] = (this.counts[name] ?? 0) + 1;
      if (socket === this.socket) handle(data);
    });
    socket.on("connect", () => this.join());
    socket.on("connect_error", (error) => {
      this.counts.connect_error = (this.counts.connect_error ?? 0) + 1;
      if (!socket.active) this.faults.push(`refused: ${error.message}`);
    });
    on("match:snapshot", (snapshot) => this.replace(snapshot));
    on("match:update", (message) => this.apply(message.match, message));
    on("match:area", (arrived) => this.look(arrived));
    // The two that carry the state come in this order.
    on("aggregate:updated", (data) => { this.half = data; });
    on("match:stats", (data) => {
      const { half } = this;
      if (half?.seq !== data.seq) return this.faults.push(`stats of ${data.seq} without cells (${half?.seq})`);
      this.apply(data.matchId, { ...half, stats: data.stats });
    });
    on("vote:new", (data) => {
      if (data.seq !== this.state?.seq) this.faults.push(`new votes of ${data.seq} at ${this.state?.seq}`);
    });
    on("relay:closing", ({ reason }) => { this.closing = reason; });
    return socket;
  }

  join() {
    const { matchId, resolution, bundle, area, parts, state } = this;
    this.counts.join = (this.counts.join ?? 0) + 1;
    const wish = { matchId, bundle };
    if (area) wish.area = area;
    if (parts) wish.parts = parts;
    if (resolution !== null) wish.resolution = resolution;
    if (state) Object.assign(wish, { sinceSeq: state.seq, epoch: state.epoch });
    if (state && String(state.area) !== String(area)) wish.from = state.area;
    // One at a time: each is answered with all that was missed since what it says.
    clearTimeout(this.retry);
    const asked = (this.asked = {});
    const { socket } = this;
    socket.timeout(20_000).emit("match:join", wish, (error, ack) => {
      if (asked !== this.asked) return;
      if (error || !ack?.ok) {
        this.counts.refused = (this.counts.refused ?? 0) + 1;
        this.retry = setTimeout(() => socket.connected && socket === this.socket && this.join(), 200);
      } else {
        if (ack.resumed) this.counts.resumed = (this.counts.resumed ?? 0) + 1;
        this.asked = null;
        if (String(area) !== String(this.area)) this.join();
      }
    });
  }

  replace(snapshot) {
    const { state } = this;
    if (snapshot.match !== this.matchId) this.faults.push(`snapshot of ${snapshot.match}`);
    if (snapshot.resolution !== this.resolution) this.faults.push(`snapshot at ${snapshot.resolution}`);
    if (state && state.epoch === snapshot.epoch && snapshot.seq < state.seq) {
      this.faults.push(`snapshot goes back from ${state.seq} to ${snapshot.seq} in ${state.epoch}`);
    }
    this.state = {
      seq: snapshot.seq, epoch: snapshot.epoch, stats: snapshot.stats,
      area: snapshot.area ?? null, cells: new Map(snapshot.cells), countries: new Map(snapshot.countries),
    };
  }

  // Looks elsewhere: another area (names in order), or everywhere. Only the last of several moves counts.
  move(area) {
    this.area = area;
    this.hasMoved = true;
    if (!this.asked && this.socket?.connected) this.join();
  }

  look({ match, seq, epoch, resolution, area, cells }) {
    const { state } = this;
    const isNow = state?.seq === seq && state.epoch === epoch && resolution === this.resolution && match === this.matchId;
    if (!isNow) return this.faults.push(`area at ${epoch}/${seq}, not ${state?.epoch}/${state?.seq}`);
    const isIn = (cell) => !area || area.some((own) => isRelated(own, cell));
    for (const cell of state.cells.keys()) if (!isIn(cell)) state.cells.delete(cell);
    for (const [cell, votes] of cells) {
      if (state.cells.has(cell) || !isIn(cell)) this.faults.push(`${cell} does not come into ${area}`);
      state.cells.set(cell, votes);
    }
    state.area = area;
  }

  apply(match, message) {
    const { state } = this;
    if (match !== this.matchId) return this.faults.push(`update of ${match}`);
    if (!state) return this.faults.push(`update ${message.seq} before any snapshot`);
    // Between its asking and the answer, what is on its way is told once more.
    if (this.hasMoved && message.epoch === state.epoch && message.seq <= state.seq) return;
    const isNext = message.prev === state.seq && message.seq === state.seq + 1 && (state.epoch === null || message.epoch === state.epoch);
    if (!isNext) return this.faults.push(`${message.epoch}/${message.seq} follows ${state.epoch}/${state.seq}`);
    Object.assign(state, { seq: message.seq, epoch: message.epoch, stats: message.stats });
    const stray = state.area && message.cells.find(([cell]) => !state.area.some((own) => isRelated(own, cell)));
    if (stray) this.faults.push(`${stray[0]} is not in ${state.area}`);
    for (const list of ["cells", "countries"]) {
      for (const [place, votes] of message[list]) {
        if (Object.keys(votes).length) state[list].set(place, votes);
        else state[list].delete(place);
      }
    }
  }

  // As when the network breaks: no goodbye, and the next relay in the list.
  drop() {
    const old = this.socket;
    old.io.reconnection(false);
    this.socket = null;
    old.io.engine?.close();
    old.disconnect();
    this.connect();
  }

  report() {
    const { state, faults, counts } = this;
    return {
      matchId: this.matchId, resolution: this.resolution, faults, counts, closing: this.closing, connected: !!this.socket?.connected,
      state: state && { ...state, cells: [...state.cells], countries: [...state.countries] },
    };
  }
}
