import { type Endpoint, endpointOf, type RelayOptions } from "./endpoint.js";
import type { Token } from "./token.js";

export interface VoterOptions extends Pick<RelayOptions, "url" | "path" | "withCredentials"> {
  readonly matchId: string;
  /** With the scope `vote`; it says who votes. Without one it is a click with a key that is drawn here, where the relay counts clicks. */
  readonly token?: Token | undefined;
}

export interface Choice {
  readonly teamChoice: string;
  /** A cell, or a position; the relay coarsens either before it is stored. */
  readonly h3Index?: string | undefined;
  readonly position?: { readonly lat: number; readonly lng: number } | undefined;
}

/** What became of a vote or retraction. It is durable. */
export interface VoteOutcome {
  /** `superseded`: a newer one, from elsewhere perhaps, stands: `vote`. */
  readonly outcome: "counted" | "changed" | "unchanged" | "retracted" | "superseded";
  readonly turn: number;
  readonly vote?: { readonly teamChoice: string | null; readonly turn: number | null } | undefined;
}

/**
 * A vote that is not counted, and will not be. With the code `unknown_outcome` nobody knows: an earlier try may count, and the relay
 * hears no further one.
 */
export class VoteRefusal extends Error {
  override readonly name = "VoteRefusal";

  constructor(
    readonly code: string,
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** A vote that stands. A `turn` without a `teamChoice`: it was taken back. */
export interface OwnVote {
  readonly teamChoice: string | null;
  readonly turn: number | null;
  readonly h3Index: string | null;
}

/** Methods need no `this`. */
export interface Voter {
  /** Sends a vote again and again until it is known what became of it. Rejects with a VoteRefusal. */
  readonly castVote: (choice: Choice) => Promise<VoteOutcome>;
  /** Takes the vote back, as surely. */
  readonly retractVote: () => Promise<VoteOutcome>;
  /** The vote that stands. Rejects with a VoteRefusal where it cannot be read at the moment. */
  readonly getVote: () => Promise<OwnVote>;
}

/** The token at a time, and whether another try may find another one. */
export interface Bearer {
  readonly get: () => Promise<string | undefined>;
  readonly isRenewable: () => boolean;
}

/** What a relay sends. */
interface Answer {
  readonly outcome: VoteOutcome["outcome"];
  readonly vote?: { readonly team_choice: string | null; readonly turn: number | null };
  readonly error?: string;
  readonly detail?: string;
  readonly message?: string;
}

/** Milliseconds until a request is taken for lost: longer than the relay waits by default. */
const PATIENCE = 15_000;

/** The longest pause between two tries. */
const LONGEST_PAUSE = 15_000;

/** Of these a relay or a proxy says that it may work later. 504: it may count already, which another try tells. */
const PASSING = [408, 425, 429, 500, 502, 503, 504];

/** These say that this try was not heard, and nothing of the tries before it. */
const UNHEARD = [400, 401, 403, 413, 415];

/** Of these the vote is certainly not counted. */
const UNCOUNTED = [425, 429, 503];

/** To be tried again, after so many seconds at least. */
interface Again {
  readonly after: number;
  readonly isUncounted: boolean;
}

/** Votes in a match. Throws a TypeError for options that cannot be right. */
export function createVoter({ matchId, token, ...options }: VoterOptions): Voter {
  const bearer = { get: async () => (typeof token === "function" ? token() : token), isRenewable: () => typeof token === "function" };
  return makeVoter(endpointOf(options), matchId, bearer);
}

/** The same from checked options, for a token that may come later. */
export function makeVoter({ origin, path, withCredentials }: Endpoint, matchId: string, bearer: Bearer): Voter {
  const url = `${origin.replace(/^ws/, "http")}${path.replace(/[^/]*\/?$/, "")}matches/${encodeURIComponent(matchId)}/votes`;
  const turns = new Turns(`vote-agg ${url}`);

  /** Asks the relay once, as whoever votes. */
  const ask = async (address: string, token: string | undefined, init: RequestInit): Promise<Response> =>
    fetch(address, {
      ...init,
      headers: { ...init.headers, ...(token === undefined ? { "idempotency-key": keyOf(`vote-agg key ${url}`) } : { authorization: `Bearer ${token}` }) },
      credentials: withCredentials ? "include" : "same-origin",
      signal: AbortSignal.timeout(PATIENCE),
    });

  /** One try. */
  const attempt = async (choice: object, turn: number): Promise<{ status: number; answer: Answer; isKeyed: boolean } | Again> => {
    try {
      const token = await bearer.get();
      const isKeyed = token === undefined;
      const body = JSON.stringify(isKeyed ? choice : { ...choice, turn });
      const response = await ask(url, token, { method: "POST", body, headers: { "content-type": "application/json" } });
      const { status } = response;
      if (PASSING.includes(status)) return { after: Number(response.headers.get("retry-after")) || 0, isUncounted: UNCOUNTED.includes(status) };
      return { status, answer: (await response.json()) as Answer, isKeyed };
    } catch {
      return { after: 0, isUncounted: false };
    }
  };

  const send = async (choice: object): Promise<VoteOutcome> => {
    let turn = turns.next();
    let isFirst = true;
    let isInDoubt = false;
    let tokens = 2;
    for (let tries = 0; ; tries++) {
      const result = await attempt(choice, turn);
      if ("after" in result) {
        await pause(Math.max(result.after * 1_000, Math.min(LONGEST_PAUSE, 250 * 2 ** Math.min(tries, 6)) * (0.5 + Math.random() / 2)));
        isInDoubt ||= !result.isUncounted;
        if (isInDoubt) isFirst = false;
        continue;
      }
      const { status, answer, isKeyed } = result;
      const { outcome, vote } = answer;
      // A choice of this moment is newer than what another device has sent under this turn or a later one. A retry need not be, nor
      // one that was followed by another choice here.
      const isOvertaken = answer.error === "voted" ? turn === turns.last : outcome === "superseded" && (vote?.turn ?? 0) > turns.last;
      if (isFirst && isOvertaken && !isKeyed) {
        isFirst = false;
        turn = turns.next(vote?.turn ?? turn);
        continue;
      }
      if (status === 401 && bearer.isRenewable() && --tokens) continue;
      const isUnknown = isInDoubt && UNHEARD.includes(status);
      if (!outcome) throw refusalOf(isUnknown ? { ...answer, error: "unknown_outcome" } : answer, status);
      return { outcome, turn, vote: vote && { teamChoice: vote.team_choice, turn: vote.turn } };
    }
  };

  return {
    castVote: ({ teamChoice, h3Index, position }) => send({ teamChoice, h3Index, ...position }),
    retractVote: () => send({ teamChoice: null }),
    async getVote() {
      const response = await ask(url.replace(/s$/, ""), await bearer.get(), {});
      const answer = (await response.json()) as Answer & { team_choice: string | null; turn: number | null; h3_index: string | null };
      if (!response.ok) throw refusalOf(answer, response.status);
      turns.raise(answer.turn ?? 0);
      return { teamChoice: answer.team_choice, turn: answer.turn, h3Index: answer.h3_index };
    },
  };
}

function refusalOf({ error, detail, message }: Answer, status: number): VoteRefusal {
  return new VoteRefusal(error ?? "refused", detail ?? message ?? `the relay answers ${status}`, status);
}

/** What the page's storage keeps under a name, where there is a storage that may be used. */
const storage = {
  get: (name: string): string | null => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  },
  set: (name: string, value: string): void => {
    try {
      localStorage.setItem(name, value);
    } catch {
      // The relay tells where a turn is too low.
    }
  },
};

const keys = new Map<string, string>();

/** The key of a click: drawn once, and kept. crypto.randomUUID is not there on a page without TLS. */
function keyOf(name: string): string {
  const key = keys.get(name) ?? storage.get(name) ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  keys.set(name, key);
  storage.set(name, key);
  return key;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** Counts the turns of a voter in a match. The page's storage keeps the last one, where there is a storage. */
class Turns {
  #last = 0;

  constructor(private readonly key: string) {}

  get last(): number {
    return Math.max(this.#last, Number(storage.get(this.key)) || 0);
  }

  /** The relay knows of this turn. */
  raise(turn: number): void {
    this.#last = Math.max(this.#last, turn);
  }

  /** The next turn, which is above `least`. */
  next(least = 0): number {
    this.#last = Math.max(this.last, least) + 1;
    storage.set(this.key, String(this.#last));
    return this.#last;
  }
}
