// @vitest-environment happy-dom
import { act, cleanup, render, renderHook, screen } from "@testing-library/react";
import { StrictMode } from "react";
import { renderToString } from "react-dom/server";
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";
import { openLinks } from "../src/pool.js";
import { type UseVoteSocketOptions, useVoteSocket } from "../src/react.js";
import { ScriptedRelay } from "./relay.js";

const PARIS = "871fb4662ffffff";
const NEW_YORK = "872a1072bffffff";

let relay: ScriptedRelay;
const relays: ScriptedRelay[] = [];

const until = (check: () => unknown) => act(() => vi.waitFor(async () => check(), { timeout: 60_000, interval: 5 }));
const pause = (milliseconds: number) => act(() => new Promise<void>((done) => setTimeout(done, milliseconds)));

function hook(options: Partial<UseVoteSocketOptions> = {}) {
  const initialProps: UseVoteSocketOptions = { url: relay.url, matchId: "final", ...options };
  return renderHook((props: UseVoteSocketOptions) => useVoteSocket(props), { initialProps, wrapper: StrictMode });
}

beforeEach(async () => {
  relays.push((relay = await ScriptedRelay.start()));
  vi.spyOn(Math, "random").mockReturnValue(0);
});

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

afterAll(async () => {
  await until(() => expect(openLinks()).toEqual([]));
  for (const each of relays) {
    await until(() => expect(each.clients).toBe(0));
    await each.stop();
  }
});

test("a page shows votes as they come, in StrictMode over one socket and one join", async () => {
  relay.fold("final", [[PARIS, { away: 1 }]]);
  function Total() {
    const { stats, connected } = useVoteSocket({ matchId: "final", url: relay.url });
    return <p>{stats ? `${stats.totalVotes} votes, ${connected ? "live" : "away"}` : "…"}</p>;
  }
  render(<StrictMode><Total /><Total /></StrictMode>);
  expect(screen.getAllByText("…")).toHaveLength(2);
  await until(() => expect(screen.getAllByText("1 votes, live")).toHaveLength(2));
  act(() => relay.fold("final", [[PARIS, { away: 4 }]]));
  await until(() => expect(screen.getAllByText("4 votes, live")).toHaveLength(2));
  expect([relay.clients, relay.joins.length]).toEqual([1, 1]);
});

test("a server renders what there is before anything has come", () => {
  function Status() {
    const { connecting, aggregates } = useVoteSocket({ matchId: "final", url: relay.url });
    return <p>{`${connecting} ${aggregates.length}`}</p>;
  }
  expect(renderToString(<Status />)).toBe("<p>true 0</p>");
});

test("another match is joined over the same socket, the old one left", async () => {
  relay.fold("final", [[PARIS, { away: 1 }]]);
  relay.fold("derby", [[NEW_YORK, { red: 3 }]]);
  const { result, rerender } = hook();
  await until(() => expect(result.current.stats?.totalVotes).toBe(1));
  rerender({ url: relay.url, matchId: "derby" });
  // Nothing of the old match is shown as the new one's.
  expect(result.current).toMatchObject({ matchId: "derby", stats: null, aggregates: [] });
  await until(() => expect(result.current.stats?.votes).toEqual({ red: 3 }));
  await until(() => expect(relay.leaves).toEqual(["final"]));
  expect(relay.clients).toBe(1);
});

test("another resolution keeps what is shown until it comes", async () => {
  relay.fold("final", [[NEW_YORK, { home: 3 }]]);
  const { result, rerender } = hook();
  await until(() => expect(result.current.seq).toBe(1));
  rerender({ url: relay.url, matchId: "final", resolution: 2 });
  expect(result.current.aggregates).toHaveLength(1);
  await until(() => expect(result.current.aggregates[0]!.resolution).toBe(2));
  expect([relay.clients, relay.joins.length]).toEqual([1, 2]);
});

test("what did not move is the same object from render to render", async () => {
  relay.fold("final", [[PARIS, { away: 1 }], [NEW_YORK, { home: 3 }]]);
  const { result, rerender } = hook();
  await until(() => expect(result.current.seq).toBe(1));
  const before = result.current;
  rerender({ url: relay.url, matchId: "final" });
  expect(result.current).toBe(before);
  act(() => relay.fold("final", [[PARIS, { away: 2 }]]));
  await until(() => expect(result.current.seq).toBe(2));
  expect(result.current.aggregates[1]).toBe(before.aggregates[1]);
  expect(result.current.aggregates[0]).not.toBe(before.aggregates[0]);
  expect([result.current.connect, result.current.disconnect]).toEqual([before.connect, before.disconnect]);
});

test("connects by hand, and lets go", async () => {
  const { result } = hook({ autoConnect: false });
  await pause(50);
  expect([result.current.connecting, relay.clients]).toEqual([false, 0]);
  act(() => result.current.connect());
  expect(result.current.connecting).toBe(true);
  await until(() => expect(result.current.connected).toBe(true));
  act(() => result.current.disconnect());
  expect(result.current).toMatchObject({ connected: false, connecting: false });
  await until(() => expect(relay.clients).toBe(0));
});

test("a token function written in place costs no reconnect, and its newest version is asked", async () => {
  let rendered = 0;
  const { result, rerender } = hook({ token: () => "token 0" });
  await until(() => expect(result.current.connected).toBe(true));
  for (let i = 1; i < 20; i++) rerender({ url: relay.url, matchId: "final", token: () => `token ${(rendered = i)}` });
  await pause(100);
  expect([relay.tokens, relay.clients, rendered]).toEqual([["token 0"], 1, 0]);
  relay.dismiss("token_expired");
  await until(() => expect(relay.tokens).toEqual(["token 0", "token 19"]));
  await until(() => expect(result.current).toMatchObject({ connected: true, connectionError: null }));
});

test("unmounting lets go of everything, also before the connection is there", async () => {
  hook().unmount();
  const { unmount, result } = hook({ matchId: "derby" });
  await until(() => expect(result.current.connected).toBe(true));
  unmount();
  await until(() => expect(relay.clients).toBe(0));
  expect(openLinks(relay.url)).toEqual([]);
});

test("a vote is shown at once, and put right by the answer", async () => {
  relay.fold("final", [[PARIS, { away: 1 }]]);
  let reply: (reply: [number, object]) => void = () => {};
  relay.onVote = () => new Promise((done) => (reply = done));
  const { result } = hook({ token: "t" });
  await until(() => expect(result.current.seq).toBe(1));
  const { castVote } = result.current;
  let voted: Promise<unknown> = Promise.resolve();
  act(() => void (voted = castVote({ teamChoice: "away" })));
  expect(result.current).toMatchObject({ myVote: { teamChoice: "away" }, voting: true });
  await until(() => expect(reply.length).toBe(1));
  await act(async () => {
    reply([409, { error: "closed", detail: "it is over" }]);
    await voted.catch(() => {});
  });
  expect(result.current).toMatchObject({ myVote: null, voting: false, voteError: { code: "closed", message: "it is over" } });
  expect(result.current.castVote).toBe(castVote);
});
