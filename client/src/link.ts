import { io, type Socket } from "socket.io-client";
import type { Message, Snapshot } from "./message.js";

/** A JSON Web Token, or what gets one: called before each connect, and some time before the last one expires. */
export type Token = string | (() => string | Promise<string>);

/** What went wrong: a word for programs and a sentence for people. */
export interface VoteError {
  readonly code: string;
  readonly message: string;
}

/** Who follows a match over a link. */
export interface Follower {
  /** The socket is there: join. */
  connected(): void;
  /** Something about the link has changed; it may be gone. */
  changed(): void;
  receive(message: Message | Snapshot): void;
  refused(error: VoteError): void;
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

/** Milliseconds until an answer is taken for lost. */
const PATIENCE = 10_000;

/** A token is renewed this long before it expires, or earlier where it lives shorter. */
const MARGIN = 30_000;

/** The longest time that setTimeout takes. */
const LONGEST = 2 ** 31 - 1;

/** Milliseconds until the next attempt: doubling from 1 to 15 s, of that a random half to whole, so that not everybody comes back at once. */
export function backOff(attempts: number): number {
  return Math.min(15_000, 1_000 * 2 ** attempts) * (0.5 + Math.random() / 2);
}

/**
 * One socket, kept connected whatever ends it: socket.io-client gives up where the server disconnects or refuses it, so its own
 * reconnecting is off and everything goes through one back-off.
 */
export class Link {
  readonly followers = new Map<string, Follower>();
  error: VoteError | null = null;
  private readonly socket: Socket;
  private attempts = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private renewal: ReturnType<typeof setTimeout> | undefined;
  private isClosed = false;

  constructor(
    readonly url: string,
    public token: Token | undefined,
  ) {
    this.socket = io(`${url.replace(/\/+$/, "")}/votes`, {
      autoConnect: false,
      forceNew: true,
      reconnection: false,
      // A WebSocket needs no sticky sessions; polling is for where none gets through.
      transports: ["websocket", "polling"],
      tryAllTransports: true,
    });
    this.socket.on("connect", () => {
      this.error = null;
      for (const follower of this.followers.values()) follower.connected();
      this.tell();
    });
    this.socket.on("connect_error", (error) => {
      const isUnreachable = "type" in error || error.message === "timeout";
      if (isUnreachable) this.failed("unreachable", `no connection to the relay: ${error.message}`);
      else this.failed(error.message, `the relay refuses the connection: ${error.message}`);
    });
    this.socket.on("disconnect", (reason) => this.failed(this.error?.code ?? "disconnected", this.error?.message ?? reason));
    this.socket.on("relay:closing", ({ reason }: { reason: string }) => {
      this.error = { code: reason, message: `the relay closes the connection: ${reason}` };
    });
    this.socket.on("match:snapshot", (snapshot: Snapshot) => this.followers.get(snapshot.match)?.receive(snapshot));
    this.socket.on("match:update", (message: Message) => this.followers.get(message.match)?.receive(message));
    void this.open();
  }

  get isConnected(): boolean {
    return this.socket.connected;
  }

  /** A join has worked: the next failure is a new one. */
  worked(): void {
    this.attempts = 0;
  }

  /** Emits and waits for the answer; an error where none comes. */
  ask(event: string, data: object, then: (error: VoteError | null, answer: Answer) => void): void {
    this.socket.timeout(PATIENCE).emit(event, data, (lost: Error | null, answer: Answer) => {
      if (lost) return then({ code: "no_answer", message: `no answer to ${event}` }, { ok: false });
      then(answer.ok ? null : { code: answer.error ?? "refused", message: answer.message || answer.error || "refused" }, answer);
    });
  }

  /** Another token, from now on; a string is shown to the relay at once. */
  setToken(token: Token | undefined): void {
    if (token === this.token) return;
    this.token = token;
    if (typeof token === "string" && this.isConnected) void this.renew();
  }

  leave(matchId: string): void {
    if (this.isConnected) this.socket.emit("match:leave", { matchId });
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.retry);
    clearTimeout(this.renewal);
    this.socket.off();
    this.socket.disconnect();
  }

  private async open(): Promise<void> {
    this.retry = undefined;
    try {
      const token = await this.currentToken();
      if (this.isClosed) return;
      this.socket.auth = token ? { token } : {};
      this.socket.connect();
    } catch (error) {
      this.failed("token", `no token: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private failed(code: string, message: string): void {
    if (this.isClosed) return;
    this.error = { code, message };
    clearTimeout(this.renewal);
    // An attempt that fails may say so twice.
    this.retry ??= setTimeout(() => void this.open(), backOff(this.attempts++));
    this.tell();
  }

  private tell(): void {
    for (const follower of this.followers.values()) follower.changed();
  }

  private async currentToken(): Promise<string | undefined> {
    const { token } = this;
    const value = typeof token === "function" ? await token() : token;
    clearTimeout(this.renewal);
    const left = typeof token === "function" && value ? lifetime(value) : 0;
    if (left > 0 && !this.isClosed) {
      const delay = Math.max(1_000, left - Math.min(MARGIN, left / 4));
      this.renewal = setTimeout(() => void this.renew(), Math.min(LONGEST, delay));
    }
    return value;
  }

  private async renew(): Promise<void> {
    try {
      const token = await this.currentToken();
      if (!token || !this.isConnected) return;
      this.ask("auth", { token }, (_, { left = [] }) => {
        for (const matchId of left) this.followers.get(matchId)?.refused({ code: "forbidden", message: "the token does not cover this match" });
      });
    } catch {
      // The old token counts on; when it expires, the relay closes the socket and the next attempt asks again.
    }
  }
}

/** Milliseconds that a token is still valid; 0 where it does not say. */
function lifetime(token: string): number {
  try {
    const claims = JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))) as { exp?: number };
    return Number(claims.exp) * 1_000 - Date.now() || 0;
  } catch {
    return 0;
  }
}
