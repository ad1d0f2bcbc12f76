import type { MatchStatus, Votes } from "vote-agg-client";
import { useEffect, useRef, useState } from "react";
import { learnTime } from "./clock.js";
import { type Minute, MINUTES } from "./minutes.js";

/** A line of the list of matches. */
export interface MatchLine {
  readonly match: string;
  readonly status: MatchStatus;
  readonly total: number;
  readonly votes: Votes;
  readonly leader: string | null;
  readonly dominance: number;
  readonly per_minute: number;
  readonly last_vote_at: string | null;
}

/** Asks the relay; what it refuses is thrown with its own words. */
async function ask<T>(path: string, token: string | undefined, signal: AbortSignal): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(path, { signal, ...(token && { headers: { authorization: `Bearer ${token}` } }) });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Error("The relay does not answer.");
  }
  learnTime(answer.headers);
  const body = (await answer.json().catch(() => ({}))) as { message?: string };
  if (answer.ok) return body as T;
  throw new Error(answer.status === 503 ? "The relay cannot reach its database." : (body.message ?? `The relay answers ${answer.status}.`));
}

export interface Polled<T> {
  readonly value: T | null;
  /** The state that the value shows. */
  readonly moment: string | null;
  /** Why the last attempt failed; what was known before stays. */
  readonly problem: string | null;
}

/**
 * Asks every `pause` milliseconds while the page is seen, for what `path` says at each time (null: nothing yet), unless nothing has
 * moved since the last answer: `moment` names the state that the answer shows.
 */
function usePolled<T>(path: () => string | null, token: string | undefined, pause: number, moment: () => string | null): Polled<T> {
  const [polled, setPolled] = useState<Polled<T>>({ value: null, moment: null, problem: null });
  const latest = useRef({ path, moment });
  latest.current = { path, moment };
  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    let known: string | null = null;
    const turn = async () => {
      const [wanted, now] = [document.hidden ? null : latest.current.path(), latest.current.moment()];
      const isDue = wanted !== null && (now === null || now !== known);
      if (isDue) {
        try {
          const value = await ask<T>(wanted, token, end.signal);
          known = now;
          if (!end.signal.aborted) setPolled({ value, moment: now, problem: null });
        } catch (error) {
          if (!end.signal.aborted) setPolled((last) => ({ ...last, problem: (error as Error).message }));
        }
      }
      // Soon again where there was nothing to ask for yet.
      if (!end.signal.aborted) timer = setTimeout(turn, isDue ? pause : Math.min(pause, 500));
    };
    void turn();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [token, pause]);
  return polled;
}

export function useMatches(token: string | undefined): Polled<readonly MatchLine[]> {
  const { value, ...rest } = usePolled<{ matches: readonly MatchLine[] }>(() => "/matches", token, 3_000, () => null);
  return { value: value?.matches ?? null, ...rest };
}

/** Votes by minute and team up to `at`; asked for again when that has moved. */
export function useTimeline(matchId: string, at: string | null, token: string | undefined): Polled<readonly Minute[]> {
  const path = () => {
    if (at === null) return null;
    const from = new Date((Math.floor(Date.parse(at) / 60_000) - MINUTES + 1) * 60_000).toISOString();
    return `/matches/${encodeURIComponent(matchId)}/timeline?${new URLSearchParams({ bucket: "1 minute", from })}`;
  };
  const { value, ...rest } = usePolled<{ timeline: readonly Minute[] }>(path, token, 4_000, () => at);
  return { value: value?.timeline ?? null, ...rest };
}
