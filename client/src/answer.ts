import type { VoteError } from "./error.js";

/** The data of match:join. */
export interface JoinRequest {
  readonly matchId: string;
  readonly bundle: true;
  /** The lists of a message that are read here. */
  readonly parts: readonly ["cells", "countries", "flips"];
  readonly resolution?: number;
  readonly area?: readonly string[];
  /** The area that is known at `sinceSeq`, where that is another one; null: all cells. */
  readonly from?: readonly string[] | null;
  readonly sinceSeq?: number;
  readonly epoch?: string | null;
}

/** The answer to match:join, match:leave and auth. */
export interface Answer {
  readonly ok: boolean;
  readonly error?: string;
  readonly message?: string;
  readonly seq?: number;
  readonly epoch?: string | null;
  /** Matches that a new token does not cover. */
  readonly left?: readonly string[];
}

export type OnAnswer = (error: VoteError | null, answer: Answer) => void;

/** The answer to a join, with what was asked for. */
export type OnJoin = (error: VoteError | null, answer: Answer, request: JoinRequest) => void;

/** Emits an event and waits for its answer; an error where none comes. */
export type Ask = (event: string, data: object, onAnswer: OnAnswer) => void;
