import { endpointOf, type RelayOptions } from "./endpoint.js";
import type { FollowedMatch } from "./followed_match.js";
import { notifyAll } from "./listeners.js";
import { acquire } from "./pool.js";
import { idle, type VoteSnapshot } from "./snapshot.js";
import type { MatchState } from "./state.js";
import type { Token } from "./token.js";

export interface VoteStoreOptions extends RelayOptions {
  readonly matchId: string;
  /** Rolls cells up to a resolution of 0 to 15; null: as they are counted. */
  readonly resolution?: number | null | undefined;
  readonly token?: Token | undefined;
  /** False: nothing is done before `connect()`. */
  readonly autoConnect?: boolean | undefined;
}

/** A match that is followed while it has listeners. Methods need no `this`. */
export interface VoteStore {
  /** Hears of changes, at most once an animation frame. Returns what ends it. The first listener makes the connection. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The same object until the next change. */
  readonly getSnapshot: () => VoteSnapshot;
  /** The snapshot before anything has come, for rendering on a server. */
  readonly getInitialSnapshot: () => VoteSnapshot;
  readonly setResolution: (resolution: number | null) => void;
  /** Takes another token, without a break; stores that share the socket share it. */
  readonly setToken: (token: Token | undefined) => void;
  readonly connect: () => void;
  /** Lets go of the connection; what is known stays. */
  readonly disconnect: () => void;
  /** Disconnects and forgets its listeners. */
  readonly close: () => void;
}

/** A store of one match. Throws a TypeError for options that cannot be right. Stores of the same url and token share a socket, and the match where it is the same too. */
export function createVoteStore(options: VoteStoreOptions): VoteStore {
  const { matchId, autoConnect = true } = options;
  const endpoint = endpointOf(options);
  let { token, resolution = null } = options;
  let isWanted = autoConnect;
  let match: FollowedMatch | undefined;
  let state: MatchState | undefined;
  const initial = idle(matchId, resolution, undefined, autoConnect);
  let snapshot = initial;
  const listeners = new Set<() => void>();

  const onChange = () => {
    snapshot = match!.snapshot;
    notify();
  };
  const notify = () => notifyAll(listeners);
  const check = () => {
    if (!endpoint.origin && typeof location === "undefined") throw new TypeError("url is needed outside a page: the relay's address");
  };
  const start = () => {
    match = acquire({ endpoint, token, matchId, resolution }, state, onChange);
    snapshot = match.snapshot;
  };
  const stop = () => {
    state = match!.state;
    match!.removeListener(onChange);
    match = undefined;
  };
  /** Follows exactly while it should. */
  const settle = () => {
    const isDue = isWanted && listeners.size > 0;
    if (isDue === !!match) return;
    if (isDue) {
      start();
    } else {
      stop();
      snapshot = idle(matchId, resolution, state, isWanted);
    }
  };

  return {
    subscribe(listener) {
      check();
      // A listener that subscribes twice is called twice.
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
      if (!match) return;
      stop();
      start();
      notify();
    },
    setToken(next) {
      token = next;
      match?.link.setToken(next);
    },
    connect() {
      check();
      isWanted = true;
      settle();
      notify();
    },
    disconnect() {
      isWanted = false;
      settle();
      snapshot = idle(matchId, resolution, state, false);
      notify();
    },
    close() {
      isWanted = false;
      listeners.clear();
      settle();
    },
  };
}
