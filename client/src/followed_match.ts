// One match that is followed: joins it, asks again when its state is stale, tells the listeners.
import type { Answer, JoinRequest } from "./answer.js";
import { type Area, isSameArea } from "./area.js";
import type { VoteError } from "./error.js";
import { onNextFrame } from "./frame.js";
import { backOff, type Link, type LinkedMatch } from "./link.js";
import { notifyAll } from "./listeners.js";
import { type AreaCells, type Message, type Snapshot, VERSION } from "./message.js";
import { snapshotOf, type VoteSnapshot } from "./snapshot.js";
import { applyMessage, type MatchState } from "./state.js";

/** What `applyMessage` reads. `new` is as long as all of it. */
const PARTS = ["cells", "countries", "flips"] as const;

/** Milliseconds that a match is kept without a listener: React mounts twice, pages go back and forth. */
const LINGER = 1_000;

/** A match at a resolution over one link, as long as it has listeners. All stores that want the same share one. */
export class FollowedMatch implements LinkedMatch {
  snapshot: VoteSnapshot;
  readonly #listeners = new Set<() => void>();
  #error: VoteError | null = null;
  /** The join that is not answered yet. */
  #openJoin: object | null = null;
  #attempts = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #cancelFrame: (() => void) | undefined;

  /** `onUnused` is called a while after the last listener has gone. */
  constructor(
    readonly link: Link,
    readonly matchId: string,
    public resolution: number | null,
    public area: Area,
    public state: MatchState | undefined,
    private readonly onUnused: (match: FollowedMatch) => void,
  ) {
    this.snapshot = this.#makeSnapshot();
  }

  get isUnused(): boolean {
    return this.#listeners.size === 0;
  }

  addListener(listener: () => void): void {
    this.#listeners.add(listener);
    clearTimeout(this.#linger);
  }

  removeListener(listener: () => void): void {
    this.#listeners.delete(listener);
    if (this.isUnused) this.#linger = setTimeout(() => this.onUnused(this), LINGER);
  }

  /** Joins where what is known is not at this resolution, or of another area. */
  setView(resolution: number | null, area: Area): void {
    this.resolution = resolution;
    this.area = area;
    // A join under way is looked at again when its answer comes.
    if (!this.#openJoin && !(this.#isExact() && isSameArea(this.state!.area, area))) this.join();
  }

  joinRequest(): JoinRequest {
    const { matchId, resolution, area, state } = this;
    // The state at this resolution can go on from its seq. The relay decides whether it does.
    const isKnown = state && state.epoch !== null && state.resolution === resolution && state.stale !== "snapshot";
    const since = isKnown ? { sinceSeq: state.seq, epoch: state.epoch, ...(!isSameArea(state.area, area) && { from: state.area }) } : {};
    return { matchId, bundle: true, parts: PARTS, ...(resolution !== null && { resolution }), ...(area && { area }), ...since };
  }

  join(): void {
    this.#stopRetry();
    if (!this.link.isConnected) return;
    const join = (this.#openJoin = {});
    this.link.join(this, (error, answer, request) => {
      if (this.#openJoin !== join) return;
      this.#openJoin = null;
      if (error) return this.onRefusal(error);
      if ((request.resolution ?? null) !== this.resolution || !isSameArea(request.area ?? null, this.area)) return this.join();
      this.#error = null;
      // Its snapshot, or what was missed, came before the answer.
      if (!this.#isCaughtUp(answer)) this.#joinLater();
      this.#publishSoon();
    });
  }

  close(): void {
    this.#stopRetry();
    this.#cancelFrame?.();
  }

  onLinkChange(): void {
    if (!this.link.isConnected) {
      this.#openJoin = null;
      this.#stopRetry();
    }
    this.#publishSoon();
  }

  onMessage(message: Message | Snapshot | AreaCells): void {
    if (message.v !== VERSION) {
      return this.onRefusal({ code: "version", message: `the relay speaks version ${message.v}, not ${VERSION}` });
    }
    const before = this.state;
    this.state = applyMessage(before, message);
    if (this.state === before) return;
    if (this.#isExact()) {
      this.#attempts = 0;
      this.#error = null;
      this.#stopRetry();
    } else if (!this.#openJoin) {
      this.join();
    }
    this.#publishSoon();
  }

  /** The join was refused, or its answer was lost: shown, and tried again. */
  onRefusal(error: VoteError): void {
    this.#error = error;
    // A request that is wrong in itself stays wrong; for room, the link calls.
    if (error.code !== "invalid" && error.code !== "too_many_rooms") this.#joinLater();
    this.#publishSoon();
  }

  /** A join that waits for its time is made now. */
  onWake(): void {
    if (this.#retry !== undefined) this.join();
  }

  /** Where all cells come, it is a relay that knows no areas, or does not yet: they are right. */
  #isExact(): boolean {
    const { state } = this;
    return state?.stale === null && state.resolution === this.resolution && (!state.area || isSameArea(state.area, this.area));
  }

  #isCaughtUp({ seq = 0, epoch = null }: Answer): boolean {
    return this.#isExact() && this.state?.epoch === epoch && this.state.seq >= seq;
  }

  #stopRetry(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  #joinLater(): void {
    this.#stopRetry();
    this.#retry = setTimeout(() => this.join(), backOff(this.#attempts++));
  }

  #makeSnapshot(): VoteSnapshot {
    const connected = this.link.isConnected;
    const { error, staleSince, door } = this.link;
    return snapshotOf(this.matchId, this.resolution, this.state, { connected, connecting: !connected, connectionError: error ?? this.#error, staleSince, door });
  }

  #publishSoon(): void {
    this.#cancelFrame ??= onNextFrame(() => {
      this.#cancelFrame = undefined;
      this.snapshot = this.#makeSnapshot();
      notifyAll(this.#listeners);
    });
  }
}
