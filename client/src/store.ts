import { Follow, idle, type VoteSnapshot } from "./follow.js";
import type { Token } from "./link.js";
import type { MatchState } from "./state.js";

export interface VoteStoreOptions {
  readonly matchId: string;
  /** The relay's origin, such as `https://votes.example.org`; by default the page's own. */
  readonly url?: string | undefined;
  /** Rolls cells up to a resolution of 0 to 15; null: as they are counted. */
  readonly resolution?: number | null | undefined;
  readonly token?: Token | undefined;
  /** False: nothing is done before `connect()`. */
  readonly autoConnect?: boolean | undefined;
}

/** A match that is followed while somebody listens. Methods need no `this`. */
export interface VoteStore {
  /** Hears of changes, at most once an animation frame. Returns what ends it. The first listener makes the connection. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The same object until the next change. */
  readonly getSnapshot: () => VoteSnapshot;
  /** What there is before anything has come, for rendering on a server. */
  readonly getInitialSnapshot: () => VoteSnapshot;
  readonly setResolution: (resolution: number | null) => void;
  /** Takes another token, without a break; who shares the socket shares it. */
  readonly setToken: (token: Token | undefined) => void;
  readonly connect: () => void;
  /** Lets go of the connection; what is known stays. */
  readonly disconnect: () => void;
  /** Disconnects and forgets its listeners. */
  readonly close: () => void;
}

/** A store of one match. Stores of the same url and token share a socket, and the match where it is the same too. */
export function createVoteStore(options: VoteStoreOptions): VoteStore {
  const { matchId, url = "", autoConnect = true } = options;
  let { token, resolution = null } = options;
  let isWanted = autoConnect;
  let follow: Follow | undefined;
  let state: MatchState | undefined;
  const initial = idle(matchId, resolution, undefined, autoConnect);
  let snapshot = initial;
  const listeners = new Set<() => void>();

  const hear = () => {
    snapshot = follow!.snapshot;
    tell();
  };
  const tell = () => {
    for (const listener of [...listeners]) listener();
  };
  const take = () => {
    follow = Follow.take({ url, token, matchId, resolution }, state, hear);
    snapshot = follow.snapshot;
  };
  const drop = () => {
    state = follow!.state;
    follow!.drop(hear);
    follow = undefined;
  };
  /** Follows exactly while it should. */
  const settle = () => {
    const isDue = isWanted && listeners.size > 0;
    if (isDue === !!follow) return;
    if (isDue) {
      take();
    } else {
      drop();
      snapshot = idle(matchId, resolution, state, isWanted);
    }
  };

  return {
    subscribe(listener) {
      // Who listens twice is told twice.
      const own = () => listener();
      listeners.add(own);
      settle();
      return () => {
        listeners.delete(own);
        settle();
      };
    },
    getSnapshot: () => snapshot,
    getInitialSnapshot: () => initial,
    setResolution(next) {
      if (next === resolution) return;
      resolution = next;
      if (!follow) return;
      drop();
      take();
      tell();
    },
    setToken(next) {
      token = next;
      follow?.link.setToken(next);
    },
    connect() {
      isWanted = true;
      settle();
      tell();
    },
    disconnect() {
      isWanted = false;
      settle();
      snapshot = idle(matchId, resolution, state, false);
      tell();
    },
    close() {
      isWanted = false;
      listeners.clear();
      settle();
    },
  };
}
