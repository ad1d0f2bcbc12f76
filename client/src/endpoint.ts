/** How a transport reaches the relay: a WebSocket, or HTTP requests. */
export type Transport = "websocket" | "polling";

/** Where the relay is, and how it is reached. */
export interface RelayOptions {
  /** The relay's address, such as `https://votes.example.org` or, below a path, `https://example.org/live`; by default the page's origin. */
  readonly url?: string | undefined;
  /** The path of Socket.IO on that origin; by default `/socket.io/` below the path of `url`. */
  readonly path?: string | undefined;
  /** Tried in this order; by default a WebSocket, then polling, which needs sticky sessions where there are several relays. */
  readonly transports?: readonly Transport[] | undefined;
  /** Sends cookies to another origin, for a proxy that asks for them. */
  readonly withCredentials?: boolean | undefined;
}

/** The same, checked. Two stores with equal endpoints can share a socket. */
export interface Endpoint {
  /** Empty: the page's own. */
  readonly origin: string;
  readonly path: string;
  readonly transports: readonly Transport[];
  readonly withCredentials: boolean;
}

/** An origin that no page has, to read addresses without one: a server renders without knowing its own. */
const NOWHERE = "http://page.invalid";

/** Checks the options. Throws a TypeError that names the option and its value. */
export function endpointOf({ url = "", path, transports = ["websocket", "polling"], withCredentials = false }: RelayOptions): Endpoint {
  const refuse = (rule: string, value: unknown): never => {
    throw new TypeError(`${rule}, not ${JSON.stringify(value)}`);
  };
  const parsed = parse(url) ?? refuse('url must be an http or ws address without "?" and "#"', url);
  if (path && path[0] !== "/") refuse('path must begin with "/"', path);
  if (!transports.length || transports.some((each) => each !== "websocket" && each !== "polling")) {
    refuse('transports must be a list of "websocket" and "polling"', transports);
  }
  const origin = parsed.origin === NOWHERE ? "" : parsed.origin;
  return { origin, path: path ?? parsed.pathname.replace(/\/*$/, "/socket.io/"), transports, withCredentials };
}

function parse(url: string): URL | undefined {
  try {
    const parsed = new URL(url, NOWHERE);
    return /^(http|ws)s?:[^?#]*$/.test(parsed.href) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

export function isSameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
