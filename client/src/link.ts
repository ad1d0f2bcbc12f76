import { io, type Socket } from "socket.io-client";
import type { Answer, OnAnswer, OnJoin } from "./answer.js";
import type { Endpoint } from "./endpoint.js";
import type { VoteError } from "./error.js";
import { type Applicant, Membership } from "./membership.js";
import type { AreaCells, Message, RelayClosing, RelayStale, RelayWelcome, Snapshot } from "./message.js";
import type { Door } from "./my_vote.js";
import { lifetime, type Token } from "./token.js";
import { onWake } from "./wake.js";

/** A match that is followed over a link. */
export interface LinkedMatch extends Applicant {
  /** The page is seen again, or online again: what waits need not wait any longer. */
  onWake(): void;
  /** Something about the link has changed; it may be gone. */
  onLinkChange(): void;
  onMessage(message: Message | Snapshot | AreaCells): void;
  onRefusal(error: VoteError): void;
}

/** Milliseconds until an answer, or a token, is taken for lost. */
const PATIENCE = 10_000;

/** A token is renewed this long before it expires, or earlier where it lives shorter. */
const MARGIN = 30_000;

/** The longest time that setTimeout takes. */
const LONGEST = 2 ** 31 - 1;

/** The window of the first attempt, where the relay tells no other: it does not know how many come back with it. */
const WINDOW = 3_000;
const LONGEST_WINDOW = 300_000;
const SOONEST = 250;

/** Waking up makes no attempt sooner than this after the last one. */
const PAUSE = 1_000;

/**
 * Milliseconds until the next attempt: any time within a window with equal chance, so that the clients of a relay that ends do not
 * come back all at once. The window doubles from 3 to 15 s; the relay may tell a longer one, which grows with its clients.
 */
export function backOff(attempts: number, window = WINDOW): number {
  const ceiling = Math.max(window, Math.min(15_000, WINDOW * 2 ** attempts));
  return SOONEST + Math.random() * (ceiling - SOONEST);
}

/**
 * One socket, kept connected whatever ends it: socket.io-client gives up where the server disconnects or refuses it, so its own
 * reconnecting is off and everything goes through one back-off.
 */
export class Link {
  readonly matches = new Map<string, LinkedMatch>();
  error: VoteError | null = null;
  /** Since when the relay knows nothing new; null: it is up to date. */
  staleSince: string | null = null;
  /** Whose votes the relay takes. */
  door: Door | null = null;
  /** For tests. */
  readonly socket: Socket;
  readonly #membership = new Membership((event, data, onAnswer) => this.#ask(event, data, onAnswer));
  readonly #endWake: () => void;
  #window = WINDOW;
  #attempts = 0;
  #attemptedAt = 0;
  #isAttempting = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(
    readonly endpoint: Endpoint,
    public token: Token | undefined,
  ) {
    const { origin, path, transports, withCredentials } = endpoint;
    this.socket = io(`${origin}/votes`, {
      path,
      withCredentials,
      transports: [...transports],
      tryAllTransports: true,
      autoConnect: false,
      forceNew: true,
      reconnection: false,
    });
    this.#listen();
    this.#endWake = onWake((isLong) => this.#wake(isLong));
    void this.#open();
  }

  get isConnected(): boolean {
    return this.socket.connected;
  }

  join(match: LinkedMatch, onAnswer: OnJoin): void {
    this.#membership.join(match, (error, answer, request) => {
      if (!error) this.#attempts = 0;
      onAnswer(error, answer, request);
    });
  }

  leave(matchId: string): void {
    this.#membership.leave(matchId);
  }

  /** Another token, from now on; a string is shown to the relay at once, and tried at once where the last one was refused. */
  setToken(token: Token | undefined): void {
    if (token === this.token) return;
    this.token = token;
    if (typeof token !== "string") return;
    if (this.isConnected) void this.#renew();
    else this.#retryNow();
  }

  close(): void {
    this.#isClosed = true;
    this.#endWake();
    this.#membership.clear();
    clearTimeout(this.#retry);
    clearTimeout(this.#renewal);
    this.socket.off();
    this.socket.disconnect();
  }

  #listen(): void {
    this.socket.on("connect", () => {
      this.#isAttempting = false;
      this.error = null;
      for (const match of this.matches.values()) match.join();
      this.#notify();
    });
    this.socket.on("connect_error", (error) => {
      const isUnreachable = "type" in error || error.message === "timeout";
      this.#onFailure(isUnreachable ? "unreachable" : error.message, `no connection to the relay: ${error.message}`);
    });
    this.socket.on("disconnect", (reason) => this.#onFailure(this.error?.code ?? "disconnected", this.error?.message ?? reason));
    this.socket.on("relay:welcome", ({ window, votes }: RelayWelcome) => {
      this.#setWindow(window);
      this.door = votes === "token" || votes === "anonymous" ? votes : null;
      this.#notify();
    });
    this.socket.on("relay:closing", ({ reason, window }: RelayClosing) => {
      this.#setWindow(window);
      if (reason === "too_many_events") this.#membership.slowDown();
      this.error = { code: reason, message: `no connection to the relay: ${reason}` };
    });
    this.socket.on("relay:stale", ({ since }: RelayStale) => {
      this.staleSince = since ?? null;
      this.#notify();
    });
    for (const event of ["match:snapshot", "match:update", "match:area"]) {
      this.socket.on(event, (message: Message | Snapshot | AreaCells) => this.matches.get(message.match)?.onMessage(message));
    }
  }

  #setWindow(window: unknown): void {
    if (typeof window === "number" && window >= 0) this.#window = Math.min(LONGEST_WINDOW, Math.max(WINDOW, window));
  }

  /** Emits and waits for the answer; an error where none comes. */
  #ask(event: string, data: object, onAnswer: OnAnswer): void {
    this.socket.timeout(PATIENCE).emit(event, data, (lost: Error | null, answer: Answer) => {
      if (lost) return onAnswer({ code: "no_answer", message: `no answer to ${event}` }, { ok: false });
      onAnswer(answer.ok ? null : { code: answer.error ?? "refused", message: answer.message || answer.error || "refused" }, answer);
    });
  }

  async #open(): Promise<void> {
    this.#retry = undefined;
    this.#attemptedAt = Date.now();
    const late = setTimeout(() => this.#onFailure("token", "no token: timeout"), PATIENCE);
    try {
      const token = await this.#currentToken();
      // The answer of a call that was given up may still be of use, unless a later call was faster.
      if (this.#isClosed || this.#isAttempting || this.isConnected) return;
      clearTimeout(this.#retry);
      this.#retry = undefined;
      this.#isAttempting = true;
      this.socket.auth = token ? { token } : {};
      this.socket.connect();
    } catch (error) {
      this.#onFailure("token", `no token: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      clearTimeout(late);
    }
  }

  #onFailure(code: string, message: string): void {
    if (this.#isClosed) return;
    this.#isAttempting = false;
    this.error = { code, message };
    this.staleSince = null;
    this.#membership.clear();
    clearTimeout(this.#renewal);
    // An attempt that fails may say so twice.
    this.#retry ??= setTimeout(() => void this.#open(), backOff(this.#attempts++, this.#window));
    this.#notify();
  }

  /** Makes the attempt that waits for its time. */
  #retryNow(): void {
    if (this.#retry === undefined) return;
    clearTimeout(this.#retry);
    void this.#open();
  }

  #wake(isLong: boolean): void {
    if (Date.now() - this.#attemptedAt > PAUSE) this.#retryNow();
    if (this.isConnected) {
      for (const match of this.matches.values()) match.onWake();
      if (isLong) this.#probe();
    }
  }

  /** A network that changed may have left a connection that neither side closes. One that does not answer is made again. */
  #probe(): void {
    const [match] = this.matches.values();
    const { id } = this.socket;
    if (!match) return;
    this.#ask("match:join", match.joinRequest(), (error) => {
      if (error?.code === "no_answer" && this.socket.id === id) this.socket.disconnect();
    });
  }

  #notify(): void {
    for (const match of this.matches.values()) match.onLinkChange();
  }

  async #currentToken(): Promise<string | undefined> {
    const { token } = this;
    const value = typeof token === "function" ? await token() : token;
    clearTimeout(this.#renewal);
    const left = typeof token === "function" && value ? lifetime(value) : 0;
    if (left > 0 && !this.#isClosed) {
      const delay = Math.max(1_000, left - Math.min(MARGIN, left / 4));
      this.#renewal = setTimeout(() => void this.#renew(), Math.min(LONGEST, delay));
    }
    return value;
  }

  async #renew(): Promise<void> {
    try {
      const token = await this.#currentToken();
      if (!token || !this.isConnected) return;
      this.#ask("auth", { token }, (_, { left = [] }) => {
        for (const matchId of left) {
          this.#membership.lose(matchId);
          this.matches.get(matchId)?.onRefusal({ code: "forbidden", message: "the token does not cover this match" });
        }
      });
    } catch {
      // The old token counts on; when it expires, the relay closes the socket and the next attempt asks again.
    }
  }
}
