// A client as the README tells to write one: it keeps what it received, notices what cannot be right, and joins again after
// each connect. What it noticed is in `faults`; an exact client has none.
import { io } from "socket.io-client";

export class Follower {
  constructor(urls, { matchId, resolution = null, bundle = true, transports = ["websocket"], auth }) {
    Object.assign(this, { urls, matchId, resolution, bundle, transports, auth });
    this.faults = [];
    this.counts = {};
    this.state = null; // { seq, epoch, stats, cells: Map, countries: Map }
    this.half = null; // of the separate events of one fold
    this.next = 0;
    this.connect();
  }

  connect() {
    const url = this.urls[this.next++ % this.urls.length];
    const socket = io(`${url}/votes`, {
      transports: this.transports, forceNew: true, auth: this.auth, reconnectionDelay: 50, reconnectionDelayMax: 500, timeout: 5000,
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
    const { matchId, resolution, bundle, state } = this;
    this.counts.join = (this.counts.join ?? 0) + 1;
    const wish = { matchId, bundle };
    if (resolution !== null) wish.resolution = resolution;
    if (state) Object.assign(wish, { sinceSeq: state.seq, epoch: state.epoch });
    // One at a time: each is answered with all that was missed since what it says.
    clearTimeout(this.retry);
    const asked = (this.asked = {});
    const { socket } = this;
    socket.timeout(20_000).emit("match:join", wish, (error, ack) => {
      if (asked !== this.asked) return;
      if (error || !ack?.ok) {
        this.counts.refused = (this.counts.refused ?? 0) + 1;
        this.retry = setTimeout(() => socket.connected && socket === this.socket && this.join(), 200);
      } else if (ack.resumed) {
        this.counts.resumed = (this.counts.resumed ?? 0) + 1;
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
      cells: new Map(snapshot.cells), countries: new Map(snapshot.countries),
    };
  }

  apply(match, message) {
    const { state } = this;
    if (match !== this.matchId) return this.faults.push(`update of ${match}`);
    if (!state) return this.faults.push(`update ${message.seq} before any snapshot`);
    const isNext = message.prev === state.seq && message.seq === state.seq + 1 && (state.epoch === null || message.epoch === state.epoch);
    if (!isNext) return this.faults.push(`${message.epoch}/${message.seq} follows ${state.epoch}/${state.seq}`);
    Object.assign(state, { seq: message.seq, epoch: message.epoch, stats: message.stats });
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
