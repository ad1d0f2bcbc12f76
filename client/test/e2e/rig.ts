// The real parts: a relay of its own on a database of its own, a line to it that can be cut, voters, and what SQL says.
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, openSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import pg from "pg";

const ROOT = new URL("../../../", import.meta.url).pathname;
const BINARY = process.env.RELAY_BIN ?? `${ROOT}target/release/vote-agg-relay`;
const CITIES = readFileSync(`${ROOT}fixtures/cities.tsv`, "utf8").trim().split("\n").map((line) => line.split("\t"));
const column = (name: string) => CITIES[0]!.indexOf(name);
export const PLACES = CITIES.slice(1).map((row) => [row[column("h3_index")]!, row[column("country_code")]!] as const);

// With RIG=root a database takes the votes as a shard, and its root, which a puller feeds, is what relays follow and reads ask.
// testkit/rooted.py does the same for the relay's tests.
const HAS_ROOT = process.env.RIG === "root";
const VOTES = /\b(record_votes?|bulk_increment|cast_votes?|retract_votes?)\(|\bvote_agg\.ballot\b/;
const BOTH = /\b(open|close|purge)_match\(/;
const read = (database: string) => (HAS_ROOT ? `${database}_root` : database);

export const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

export async function eventually<T>(what: string | (() => string), check: () => T | Promise<T>, patience = 60_000): Promise<NonNullable<T>> {
  const deadline = Date.now() + patience;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`did not happen in ${patience} ms: ${typeof what === "string" ? what : what()}`);
    await pause(20);
  }
}

function address(database: string): string {
  const { PGHOST, PGPORT, PGUSER } = process.env;
  return `host=${PGHOST} port=${PGPORT} user=${PGUSER} dbname=${database}`;
}

/** Folds, unless somebody has a lock that a fold tries, as autovacuum now and then. */
async function fold(session: pg.Client): Promise<void> {
  await session.query("SELECT vote_agg.fold()").catch((error: { code?: string }) => {
    if (error.code !== "55P03") throw error;
  });
}

export class Database {
  private constructor(
    readonly name: string,
    private readonly session: pg.Client,
    private readonly root?: { session: pg.Client; puller: ChildProcess },
  ) {}

  /** `testkit/cluster.py run` says where the server is. */
  static async create(name: string): Promise<Database> {
    if (!process.env.PGHOST) throw new Error("PGHOST is not set: run this through testkit/cluster.py run --");
    const session = await this.make(name);
    if (!HAS_ROOT) return new Database(name, session);
    const root = await this.make(read(name));
    await root.query("SELECT vote_agg.follow('shard')");
    const env = { PATH: process.env.PATH, ROOT_URL: address(read(name)), SHARDS: `shard=${address(name)}` };
    const puller = spawn(BINARY, ["pull", "--pull-interval=0.02"], { env, stdio: "ignore" });
    return new Database(name, session, { session: root, puller });
  }

  private static async make(name: string): Promise<pg.Client> {
    const admin = await this.connect("postgres");
    await admin.query(`CREATE DATABASE ${name}`);
    await admin.end();
    const session = await this.connect(name);
    await session.query("CREATE EXTENSION vote_agg");
    return session;
  }

  static async connect(database: string): Promise<pg.Client> {
    const session = new pg.Client({ database });
    await session.connect();
    return session;
  }

  async rows<T>(query: string, values: unknown[] = []): Promise<T[]> {
    if (!this.root || VOTES.test(query)) return (await this.session.query(query, values)).rows as T[];
    if (BOTH.test(query)) await this.session.query(query, values);
    return (await this.root.session.query(query, values)).rows as T[];
  }

  async value<T>(query: string, values: unknown[] = []): Promise<T> {
    return Object.values((await this.rows<Record<string, T>>(query, values))[0]!)[0]!;
  }

  async fold(): Promise<void> {
    await fold(this.root?.session ?? this.session);
  }

  /** Folds until nothing is pending. */
  async settle(): Promise<void> {
    if (this.root) await this.settleShard(this.root.session);
    await eventually("nothing is pending", async () => {
      await this.fold();
      return (await this.value("SELECT coalesce(sum(rows), 0)::int FROM vote_agg.stat_pending")) === 0;
    });
  }

  private async settleShard(root: pg.Client): Promise<void> {
    await eventually("nothing is pending on the shard", async () => {
      await fold(this.session);
      return (await this.session.query("SELECT coalesce(sum(rows), 0)::int AS rows FROM vote_agg.stat_pending")).rows[0].rows === 0;
    });
    const { rows } = await this.session.query("SELECT match_ids, epochs, seqs FROM vote_agg.get_heads()");
    const missing = `SELECT count(*)::int AS count FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u(match_id, epoch, seq)
      LEFT JOIN vote_agg.shard_head h USING (match_id, epoch) WHERE h.seq IS NULL OR h.seq < u.seq`;
    const heads = [rows[0].match_ids, rows[0].epochs, rows[0].seqs];
    await eventually("the root has what the shard has folded", async () => (await root.query(missing, heads)).rows[0].count === 0);
  }

  /** Whether anybody but this session gets in; who is there is thrown out. */
  async allow(isAllowed: boolean): Promise<void> {
    const own = await this.value("SELECT pg_backend_pid()");
    const admin = await Database.connect("postgres");
    await admin.query(`ALTER DATABASE ${read(this.name)} ALLOW_CONNECTIONS ${isAllowed}`);
    if (!isAllowed) await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> $2", [read(this.name), own]);
    await admin.end();
  }

  async drop(): Promise<void> {
    this.root?.puller.kill();
    await this.root?.session.end();
    await this.session.end();
    const admin = await Database.connect("postgres");
    for (const name of new Set([this.name, read(this.name)])) await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  }
}

/** Below those that the system gives to outgoing connections: none of them takes it before the relay does. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const probe = createServer().listen(port, "127.0.0.1");
    const isFree = await once(probe, "listening").then(() => true, () => false);
    probe.close();
    if (isFree) return port;
  }
}

export class Relay {
  private constructor(
    readonly port: number,
    private readonly process: ChildProcess,
  ) {}

  /** On a free port, or on one where another relay was. */
  static async start(database: string, flags: string[] = [], port?: number): Promise<Relay> {
    if (!existsSync(BINARY)) throw new Error(`there is no relay at ${BINARY}: build it, or set RELAY_BIN`);
    if (port === undefined) {
      port = await freePort();
    }
    const child = spawn(BINARY, ["--host=127.0.0.1", `--port=${port}`, ...flags], {
      env: { PATH: process.env.PATH, DATABASE_URL: address(read(database)) },
      stdio: process.env.RELAY_LOG ? ["ignore", openSync(process.env.RELAY_LOG, "a"), openSync(process.env.RELAY_LOG, "a")] : "ignore",
    });
    const relay = new Relay(port, child);
    await eventually("the relay is ready", async () => {
      if (child.exitCode !== null) throw new Error(`the relay ended with ${child.exitCode}`);
      return fetch(`${relay.url}/ready`).then((answer) => answer.ok, () => false);
    });
    return relay;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** A gauge of its metrics. */
  async metric(name: RegExp): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split("\n").find((each) => !each.startsWith("#") && name.test(each));
    if (!line) throw new Error(`no metric ${name}`);
    return Number(line.split(" ").at(-1));
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode) return;
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    const late = setTimeout(() => this.process.kill("SIGKILL"), 20_000);
    await ended;
    clearTimeout(late);
  }
}

/** A line to the relay that can be cut. */
export class Line {
  readonly open = new Set<Socket>();
  private constructor(private readonly server: Server) {}

  static async to(port: number): Promise<Line> {
    const server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      for (const end of [near, far]) {
        line.open.add(end);
        end.on("error", () => {});
        end.on("close", () => {
          line.open.delete(end);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
    const line = new Line(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return line;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  cut(): void {
    for (const end of this.open) end.resetAndDestroy();
  }

  close(): void {
    this.server.close();
  }
}

/** Votes until told to stop: calls, and ballots that are cast, changed and taken back. */
export function vote(database: string, matches: string[], count = 2): () => Promise<void> {
  let isOver = false;
  const pick = <T>(from: readonly T[]) => from[Math.floor(Math.random() * from.length)]!;
  const voter = async (number: number) => {
    const session = await Database.connect(database);
    while (!isOver) {
      const [cell, country] = pick(PLACES.slice(0, 300));
      const [match, team, fan] = [pick(matches), pick(["home", "away", "third"]), `fan ${number} ${Math.floor(Math.random() * 20)}`];
      const where = pick([[cell, country], [cell, null], [null, country], [null, null]]);
      const dice = Math.random();
      if (dice < 0.5) await session.query("SELECT record_vote($1, $2, $3::text, $4, $5)", [match, team, ...where, pick([1, 2, 3])]);
      else if (dice < 0.8) await session.query("SELECT cast_vote($1, $2, $3, $4::text, $5)", [match, fan, team, ...where]);
      else await session.query("SELECT retract_vote($1, $2)", [match, fan]);
      await pause(2);
    }
    await session.end();
  };
  const voters = Array.from({ length: count }, (_, number) => voter(number));
  return async () => {
    isOver = true;
    await Promise.all(voters);
  };
}

export const SECRET = "a secret of at least thirty-two bytes";

/** A token that is valid for so many seconds, with more claims. */
export function token(seconds: number, claims: object = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp: Math.floor(Date.now() / 1_000) + seconds, ...claims })}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}
