import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { endpointOf } from "../src/endpoint.js";
import { openLinks } from "../src/pool.js";
import { createVoteStore, type VoteStore, type VoteStoreOptions } from "../src/store.js";
import { ScriptedRelay } from "./relay.js";

let relay: ScriptedRelay;
const stores: VoteStore[] = [];
const until = (check: () => unknown) => vi.waitFor(async () => check(), { timeout: 60_000, interval: 5 });

function follow(options: Partial<VoteStoreOptions>) {
  const store = createVoteStore({ url: relay.url, matchId: "final", ...options });
  stores.push(store);
  store.subscribe(() => {});
  return store.getSnapshot;
}

describe("where the relay is", () => {
  test.each([
    [{}, "", "/socket.io/"],
    [{ url: "https://votes.example.org" }, "https://votes.example.org", "/socket.io/"],
    [{ url: "https://votes.example.org/" }, "https://votes.example.org", "/socket.io/"],
    [{ url: "https://example.org:8443/live//" }, "https://example.org:8443", "/live/socket.io/"],
    [{ url: "wss://example.org/a/b" }, "wss://example.org", "/a/b/socket.io/"],
    [{ url: "/relay" }, "", "/relay/socket.io/"],
    [{ url: "https://example.org/live", path: "/ws" }, "https://example.org", "/ws"],
  ])("%j", (options, origin, path) => {
    expect(endpointOf(options)).toEqual({ origin, path, transports: ["websocket", "polling"], withCredentials: false });
  });

  test.each([
    [{ url: "https://votes.example.org/?x=1" }, 'url must be an http or ws address without "?" and "#", not "https://votes.example.org/?x=1"'],
    [{ url: "https://votes.example.org/#x" }, 'url must be an http or ws address without "?" and "#", not "https://votes.example.org/#x"'],
    [{ url: "ftp://example.org" }, 'url must be an http or ws address without "?" and "#", not "ftp://example.org"'],
    [{ url: "http://" }, 'url must be an http or ws address without "?" and "#", not "http://"'],
    [{ path: "ws" }, 'path must begin with "/", not "ws"'],
    [{ transports: [] }, 'transports must be a list of "websocket" and "polling", not []'],
    [{ transports: ["carrier pigeon"] }, 'transports must be a list of "websocket" and "polling", not ["carrier pigeon"]'],
  ])("%j is refused", (options, message) => {
    expect(() => createVoteStore({ matchId: "final", ...(options as object) })).toThrow(new TypeError(message));
  });

  test("without a page there has to be one", () => {
    const store = createVoteStore({ matchId: "final" });
    const refusal = new TypeError("url is needed outside a page: the relay's address");
    expect(() => store.subscribe(() => {})).toThrow(refusal);
    expect(() => store.connect()).toThrow(refusal);
    expect(store.getSnapshot().connecting).toBe(true);
  });
});

describe("is reached", () => {
  beforeEach(async () => {
    relay = await ScriptedRelay.start({ path: "/live/socket.io/" });
    vi.spyOn(Math, "random").mockReturnValue(0);
  });

  afterEach(async () => {
    for (const store of stores.splice(0)) store.close();
    vi.restoreAllMocks();
    await until(() => expect(openLinks()).toEqual([]));
    await relay.stop();
  });

  test("below a path", async () => {
    const [below, named] = [follow({ url: `${relay.url}/live/` }), follow({ path: "/live/socket.io" })];
    await until(() => expect([below().stats, named().stats]).not.toContain(null));
  });

  test("by the transports that are asked for", async () => {
    const transports = () => [...relay.namespace.sockets.values()].map(({ conn }) => conn.transport.name);
    const polling = follow({ url: `${relay.url}/live`, transports: ["polling"] });
    await until(() => expect(polling().stats).not.toBeNull());
    expect(transports()).toEqual(["polling"]);
    const socket = follow({ url: `${relay.url}/live`, transports: ["websocket"] });
    await until(() => expect(socket().stats).not.toBeNull());
    expect(transports()).toEqual(["polling", "websocket"]);
  });

  test.each([[true, /sticky=/], [false, /^$/]])("with credentials: %s", async (withCredentials, cookies) => {
    const seen: string[] = [];
    relay.onRequest = ({ headers }) => seen.push(headers.cookie ?? "");
    const now = follow({ url: `${relay.url}/live`, transports: ["polling"], withCredentials });
    await until(() => expect(now().stats).not.toBeNull());
    expect(seen[0]).toBe("");
    expect(seen.at(-1)).toMatch(cookies);
  });
});
