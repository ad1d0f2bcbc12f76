// Time is faked here, the sockets are not: `turns` lets them have their events.
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { createVoteStore, type VoteStore } from "../src/store.js";
import type { Token } from "../src/token.js";
import { ScriptedRelay } from "./relay.js";

let relay: ScriptedRelay;
let store: VoteStore;

const turns = async (n = 300) => {
  for (let i = 0; i < n; i++) await new Promise(setImmediate);
};
/** For a minute at most, on a clock that is not faked. */
const untilTold = async (check: () => boolean) => {
  for (const end = performance.now() + 60_000; !check() && performance.now() < end;) await turns(20);
  expect(check()).toBe(true);
};

beforeAll(async () => {
  relay = await ScriptedRelay.start();
});

afterEach(async () => {
  store.close();
  vi.advanceTimersByTime(2_000);
  vi.useRealTimers();
  vi.restoreAllMocks();
  await vi.waitFor(() => expect(relay.clients).toBe(0), 60_000);
});

afterAll(() => relay.stop());

/** The same where a snapshot is published by a timer. */
const untilShown = (check: () => boolean) => {
  let shown = performance.now();
  return untilTold(() => {
    // Timers go as fast as time does outside: those that tell what has failed are not reached before the answer.
    const now = performance.now();
    if (now - shown >= 16) {
      vi.advanceTimersByTime(now - shown);
      shown = now;
    }
    return check();
  });
};

function start(token: Token = "t") {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  store = createVoteStore({ url: relay.url, matchId: "final", token });
  store.subscribe(() => {});
}

/** Lets the next attempt come after exactly so many milliseconds. */
async function attemptsAfter(delay: number) {
  const before = relay.tokens.length;
  await turns();
  vi.advanceTimersByTime(Math.ceil(delay) - 2);
  await turns();
  expect(relay.tokens).toHaveLength(before);
  vi.advanceTimersByTime(3);
  await untilTold(() => relay.tokens.length === before + 1);
}

const within = (window: number, chance: number) => 250 + chance * (window - 250);

test.each([0, 0.5, 0.999])("attempts come at any time of a window that grows to 15 s (%d)", async (chance) => {
  vi.spyOn(Math, "random").mockReturnValue(chance);
  relay.tokens.length = 0;
  relay.refuseConnection = () => "token_invalid";
  start();
  await untilTold(() => relay.tokens.length === 1);
  for (const window of [3_000, 6_000, 12_000, 15_000, 15_000]) await attemptsAfter(within(window, chance));
});

test.each([
  ["relay:welcome", 40_000, 40_000],
  ["relay:closing", 40_000, 40_000],
  ["relay:welcome", 9e9, 300_000],
  ["relay:welcome", 10, 3_000],
  ["relay:welcome", "soon", 3_000],
  ["relay:welcome", -1, 3_000],
  ["relay:welcome", Number.NaN, 3_000],
])("the relay tells how far its clients spread: %s with %s, %d ms", async (event, told, window) => {
  vi.spyOn(Math, "random").mockReturnValue(0.999);
  relay.tokens.length = 0;
  relay.refuseConnection = () => undefined;
  relay.refuseJoin = () => undefined;
  relay.welcomeWith = event === "relay:welcome" ? { window: told } : undefined;
  start();
  await untilShown(() => store.getSnapshot().stats !== null);
  if (event === "relay:closing") relay.namespace.emit("relay:closing", { reason: "shutdown", window: told });
  relay.namespace.disconnectSockets();
  await attemptsAfter(within(window, 0.999));
  relay.welcomeWith = undefined;
});

test("a match that was joined makes the next failure a first one; being let in alone does not", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  relay.tokens.length = 0;
  relay.refuseConnection = () => undefined;
  relay.refuseJoin = () => (relay.joins.length < 3 ? "unavailable" : undefined);
  relay.joins.length = 0;
  start();
  await untilTold(() => relay.joins.length === 1);
  relay.dismiss("shutdown");
  await attemptsAfter(250);
  await untilTold(() => relay.joins.length === 2);
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  relay.dismiss("shutdown");
  await attemptsAfter(within(6_000, 0.5));
  await untilTold(() => relay.joins.length === 3);
  await turns();
  relay.dismiss("shutdown");
  await attemptsAfter(within(3_000, 0.5));
});

describe("a token function that hangs", () => {
  const hang = () => new Promise<string>(() => {});

  test("is told after 10 s and asked again", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    relay.tokens.length = 0;
    const token = vi.fn(hang).mockImplementationOnce(hang).mockResolvedValueOnce("good");
    start(token);
    await turns();
    vi.advanceTimersByTime(9_999);
    await turns();
    expect(store.getSnapshot().connectionError).toBeNull();
    vi.advanceTimersByTime(20);
    await untilTold(() => store.getSnapshot().connectionError?.code === "token");
    expect(store.getSnapshot().connectionError!.message).toBe("no token: timeout");
    vi.advanceTimersByTime(300);
    await untilTold(() => relay.tokens.length === 1);
    await untilShown(() => store.getSnapshot().connected);
    expect([relay.tokens, token.mock.calls.length]).toEqual([["good"], 2]);
  });

  test("may still answer late", async () => {
    relay.tokens.length = 0;
    let answer = (_: string) => {};
    start(vi.fn(hang).mockImplementationOnce(() => new Promise((done) => (answer = done))));
    await turns();
    vi.advanceTimersByTime(10_020);
    await untilTold(() => store.getSnapshot().connectionError?.code === "token");
    answer("late");
    await untilTold(() => relay.tokens.length === 1);
    await untilShown(() => store.getSnapshot().connected);
    // The attempt that was due is not made beside it.
    vi.advanceTimersByTime(60_000);
    await turns();
    expect(relay.tokens).toEqual(["late"]);
  });
});
