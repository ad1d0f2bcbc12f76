import { useEffect, useMemo, useSyncExternalStore } from "react";
import type { VoteSnapshot } from "./snapshot.js";
import { createVoteStore, type VoteStore, type VoteStoreOptions } from "./store.js";

export type UseVoteSocketOptions = VoteStoreOptions;

export interface VoteSocket extends VoteSnapshot, Pick<VoteStore, "connect" | "disconnect"> {}

/**
 * Follows a match while the component is mounted. Another `matchId`, `url` or `autoConnect` starts anew; another `resolution` or
 * `token` goes on with what is there. Components that pass the same `token` function share a socket.
 */
export function useVoteSocket(options: UseVoteSocketOptions): VoteSocket {
  const { matchId, url, autoConnect, resolution = null, token } = options;
  // Nothing is opened here: the first listener does that.
  const store = useMemo(() => createVoteStore({ matchId, url, autoConnect, resolution, token }), [matchId, url, autoConnect]);
  useEffect(() => {
    store.setToken(token);
    store.setResolution(resolution);
  }, [store, resolution, token]);
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getInitialSnapshot);
  return useMemo(() => ({ ...snapshot, connect: store.connect, disconnect: store.disconnect }), [snapshot, store]);
}
