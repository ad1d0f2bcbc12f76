"use client";
import { useEffect, useMemo, useSyncExternalStore } from "react";
import type { VoteSnapshot } from "./snapshot.js";
import { createVoteStore, type VoteStore, type VoteStoreOptions } from "./store.js";

export type UseVoteSocketOptions = VoteStoreOptions;

export interface VoteSocket extends VoteSnapshot, Pick<VoteStore, "connect" | "disconnect" | "castVote" | "retractVote" | "loadVote"> {}

/**
 * Follows a match while the component is mounted. Another `resolution`, `area` or `token` goes on with the state that is there, any other
 * option starts anew. Components that pass the same `token` function share a socket.
 */
export function useVoteSocket(options: UseVoteSocketOptions): VoteSocket {
  const { matchId, url, path, transports, withCredentials, autoConnect, resolution = null, area = null, token } = options;
  // Nothing is opened here: the first listener does that. A list of transports written in place is a new one each time.
  const store = useMemo(
    () => createVoteStore({ matchId, url, path, transports, withCredentials, autoConnect, resolution, area, token }),
    [matchId, url, path, transports?.join(), withCredentials, autoConnect],
  );
  useEffect(() => {
    store.setToken(token);
    store.setArea(area, resolution);
  }, [store, resolution, area?.join(), token]);
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getInitialSnapshot);
  const { connect, disconnect, castVote, retractVote, loadVote } = store;
  return useMemo(() => ({ ...snapshot, connect, disconnect, castVote, retractVote, loadVote }), [snapshot, store]);
}
