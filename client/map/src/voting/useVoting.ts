import { useCallback, useEffect, useRef, useState } from "react";
import type { VoteSocket } from "vote-agg-client/react";
import { askPlace, drawn, type NoPlace, votesIn } from "./place.js";

/** Milliseconds that the own hexagon glows. */
const GLOW = 2_500;

/** A vote whose fold has not come yet. */
interface Cast {
  readonly cell: string;
  readonly team: string;
  readonly seq: number;
}

export interface Voting {
  /** The visitor's own hexagon as it is drawn; null: none is known. */
  readonly cell: string | null;
  /** The fold that counts the vote has just come. */
  readonly isGlowing: boolean;
  /** How often the own hexagon has glowed. */
  readonly glows: number;
  /** Where the next vote comes from; null: from nowhere. */
  readonly place: string | null;
  readonly placeError: NoPlace | null;
  readonly isSearching: boolean;
  readonly togglePlace: () => void;
  readonly vote: (team: string) => void;
  readonly takeBack: () => void;
}

/** What a page needs to vote, beside what the client knows. */
export function useVoting(votes: VoteSocket, token: string | undefined): Voting {
  const { myVote, seq, aggregates, resolution, castVote, retractVote, loadVote } = votes;
  const [place, setPlace] = useState<string | null>(null);
  const [placeError, setPlaceError] = useState<NoPlace | null>(null);
  const [isSearching, setSearching] = useState(false);
  const [isGlowing, setGlowing] = useState(false);
  const [glows, setGlows] = useState(0);
  const waiting = useRef<Cast | null>(null);

  useEffect(() => {
    // Without an answer the page shows no vote of its own, and takes one all the same.
    void loadVote().catch(() => {});
  }, [token, loadVote]);

  const vote = useCallback((team: string) => {
    if (place !== null) waiting.current = { cell: place, team, seq };
    castVote({ teamChoice: team, ...(place !== null && { h3Index: place }) }).then(
      async () => {
        // The relay may keep a coarser place.
        if (place !== null) await loadVote().catch(() => {});
      },
      () => {
        waiting.current = null;
      },
    );
  }, [castVote, loadVote, place, seq]);

  const takeBack = useCallback(() => {
    waiting.current = null;
    void retractVote().catch(() => {});
  }, [retractVote]);

  const togglePlace = useCallback(() => {
    setPlaceError(null);
    if (place !== null) return setPlace(null);
    setSearching(true);
    askPlace().then(setPlace, (reason: NoPlace) => setPlaceError(reason)).finally(() => setSearching(false));
  }, [place]);

  const kept = place ?? myVote?.h3Index ?? null;
  const cell = kept === null ? null : drawn(kept, resolution);

  useEffect(() => {
    const cast = waiting.current;
    if (!cast || seq <= cast.seq || votesIn(aggregates, drawn(myVote?.h3Index ?? cast.cell, resolution), cast.team) === 0) return;
    waiting.current = null;
    setGlowing(true);
    setGlows((count) => count + 1);
  }, [seq, aggregates, resolution, myVote]);

  useEffect(() => {
    if (!isGlowing) return;
    const timer = setTimeout(() => setGlowing(false), GLOW);
    return () => clearTimeout(timer);
  }, [isGlowing]);

  return { cell, isGlowing, glows, place, placeError, isSearching, togglePlace, vote, takeBack };
}
