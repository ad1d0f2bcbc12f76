// A relay by script: the official server, speaking the relay's protocol about matches that live in this file.
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Server, type Socket } from "socket.io";
import { cellToParent } from "h3-js";
import { areaTest } from "../src/area.js";
import type { Message, PlaceVotes, Snapshot, Votes } from "../src/message.js";
import { cellAggregate, tallyOf } from "../src/tally.js";

/** What a join sends. */
interface JoinRequest {
  matchId: string;
  bundle?: boolean;
  parts?: string[];
  resolution?: number;
  area?: string[];
  sinceSeq?: number;
  epoch?: string;
}

type Counts = Map<string, Votes>;

export class ScriptedMatch {
  seq = 0;
  epoch: string | null = null;
  cells: Counts = new Map();
  countries: Counts = new Map();
  messages: Message[] = [];

  constructor(readonly id: string) {}

  /** New totals of some places, as a fold publishes them. */
  fold(cells: PlaceVotes[], countries: PlaceVotes[] = [], extra: Partial<Message> = {}): Message {
    this.epoch ??= "e1";
    for (const [list, entries] of [[this.cells, cells], [this.countries, countries]] as const) {
      for (const [place, votes] of entries) {
        if (Object.keys(votes).length) list.set(place, votes);
        else list.delete(place);
      }
    }
    const message: Message = {
      v: 1, match: this.id, seq: ++this.seq, prev: this.seq - 1, epoch: this.epoch, at: "2026-07-19T20:11:03.120Z",
      stats: this.stats(), cells, countries, ...extra,
    };
    this.messages.push(message);
    return message;
  }

  snapshot(resolution: number | null, area?: readonly string[]): Snapshot {
    const { id, seq, epoch } = this;
    const isIn = area ? areaTest(area) : () => true;
    return {
      v: 1, match: id, seq, epoch, at: null, status: seq ? "open" : "unknown", resolution, stats: this.stats(), ...(area && { area }),
      cells: [...rolled(this.cells, resolution)].filter(([cell]) => isIn(cell)), countries: [...this.countries],
    };
  }

  private stats() {
    const votes = sum(this.cells.values());
    const { totalVotes: total, leader, dominance } = tallyOf(votes);
    return { total, votes, leader, dominance, per_minute: total };
  }
}

function rolled(cells: Counts, resolution: number | null): Counts {
  const sums = new Map<string, Votes[]>();
  for (const [cell, votes] of cells) {
    const own = cellAggregate(cell, votes).resolution;
    const parent = resolution === null || own <= resolution ? cell : cellToParent(cell, resolution);
    sums.set(parent, [...(sums.get(parent) ?? []), votes]);
  }
  return new Map([...sums].map(([cell, all]) => [cell, sum(all)]));
}

function sum(all: Iterable<Votes>): Votes {
  const votes: Record<string, number> = {};
  for (const each of all) for (const [team, count] of Object.entries(each)) votes[team] = (votes[team] ?? 0) + count;
  return votes;
}

/** So many a second, and twice as many at once: the relay's rule. */
class Rate {
  private tokens: number;
  private filledAt = performance.now();

  constructor(private readonly aSecond: number) {
    this.tokens = 2 * aSecond;
  }

  allow(): boolean {
    const now = performance.now();
    this.tokens = Math.min(2 * this.aSecond, this.tokens + ((now - this.filledAt) * this.aSecond) / 1_000);
    this.filledAt = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}

/** A vote as it came. */
export interface SentVote {
  readonly method: string;
  readonly path: string;
  readonly token: string | undefined;
  readonly key: string | undefined;
  readonly body: { readonly teamChoice: string | null; readonly turn?: number; readonly h3Index?: string } | null;
}

export type VoteReply = readonly [status: number, body: object];

export interface RelaySettings {
  readonly port?: number;
  readonly path?: string;
  /** A folder that is served beside the protocol. */
  readonly files?: string;
  /** Per socket; by default those of the relay. */
  readonly maxRooms?: number;
  readonly maxJoins?: number;
  readonly maxEvents?: number;
}

export class ScriptedRelay {
  readonly joins: JoinRequest[] = [];
  readonly leaves: string[] = [];
  /** Tokens shown: at connecting and later. */
  readonly tokens: (string | undefined)[] = [];
  readonly renewals: string[] = [];
  readonly matches = new Map<string, ScriptedMatch>();
  /** What to refuse: a reason, or nothing. */
  refuseConnection: (token: string | undefined) => string | undefined = () => undefined;
  refuseJoin: (request: JoinRequest) => string | undefined = () => undefined;
  refuseToken: (token: string) => string | undefined = () => undefined;
  /** Joins are heard and not answered. */
  isMute = false;
  onRequest: (request: IncomingMessage) => void = () => {};
  /** Answers a vote, or a question for the vote that stands: a status and a body. */
  onVote: ((vote: SentVote) => VoteReply | Promise<VoteReply>) | undefined;
  /** Sent to each client that connects. */
  welcomeWith: object | undefined;
  /** Connections and disconnections so far. */
  readonly seen = { connections: 0, disconnections: 0 };
  private readonly io: Server;
  private readonly streams = new Map<ServerResponse, string>();

  private constructor(
    private readonly http: HttpServer,
    private readonly settings: RelaySettings,
  ) {
    this.io = new Server(http, { cors: { origin: "*" }, cookie: { name: "sticky" }, ...(settings.path && { path: settings.path }) });
    http.prependListener("request", (request) => this.onRequest(request));
    http.on("request", (request, response) => this.stream(request, response));
    this.namespace.use((socket, next) => {
      const token = socket.handshake.auth.token as string | undefined;
      this.tokens.push(token);
      const reason = this.refuseConnection(token);
      next(reason === undefined ? undefined : new Error(reason));
    });
    this.namespace.on("connection", (socket) => this.welcome(socket));
  }

  static async start(settings: RelaySettings = {}): Promise<ScriptedRelay> {
    const http = createServer();
    const relay = new ScriptedRelay(http, settings);
    await new Promise<void>((done) => http.listen(settings.port ?? 0, "127.0.0.1", done));
    return relay;
  }

  get namespace() {
    return this.io.of("/votes");
  }

  get port(): number {
    return (this.http.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Connections at this moment. */
  get clients(): number {
    return this.io.engine.clientsCount;
  }

  match(id: string): ScriptedMatch {
    let match = this.matches.get(id);
    if (!match) this.matches.set(id, (match = new ScriptedMatch(id)));
    return match;
  }

  /** Folds, and sends it to everybody who follows: at a coarser resolution, the sums. */
  fold(id: string, cells: PlaceVotes[], countries: PlaceVotes[] = [], extra: Partial<Message> = {}): void {
    const match = this.match(id);
    const message = match.fold(cells, countries, extra);
    for (const [response, followed] of this.streams) if (followed === id) send(response, "match:update", message);
    for (const room of this.namespace.adapter.rooms.keys()) {
      const found = /^(.*)@(\d+)$/.exec(room);
      if (room === id) this.namespace.to(room).emit("match:update", message);
      else if (found?.[1] === id) {
        const sums = rolled(match.cells, Number(found[2]));
        const parents = new Set(cells.map(([cell]) => cellToParent(cell, Number(found[2]))));
        this.namespace.to(room).emit("match:update", { ...message, cells: [...parents].map((cell) => [cell, sums.get(cell) ?? {}]) });
      }
    }
  }

  /** Breaks every connection without a goodbye. */
  cut(): void {
    for (const socket of this.namespace.sockets.values()) socket.conn.close(true);
  }

  /** Sends everybody away, as the relay does. */
  dismiss(reason: string): void {
    this.namespace.emit("relay:closing", { reason });
    this.namespace.disconnectSockets();
  }

  async stop(): Promise<void> {
    for (const response of this.streams.keys()) response.destroy();
    await this.io.close();
  }

  /** Server-Sent Events: a snapshot, then every fold. */
  private stream(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url ?? "/", "http://relay");
    if (/^\/matches\/[^/]+\/votes?$/.test(pathname) && this.onVote) return void this.answerVote(request, pathname, response);
    const id = /^\/matches\/([^/]+)\/events$/.exec(pathname)?.[1];
    if (!id) return this.serve(pathname, response);
    response.writeHead(200, { "content-type": "text/event-stream", "access-control-allow-origin": "*" });
    send(response, "match:snapshot", this.match(id).snapshot(null));
    this.streams.set(response, id);
    response.on("close", () => this.streams.delete(response));
  }

  private async answerVote({ method = "GET", headers }: IncomingMessage, path: string, response: ServerResponse, body: AsyncIterable<unknown> = response.req): Promise<void> {
    const cors = { "access-control-allow-origin": "*", "access-control-allow-headers": "authorization, content-type, idempotency-key" };
    if (method === "OPTIONS") return void response.writeHead(200, cors).end();
    let text = "";
    for await (const chunk of body) text += String(chunk);
    const vote = { method, path, token: headers.authorization, key: headers["idempotency-key"] as string | undefined, body: text ? (JSON.parse(text) as SentVote["body"]) : null };
    const [status, answer] = await this.onVote!(vote);
    response.writeHead(status, { ...cors, "content-type": "application/json" }).end(JSON.stringify(answer));
  }

  private serve(path: string, response: ServerResponse): void {
    const { files } = this.settings;
    if (!files || path.startsWith("/socket.io")) return;
    if (path.endsWith("/timeline")) {
      response.setHeader("content-type", "application/json");
      response.end('{"timeline":[]}');
      return;
    }
    const types: Record<string, string> = { js: "text/javascript", mjs: "text/javascript", css: "text/css", json: "application/json", svg: "image/svg+xml" };
    response.setHeader("content-type", types[path.split(".").at(-1)!] ?? "text/html");
    response.end(readFileSync(join(files, path === "/" ? "index.html" : path)));
  }

  private welcome(socket: Socket): void {
    const { maxRooms = 50, maxJoins = 20, maxEvents = 50 } = this.settings;
    const [events, joins, rooms] = [new Rate(maxEvents), new Rate(maxJoins), new Set<string>()];
    this.seen.connections++;
    socket.on("disconnect", () => this.seen.disconnections++);
    if (this.welcomeWith) socket.emit("relay:welcome", this.welcomeWith);
    socket.onAny(() => {
      if (events.allow()) return;
      socket.emit("relay:closing", { reason: "too_many_events" });
      socket.disconnect();
    });
    socket.on("match:join", (request: JoinRequest, answer: (data: object) => void) => {
      this.joins.push(request);
      if (this.isMute) return;
      const isFull = !rooms.has(request.matchId) && rooms.size >= maxRooms;
      const error = joins.allow() ? (this.refuseJoin(request) ?? (isFull ? "too_many_rooms" : undefined)) : "too_many_joins";
      if (!error) rooms.add(request.matchId);
      if (error) return answer({ ok: false, error, message: "" });
      const { matchId, resolution = null, area, sinceSeq, epoch } = request;
      const match = this.match(matchId);
      for (const room of socket.rooms) if (room === matchId || room.startsWith(`${matchId}@`)) void socket.leave(room);
      void socket.join(resolution === null ? matchId : `${matchId}@${resolution}`);
      const missed = match.messages.filter((message) => message.seq > (sinceSeq ?? 0));
      const resumed = sinceSeq !== undefined && epoch === match.epoch && missed.length === match.seq - sinceSeq && resolution === null && !area;
      if (resumed) for (const message of missed) socket.emit("match:update", message);
      else socket.emit("match:snapshot", match.snapshot(resolution, area));
      answer({ ok: true, matchId, seq: match.seq, epoch: match.epoch, resumed });
    });
    socket.on("match:leave", ({ matchId }: JoinRequest, answer?: (data: object) => void) => {
      this.leaves.push(matchId);
      rooms.delete(matchId);
      for (const room of socket.rooms) if (room === matchId || room.startsWith(`${matchId}@`)) void socket.leave(room);
      answer?.({ ok: true, matchId, left: true });
    });
    socket.on("auth", ({ token }: { token: string }, answer: (data: object) => void) => {
      this.renewals.push(token);
      const error = this.refuseToken(token);
      answer(error ? { ok: false, error } : { ok: true, left: [] });
    });
  }
}

function send(response: ServerResponse, event: string, data: object): void {
  response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}
