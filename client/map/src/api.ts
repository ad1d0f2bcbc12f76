import type { LeadChange, MatchStatus, Votes } from "vote-agg-client";
import { useEffect, useMemo, useRef, useState } from "react";
import { learnTime } from "./clock.js";
import { say } from "./language.js";
import { type Bucket, type Column, columnsOf, type Earlier, widthOf } from "./history.js";
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
    throw new Error(say("relaySilent"));
  }
  learnTime(answer.headers);
  const body = (await answer.json().catch(() => ({}))) as { message?: string };
  if (answer.ok) return body as T;
  throw new Error(answer.status === 503 ? say("noDatabase") : (body.message ?? say("relayAnswers", { status: answer.status })));
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
  const { value, ...rest } = usePolled<{ matches: readonly MatchLine[] }>(() => "matches", token, 3_000, () => null);
  return { value: value?.matches ?? null, ...rest };
}

/** Votes by minute and team up to `at`; asked for again when that has moved. */
export function useTimeline(matchId: string, at: string | null, token: string | undefined): Polled<readonly Minute[]> {
  const path = () => {
    if (at === null) return null;
    const from = new Date((Math.floor(Date.parse(at) / 60_000) - MINUTES + 1) * 60_000).toISOString();
    return `matches/${encodeURIComponent(matchId)}/timeline?${new URLSearchParams({ bucket: "1 minute", from })}`;
  };
  const { value, ...rest } = usePolled<{ timeline: readonly Minute[] }>(path, token, 4_000, () => at);
  return { value: value?.timeline ?? null, ...rest };
}

/** Changes of leader up to the moment when the page was opened, newest first: asked for once there is a fold. */
export function useFlips(matchId: string, at: string | null, token: string | undefined): readonly LeadChange[] {
  const path = () => at && `matches/${encodeURIComponent(matchId)}/flips`;
  const { value } = usePolled<{ flips: readonly (LeadChange & { country_code: string | null })[] }>(path, token, 15_000, () => matchId);
  return useMemo(() => (value?.flips ?? []).map((flip) => ({ ...flip, place: flip.country_code })), [value]);
}

/** The time line of the whole match; `width`: minutes of a column. */
export interface History {
  readonly columns: readonly Column[];
  readonly width: number;
}

/**
 * The time line of the whole match. When it began is found step by step: by days, then by columns that fit that age, until they begin
 * where they are asked from.
 */
export function useHistory(matchId: string, at: string | null, teams: number, token: string | undefined): History {
  const [from, setFrom] = useState<number | null>(null);
  const [isFound, setFound] = useState(false);
  const width = from === null || at === null ? 1_440 : widthOf(from, Date.parse(at), teams);
  const path = () => {
    if (at === null) return null;
    const query = { bucket: `${width} minutes`, ...(from !== null && { from: new Date(from).toISOString() }) };
    return `matches/${encodeURIComponent(matchId)}/timeline?${new URLSearchParams(query)}`;
  };
  const { value, moment } = usePolled<{ timeline: readonly Bucket[] }>(path, token, isFound ? 15_000 : 500, () => at && `${at} ${width}`);
  const columns = useMemo(() => columnsOf(value?.timeline ?? []), [value]);
  const began = columns[0]?.start;
  // The width that these columns were asked for with.
  const known = Number(moment?.split(" ").at(-1) ?? width);
  useEffect(() => {
    if (began === undefined) return;
    if (from === null || began > from) setFrom(began);
    else if (known === width) setFound(true);
  }, [from, began, known, width]);
  return { columns, width: known };
}

/** The match as it stood when a minute began; null: not known yet, or live. */
export function useEarlier(matchId: string, moment: number | null, token: string | undefined): { value: Earlier | null; problem: string | null } {
  const [known, setKnown] = useState<{ moment: number; value: Earlier | null; problem: string | null } | null>(null);
  useEffect(() => {
    if (moment === null) return;
    const end = new AbortController();
    // Whoever drags the cursor asks for the places where it rests.
    const timer = setTimeout(() => {
      ask<Earlier>(`matches/${encodeURIComponent(matchId)}/at?${new URLSearchParams({ ts: new Date(moment).toISOString() })}`, token, end.signal).then(
        (value) => setKnown({ moment, value, problem: null }),
        (error: Error) => end.signal.aborted || setKnown({ moment, value: null, problem: error.message }),
      );
    }, 120);
    return () => {
      clearTimeout(timer);
      end.abort();
    };
  }, [matchId, moment, token]);
  return known?.moment === moment ? known : { value: null, problem: null };
}
