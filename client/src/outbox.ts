/** The relay takes 20 joins a second of a socket, and 40 at once; this stays below both, also where the network lets some catch up. */
const A_SECOND = 16;
const AT_ONCE = 32;
const UNANSWERED = 8;

/** Sends a request, and calls `done` when it is answered, or is taken for lost. False: it is not needed any more, and was not sent. */
type Send = (done: () => void) => boolean;

/**
 * Requests of one socket, one a match, sent in their order and no faster than the relay takes them. A page may mount a thousand
 * stores at once; sent as they come, their joins would be refused, and the socket closed.
 */
export class Outbox {
  readonly #queue = new Map<string, Send>();
  #rate = A_SECOND;
  #tokens = AT_ONCE;
  #filledAt = Date.now();
  #unanswered = 0;
  /** Answers that come after the socket was closed count no more. */
  #connection = {};
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Puts a request in the line; in place of another of the same match that was not sent yet. */
  put(matchId: string, send: Send): void {
    this.#queue.set(matchId, send);
    this.#pump();
  }

  /** Takes back the request of a match. Returns whether there was one that was not sent yet. */
  remove(matchId: string): boolean {
    return this.#queue.delete(matchId);
  }

  /** Forgets everything: the socket is closed. */
  clear(): void {
    this.#queue.clear();
    this.#connection = {};
    this.#unanswered = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The relay has said that this was too fast. */
  slowDown(): void {
    this.#rate = Math.max(1, this.#rate / 2);
    this.#tokens = 0;
    this.#filledAt = Date.now();
  }

  #pump(): void {
    for (const [matchId, send] of this.#queue) {
      if (this.#unanswered >= UNANSWERED || !this.#hasToken()) return;
      this.#queue.delete(matchId);
      const connection = this.#connection;
      const isSent = send(() => {
        if (connection !== this.#connection) return;
        this.#unanswered--;
        this.#pump();
      });
      if (!isSent) continue;
      this.#unanswered++;
      this.#tokens--;
    }
  }

  #hasToken(): boolean {
    const now = Date.now();
    // A clock that was set back gives nothing.
    this.#tokens = Math.min(AT_ONCE, this.#tokens + (Math.max(0, now - this.#filledAt) * this.#rate) / 1_000);
    this.#filledAt = now;
    if (this.#tokens < 1) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#pump();
      }, ((1 - this.#tokens) * 1_000) / this.#rate);
    }
    return this.#tokens >= 1;
  }
}
