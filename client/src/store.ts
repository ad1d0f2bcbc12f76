import { type Area, areaOf, isSameArea } from "./area.js";
import { endpointOf, type RelayOptions } from "./endpoint.js";
import type { FollowedMatch } from "./followed_match.js";
import { notifyAll } from "./listeners.js";
import { type MyVote, MyVoteBox, NO_VOTE } from "./my_vote.js";
import { acquire } from "./pool.js";
import { idle, type VoteSnapshot } from "./snapshot.js";
import type { MatchState } from "./state.js";
import type { Token } from "./token.js";
import type { Choice, VoteOutcome } from "./voter.js";

export interface VoteStoreOptions extends RelayOptions {
  readonly matchId: string;
  /** Rolls cells up to a resolution of 0 to 15; null: as they are counted. */
  readonly resolution?: number | null | undefined;
  /** H3 cells, 1 to 256: of the others, and what lies in them, nothing is sent. Totals, countries and flips are those of the whole match. Null: all cells. */
  readonly area?: readonly string[] | null | undefined;
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
  /** Another area, without a gap; with a resolution, both in one step. */
  readonly setArea: (area: readonly string[] | null, resolution?: number | null) => void;
  /** Takes another token, without a break; stores that share the socket share it. */
  readonly setToken: (token: Token | undefined) => void;
  /**
   * Votes. The snapshot shows it at once; it is sent again until it is known what became of it. Rejects with a VoteRefusal. Without a
   * token it is one click, which stands, where the relay counts clicks.
   */
  readonly castVote: (choice: Choice) => Promise<VoteOutcome>;
  /** Takes the vote back, as surely. */
  readonly retractVote: () => Promise<VoteOutcome>;
  /** Asks the relay for the vote that stands. */
  readonly loadVote: () => Promise<MyVote | null>;
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
  let area = areaOf(options.area);
  let isWanted = autoConnect;
  let match: FollowedMatch | undefined;
  let state: MatchState | undefined;
  const initial = idle(matchId, resolution, undefined, autoConnect);
  let [base, snapshot] = [initial, initial];
  const listeners = new Set<() => void>();

  const mine = new MyVoteBox(async () => {
    const bearer = { get: async () => (typeof token === "function" ? token() : token), isRenewable: () => typeof token === "function" };
    return (await import("./voter.js")).makeVoter(endpoint, matchId, bearer);
  }, () => {
    show(base);
    notify();
  });
  const show = (next: VoteSnapshot) => {
    base = next;
    snapshot = mine.state === NO_VOTE ? next : { ...next, ...mine.state };
  };
  const onChange = () => {
    show(match!.snapshot);
    notify();
  };
  const notify = () => notifyAll(listeners);
  const check = () => {
    if (!endpoint.origin && typeof location === "undefined") throw new TypeError("url is needed outside a page: the relay's address");
  };
  const start = () => {
    match = acquire({ endpoint, token, matchId, resolution, area }, state, onChange);
    show(match.snapshot);
  };
  const stop = () => {
    state = match!.state;
    match!.removeListener(onChange);
    match = undefined;
  };
  const move = (at: number | null, next: Area) => {
    if (at === resolution && isSameArea(next, area)) return;
    [resolution, area] = [at, next];
    if (!match) return;
    stop();
    start();
    notify();
  };
  /** Follows exactly while it should. */
  const settle = () => {
    const isDue = isWanted && listeners.size > 0;
    if (isDue === !!match) return;
    if (isDue) {
      start();
    } else {
      stop();
      show(idle(matchId, resolution, state, isWanted));
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
    setResolution: (next) => move(next, area),
    setArea: (next, at = resolution) => move(at, areaOf(next)),
    setToken(next) {
      if (token !== undefined && next === undefined) mine.forget();
      token = next;
      match?.link.setToken(next);
    },
    castVote: (choice) => mine.castVote(choice),
    retractVote: () => mine.retractVote(),
    loadVote: () => mine.loadVote(),
    connect() {
      check();
      isWanted = true;
      settle();
      notify();
    },
    disconnect() {
      isWanted = false;
      settle();
      show(idle(matchId, resolution, state, false));
      notify();
    },
    close() {
      isWanted = false;
      listeners.clear();
      settle();
    },
  };
}
