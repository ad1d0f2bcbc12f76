// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { onNextFrame } from "../src/frame.js";
import { openLinks } from "../src/pool.js";
import { createVoteStore, type VoteStore } from "../src/store.js";
import { ScriptedRelay } from "./relay.js";

let relay: ScriptedRelay;
let store: VoteStore;

const until = (check: () => unknown) => vi.waitFor(async () => check(), { timeout: 60_000, interval: 10 });
const setHidden = (isHidden: boolean) => {
  Object.defineProperty(document, "hidden", { configurable: true, value: isHidden });
  document.dispatchEvent(new Event("visibilitychange"));
};

beforeEach(async () => {
  relay = await ScriptedRelay.start();
  // Without a reason to hurry, the next attempt is minutes away.
  relay.welcomeWith = { window: 300_000 };
  vi.spyOn(Math, "random").mockReturnValue(0.99);
  store = createVoteStore({ url: relay.url, matchId: "final" });
  store.subscribe(() => {});
  await until(() => expect(store.getSnapshot()).toMatchObject({ connected: true, stats: { totalVotes: 0 } }));
});

afterEach(async () => {
  store.close();
  vi.restoreAllMocks();
  await until(() => expect(openLinks()).toEqual([]));
  await relay.stop();
});

test.each([
  ["online", () => dispatchEvent(new Event("online"))],
  ["shown from the browser's cache", () => dispatchEvent(new Event("pageshow"))],
  ["seen", () => (setHidden(true), setHidden(false))],
])("a page that is %s again connects at once", async (_, wake) => {
  relay.cut();
  await until(() => expect(store.getSnapshot().connected).toBe(false));
  // Not twice in a second.
  vi.spyOn(Date, "now").mockReturnValue(Date.now() + 2_000);
  wake();
  await until(() => expect(store.getSnapshot()).toMatchObject({ connected: true, connectionError: null }));
  expect(relay.seen.connections).toBe(2);
});

test("waking up again and again makes no more than an attempt a second", async () => {
  relay.tokens.length = 0;
  relay.refuseConnection = () => "token_invalid";
  relay.cut();
  await until(() => expect(store.getSnapshot().connected).toBe(false));
  const start = Date.now() + 10_000;
  const clock = vi.spyOn(Date, "now").mockReturnValue(start);
  for (let i = 0; i < 20; i++) dispatchEvent(new Event("online"));
  await until(() => expect(relay.tokens).toHaveLength(1));
  await until(() => expect(store.getSnapshot().connectionError?.code).toBe("token_invalid"));
  for (let i = 0; i < 20; i++) dispatchEvent(new Event("online"));
  clock.mockReturnValue(start + 1_001);
  dispatchEvent(new Event("online"));
  await until(() => expect(relay.tokens).toHaveLength(2));
});

test("another token is tried at once where the last one was refused", async () => {
  relay.refuseConnection = (token) => (token === "good" ? undefined : "token_expired");
  relay.cut();
  await until(() => expect(store.getSnapshot().connected).toBe(false));
  store.setToken("bad");
  await until(() => expect(store.getSnapshot().connectionError?.code).toBe("token_expired"));
  store.setToken("good");
  await until(() => expect(store.getSnapshot()).toMatchObject({ connected: true, connectionError: null }));
});

test("a match that was refused is asked for at once", async () => {
  relay.refuseJoin = ({ matchId }) => (matchId === "cup" && relay.joins.length < 3 ? "unavailable" : undefined);
  const cup = createVoteStore({ url: relay.url, matchId: "cup" });
  cup.subscribe(() => {});
  await until(() => expect(cup.getSnapshot().connectionError?.code).toBe("unavailable"));
  setHidden(true);
  setHidden(false);
  await until(() => expect(cup.getSnapshot()).toMatchObject({ connectionError: null, stats: { totalVotes: 0 } }));
  cup.close();
});

test("a connection that only looks alive is made again; one that answers is kept", async () => {
  dispatchEvent(new Event("online"));
  await until(() => expect(relay.joins).toHaveLength(2));
  expect(relay.seen).toEqual({ connections: 1, disconnections: 0 });
  relay.isMute = true;
  relay.welcomeWith = undefined;
  dispatchEvent(new Event("online"));
  await until(() => expect(relay.seen.disconnections).toBe(1));
  relay.isMute = false;
  vi.spyOn(Date, "now").mockReturnValue(Date.now() + 2_000);
  await until(() => expect(store.getSnapshot().connected).toBe(false));
  dispatchEvent(new Event("online"));
  await until(() => expect(store.getSnapshot()).toMatchObject({ connected: true, connectionError: null }));
});

test("a page that was hidden for a moment asks nothing", async () => {
  setHidden(true);
  setHidden(false);
  await new Promise((done) => setTimeout(done, 100));
  expect(relay.joins).toHaveLength(1);
  const now = Date.now();
  const clock = vi.spyOn(Date, "now").mockReturnValue(now);
  setHidden(true);
  clock.mockReturnValue(now + 31_000);
  setHidden(false);
  await until(() => expect(relay.joins).toHaveLength(2));
});

test("a page without frames is told all the same", () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const cancelled = vi.fn();
  vi.stubGlobal("requestAnimationFrame", () => 7);
  vi.stubGlobal("cancelAnimationFrame", cancelled);
  const [run, never] = [vi.fn(), vi.fn()];
  onNextFrame(run);
  onNextFrame(never)();
  vi.advanceTimersByTime(999);
  expect(run).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  vi.advanceTimersByTime(10_000);
  expect([run.mock.calls.length, never.mock.calls.length, cancelled.mock.calls]).toEqual([1, 0, [[7], [7]]]);
  vi.unstubAllGlobals();
  vi.useRealTimers();
});
