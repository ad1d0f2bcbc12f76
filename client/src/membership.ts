import type { Ask, JoinRequest, OnJoin } from "./answer.js";
import type { VoteError } from "./error.js";
import { Outbox } from "./outbox.js";

/** A match that asks for a place among those of a socket. */
export interface Applicant {
  readonly matchId: string;
  joinRequest(): JoinRequest;
  /** Called when another match was left: joins again. */
  join(): void;
}

/**
 * Which matches a socket is in. The relay bounds their number (`too_many_rooms`) and does not tell it before. So the first refusal
 * counts for all that would come after it, without a word to the relay, until a match is left.
 */
export class Membership {
  readonly #outbox = new Outbox();
  /** Matches that the relay was asked for and has not refused. */
  readonly #members = new Set<string>();
  /** Matches that found no room, in their order. */
  readonly #waiting = new Map<string, Applicant>();
  /** The relay's last word on room; null: there may be some. */
  #refusal: VoteError | null = null;

  constructor(private readonly ask: Ask) {}

  /** Asks for a match when its turn comes. */
  join(match: Applicant, onAnswer: OnJoin): void {
    const { matchId } = match;
    this.#waiting.delete(matchId);
    this.#outbox.put(matchId, (done) => {
      const isNew = !this.#members.has(matchId);
      if (isNew && this.#refusal) {
        this.#waiting.set(matchId, match);
        onAnswer(this.#refusal, { ok: false }, match.joinRequest());
        return false;
      }
      this.#members.add(matchId);
      const request = match.joinRequest();
      this.ask("match:join", request, (error, answer) => {
        if (error && isNew && error.code !== "no_answer") this.#members.delete(matchId);
        if (error?.code === "too_many_joins") this.#outbox.slowDown();
        if (error?.code === "too_many_rooms") {
          this.#refusal = error;
          this.#waiting.set(matchId, match);
        }
        onAnswer(error, answer, request);
        done();
        if (!error) this.#invite();
      });
      return true;
    });
  }

  leave(matchId: string): void {
    this.#waiting.delete(matchId);
    this.#outbox.remove(matchId);
    if (!this.#members.has(matchId)) return;
    this.#outbox.put(matchId, (done) => {
      this.#members.delete(matchId);
      this.ask("match:leave", { matchId }, () => {
        this.#refusal = null;
        done();
        this.#invite();
      });
      return true;
    });
  }

  /** The relay has ended a membership. */
  lose(matchId: string): void {
    this.#members.delete(matchId);
  }

  /** The socket is closed: nothing of it counts any more. */
  clear(): void {
    this.#outbox.clear();
    this.#members.clear();
    this.#waiting.clear();
    this.#refusal = null;
  }

  slowDown(): void {
    this.#outbox.slowDown();
  }

  /** There may be room: the match that has waited longest joins. When it is in, the next one tries. */
  #invite(): void {
    const [first] = this.#waiting.values();
    if (first && !this.#refusal) first.join();
  }
}
