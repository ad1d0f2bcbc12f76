import type { VoteError } from "./error.js";
import { onNextFrame } from "./frame.js";
import { type Answer, backOff, type Link, type LinkedMatch } from "./link.js";
import { type Message, type Snapshot, VERSION } from "./message.js";
import { snapshotOf, type VoteSnapshot } from "./snapshot.js";
import { applyMessage, type MatchState } from "./state.js";

/** Milliseconds that a match is kept without a listener: React mounts twice, pages go back and forth. */
const LINGER = 1_000;

/** A match at a resolution over one link, as long as it has listeners. All stores that want the same share one. */
export class FollowedMatch implements LinkedMatch {
  snapshot: VoteSnapshot;
  private readonly listeners = new Set<() => void>();
  private error: VoteError | null = null;
  /** The join that is not answered yet. */
  private openJoin: object | null = null;
  private attempts = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private linger: ReturnType<typeof setTimeout> | undefined;
  private cancelFrame: (() => void) | undefined;

  /** `onUnused` is called a while after the last listener has gone. */
  constructor(
    readonly link: Link,
    readonly matchId: string,
    public resolution: number | null,
    public state: MatchState | undefined,
    private readonly onUnused: (match: FollowedMatch) => void,
  ) {
    this.snapshot = this.makeSnapshot();
  }

  get isUnused(): boolean {
    return this.listeners.size === 0;
  }

  addListener(listener: () => void): void {
    this.listeners.add(listener);
    clearTimeout(this.linger);
  }

  removeListener(listener: () => void): void {
    this.listeners.delete(listener);
    if (this.isUnused) this.linger = setTimeout(() => this.onUnused(this), LINGER);
  }

  /** Joins where what is known is not at this resolution. */
  setResolution(resolution: number | null): void {
    this.resolution = resolution;
    // A join under way is looked at again when its answer comes.
    if (!this.openJoin && !this.isExact(resolution)) this.join();
  }

  close(): void {
    clearTimeout(this.retry);
    this.cancelFrame?.();
  }

  onConnect(): void {
    this.join();
  }

  onLinkChange(): void {
    if (!this.link.isConnected) {
      this.openJoin = null;
      clearTimeout(this.retry);
    }
    this.publishSoon();
  }

  onMessage(message: Message | Snapshot): void {
    if (message.v !== VERSION) {
      return this.onRefusal({ code: "version", message: `the relay speaks version ${message.v}, not ${VERSION}` });
    }
    const before = this.state;
    this.state = applyMessage(before, message);
    if (this.state === before) return;
    if (this.isExact(this.resolution)) {
      this.attempts = 0;
      this.error = null;
      clearTimeout(this.retry);
    } else if (!this.openJoin) {
      this.join();
    }
    this.publishSoon();
  }

  /** The join was refused, or its answer was lost: shown, and tried again. */
  onRefusal(error: VoteError): void {
    this.error = error;
    this.joinLater();
    this.publishSoon();
  }

  private isExact(resolution: number | null): boolean {
    return this.state?.stale === null && this.state.resolution === resolution;
  }

  private join(): void {
    clearTimeout(this.retry);
    if (!this.link.isConnected) return;
    const { matchId, resolution, state } = this;
    const join = (this.openJoin = {});
    const isKnown = state && state.epoch !== null && state.resolution === resolution && state.stale !== "snapshot";
    const since = isKnown ? { sinceSeq: state.seq, epoch: state.epoch } : {};
    this.link.ask("match:join", { matchId, bundle: true, ...(resolution !== null && { resolution }), ...since }, (error, answer) => {
      if (this.openJoin !== join) return;
      this.openJoin = null;
      if (error) {
        // A request that is wrong in itself stays wrong.
        if (error.code !== "invalid") return this.onRefusal(error);
        this.error = error;
        return this.publishSoon();
      }
      this.link.onJoin();
      if (resolution !== this.resolution) return this.join();
      this.error = null;
      // Its snapshot, or what was missed, came before the answer.
      if (!this.isCaughtUp(answer)) this.joinLater();
      this.publishSoon();
    });
  }

  private isCaughtUp({ seq = 0, epoch = null }: Answer): boolean {
    return this.isExact(this.resolution) && this.state?.epoch === epoch && this.state.seq >= seq;
  }

  private joinLater(): void {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.join(), backOff(this.attempts++));
  }

  private makeSnapshot(): VoteSnapshot {
    const connected = this.link.isConnected;
    const connectionError = this.link.error ?? this.error;
    return snapshotOf(this.matchId, this.resolution, this.state, { connected, connecting: !connected, connectionError });
  }

  private publishSoon(): void {
    this.cancelFrame ??= onNextFrame(() => {
      this.cancelFrame = undefined;
      this.snapshot = this.makeSnapshot();
      for (const listener of [...this.listeners]) listener();
    });
  }
}
