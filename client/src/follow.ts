import { backOff, type Answer, type Follower, Link, type Token, type VoteError } from "./link.js";
import { type Message, type Snapshot, VERSION } from "./message.js";
import { applyMessage, type LeadChange, type MatchState, type MatchStats } from "./state.js";
import type { CellAggregate, CountryAggregate } from "./tally.js";

/** What a page shows of a match. The same object until something changes; so are all its parts. */
export interface VoteSnapshot {
  readonly matchId: string;
  /** What cells are rolled up to; null: nothing. Another than asked for until the first snapshot at that resolution. */
  readonly resolution: number | null;
  readonly connected: boolean;
  /** An attempt is under way or due. */
  readonly connecting: boolean;
  /** Why there is no connection, or no match; null when all is well. */
  readonly connectionError: VoteError | null;
  /** Null until the first snapshot. */
  readonly stats: MatchStats | null;
  readonly aggregates: readonly CellAggregate[];
  readonly countries: readonly CountryAggregate[];
  /** Changes of leader since following began, newest first: at most 50 of each scope. */
  readonly flips: readonly LeadChange[];
  /** When the last fold was, ISO 8601; null before the first. */
  readonly at: string | null;
  /** 0 before the first fold. */
  readonly seq: number;
  /** Null before the first fold. */
  readonly epoch: string | null;
}

export interface Wish {
  readonly url: string;
  readonly token: Token | undefined;
  readonly matchId: string;
  readonly resolution: number | null;
}

/** Milliseconds that a match, and the socket after its last match, is kept when nobody uses it: React mounts twice, pages go back and forth. */
const LINGER = 1_000;

const NONE: readonly never[] = [];

/** Every socket that is open. The relay gives a socket each match at one resolution, so a second resolution takes a second one. */
const links: Link[] = [];

/** A snapshot without a connection. */
export function idle(matchId: string, resolution: number | null, state: MatchState | undefined, connecting: boolean): VoteSnapshot {
  return snapshotOf(matchId, resolution, state, { connected: false, connecting, connectionError: null });
}

function snapshotOf(
  matchId: string,
  resolution: number | null,
  state: MatchState | undefined,
  connection: Pick<VoteSnapshot, "connected" | "connecting" | "connectionError">,
): VoteSnapshot {
  const { stats = null, aggregates = NONE, countries = NONE, flips = NONE, at = null, seq = 0, epoch = null } = state ?? {};
  return { matchId, resolution: state ? state.resolution : resolution, ...connection, stats, aggregates, countries, flips, at, seq, epoch };
}

/** A match at a resolution, as long as somebody uses it. All who want the same share one. */
export class Follow implements Follower {
  snapshot: VoteSnapshot;
  private readonly users = new Set<() => void>();
  private error: VoteError | null = null;
  /** The join that is not answered yet. */
  private asked: object | null = null;
  private attempts = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private linger: ReturnType<typeof setTimeout> | undefined;
  private cancelFrame: (() => void) | undefined;

  private constructor(
    readonly link: Link,
    private readonly matchId: string,
    private resolution: number | null,
    public state: MatchState | undefined,
  ) {
    this.snapshot = this.view();
  }

  /** Finds or makes what is wished for; `user` hears of changes. `seed` is what the user knows already. */
  static take(wish: Wish, seed: MatchState | undefined, user: () => void): Follow {
    const { url, token, matchId, resolution } = wish;
    const own = links.filter((link) => link.url === url && link.token === token);
    const follows = own.flatMap((link) => (link.followers.get(matchId) as Follow | undefined) ?? []);
    let follow = follows.find((each) => each.resolution === resolution) ?? follows.find((each) => !each.users.size);
    if (!follow) {
      let link = own.find((each) => !each.followers.has(matchId));
      if (!link) links.push((link = new Link(url, token)));
      link.followers.set(matchId, (follow = new Follow(link, matchId, resolution, seed)));
    }
    follow.users.add(user);
    clearTimeout(follow.linger);
    follow.tune(resolution);
    return follow;
  }

  /** The user is no longer interested. */
  drop(user: () => void): void {
    this.users.delete(user);
    if (!this.users.size) this.linger = setTimeout(() => this.end(), LINGER);
  }

  connected(): void {
    this.join();
  }

  changed(): void {
    if (!this.link.isConnected) {
      this.asked = null;
      clearTimeout(this.retry);
    }
    this.publishSoon();
  }

  receive(message: Message | Snapshot): void {
    if (message.v !== VERSION) {
      return this.refused({ code: "version", message: `the relay speaks version ${message.v}, not ${VERSION}` });
    }
    const before = this.state;
    this.state = applyMessage(before, message);
    if (this.state === before) return;
    if (this.isWell(this.resolution)) {
      this.attempts = 0;
      this.error = null;
      clearTimeout(this.retry);
    } else if (!this.asked) {
      this.join();
    }
    this.publishSoon();
  }

  /** The join was refused, or lost: told, and tried again. */
  refused(error: VoteError): void {
    this.error = error;
    this.joinLater();
    this.publishSoon();
  }

  private tune(resolution: number | null): void {
    this.resolution = resolution;
    // A join under way is looked at again when its answer comes.
    if (!this.asked && !this.isWell(resolution)) this.join();
  }

  private isWell(resolution: number | null): boolean {
    return this.state?.stale === null && this.state.resolution === resolution;
  }

  private join(): void {
    clearTimeout(this.retry);
    if (!this.link.isConnected) return;
    const { matchId, resolution, state } = this;
    const asked = (this.asked = {});
    const isKnown = state && state.epoch !== null && state.resolution === resolution && state.stale !== "snapshot";
    const since = isKnown ? { sinceSeq: state.seq, epoch: state.epoch } : {};
    this.link.ask("match:join", { matchId, bundle: true, ...(resolution !== null && { resolution }), ...since }, (error, answer) => {
      if (this.asked !== asked) return;
      this.asked = null;
      if (error) {
        // What is wrong with the wish itself stays wrong.
        if (error.code !== "invalid") return this.refused(error);
        this.error = error;
        return this.publishSoon();
      }
      this.link.worked();
      if (resolution !== this.resolution) return this.join();
      this.error = null;
      // Its snapshot, or what was missed, came before the answer.
      if (!this.isCaughtUp(answer)) this.joinLater();
      this.publishSoon();
    });
  }

  private isCaughtUp({ seq = 0, epoch = null }: Answer): boolean {
    return this.isWell(this.resolution) && this.state?.epoch === epoch && this.state.seq >= seq;
  }

  private joinLater(): void {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.join(), backOff(this.attempts++));
  }

  private view(): VoteSnapshot {
    const connected = this.link.isConnected;
    const connectionError = this.link.error ?? this.error;
    return snapshotOf(this.matchId, this.resolution, this.state, { connected, connecting: !connected, connectionError });
  }

  private publishSoon(): void {
    this.cancelFrame ??= onNextFrame(() => {
      this.cancelFrame = undefined;
      this.snapshot = this.view();
      for (const user of [...this.users]) user();
    });
  }

  private end(): void {
    clearTimeout(this.retry);
    this.cancelFrame?.();
    this.link.followers.delete(this.matchId);
    if (this.link.followers.size) return this.link.leave(this.matchId);
    links.splice(links.indexOf(this.link), 1);
    this.link.close();
  }
}

/** The sockets there are, to one relay or to all: for tests. */
export function openLinks(url?: string): Link[] {
  return links.filter((link) => url === undefined || link.url === url);
}

/** Once a frame where there are frames: a hidden page is told nothing until it is seen again. */
function onNextFrame(run: () => void): () => void {
  if (typeof requestAnimationFrame === "function") {
    const frame = requestAnimationFrame(run);
    return () => cancelAnimationFrame(frame);
  }
  const timer = setTimeout(run, 16);
  return () => clearTimeout(timer);
}
