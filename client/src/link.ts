import { io, type Socket } from "socket.io-client";
import type { VoteError } from "./error.js";
import type { Message, Snapshot } from "./message.js";
import { lifetime, type Token } from "./token.js";

/** A match that is followed over a link. */
export interface LinkedMatch {
  /** The socket is connected: join. */
  onConnect(): void;
  /** Something about the link has changed; it may be gone. */
  onLinkChange(): void;
  onMessage(message: Message | Snapshot): void;
  onRefusal(error: VoteError): void;
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

/** Milliseconds until the next attempt: doubling from 1 to 15 s, of that a random half to whole, so that clients do not come back all at once. */
export function backOff(attempts: number): number {
  return Math.min(15_000, 1_000 * 2 ** attempts) * (0.5 + Math.random() / 2);
}

/**
 * One socket, kept connected whatever ends it: socket.io-client gives up where the server disconnects or refuses it, so its own
 * reconnecting is off and everything goes through one back-off.
 */
export class Link {
  readonly matches = new Map<string, LinkedMatch>();
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
      for (const match of this.matches.values()) match.onConnect();
      this.notify();
    });
    this.socket.on("connect_error", (error) => {
      const isUnreachable = "type" in error || error.message === "timeout";
      if (isUnreachable) this.onFailure("unreachable", `no connection to the relay: ${error.message}`);
      else this.onFailure(error.message, `the relay refuses the connection: ${error.message}`);
    });
    this.socket.on("disconnect", (reason) => this.onFailure(this.error?.code ?? "disconnected", this.error?.message ?? reason));
    this.socket.on("relay:closing", ({ reason }: { reason: string }) => {
      this.error = { code: reason, message: `the relay closes the connection: ${reason}` };
    });
    this.socket.on("match:snapshot", (snapshot: Snapshot) => this.matches.get(snapshot.match)?.onMessage(snapshot));
    this.socket.on("match:update", (message: Message) => this.matches.get(message.match)?.onMessage(message));
    void this.open();
  }

  get isConnected(): boolean {
    return this.socket.connected;
  }

  /** A join has succeeded: the next failure is a first one. */
  onJoin(): void {
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
      this.onFailure("token", `no token: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private onFailure(code: string, message: string): void {
    if (this.isClosed) return;
    this.error = { code, message };
    clearTimeout(this.renewal);
    // An attempt that fails may say so twice.
    this.retry ??= setTimeout(() => void this.open(), backOff(this.attempts++));
    this.notify();
  }

  private notify(): void {
    for (const match of this.matches.values()) match.onLinkChange();
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
        for (const matchId of left) this.matches.get(matchId)?.onRefusal({ code: "forbidden", message: "the token does not cover this match" });
      });
    } catch {
      // The old token counts on; when it expires, the relay closes the socket and the next attempt asks again.
    }
  }
}
