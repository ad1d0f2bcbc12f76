// Time is faked here, the sockets are not: `turns` lets them have their events.
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { createVoteStore, type VoteStore } from "../src/store.js";
import { ScriptedRelay } from "./relay.js";

let relay: ScriptedRelay;
let store: VoteStore;

const turns = async (n = 300) => {
  for (let i = 0; i < n; i++) await new Promise(setImmediate);
};
const untilTold = async (check: () => boolean) => {
  for (let i = 0; i < 100 && !check(); i++) await turns(20);
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
  await vi.waitFor(() => expect(relay.clients).toBe(0), 5_000);
});

afterAll(() => relay.stop());

function start() {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  store = createVoteStore({ url: relay.url, matchId: "final", token: "t" });
  store.subscribe(() => {});
}

test.each([0, 0.5, 0.999])("attempts come ever later, up to 15 s, spread by chance (%d)", async (chance) => {
  vi.spyOn(Math, "random").mockReturnValue(chance);
  relay.tokens.length = 0;
  relay.refuseConnection = () => "token_invalid";
  start();
  await untilTold(() => relay.tokens.length === 1);
  for (const [i, ceiling] of [1_000, 2_000, 4_000, 8_000, 15_000, 15_000].entries()) {
    await turns();
    const delay = ceiling * (0.5 + chance / 2);
    vi.advanceTimersByTime(Math.ceil(delay) - 2);
    await turns();
    expect(relay.tokens).toHaveLength(i + 1);
    vi.advanceTimersByTime(3);
    await untilTold(() => relay.tokens.length === i + 2);
  }
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
  await turns();
  vi.advanceTimersByTime(501);
  await untilTold(() => relay.joins.length === 2);
  relay.dismiss("shutdown");
  await turns();
  vi.advanceTimersByTime(990);
  await turns();
  expect(relay.tokens).toHaveLength(2);
  vi.advanceTimersByTime(20);
  await untilTold(() => relay.joins.length === 3);
  await turns();
  relay.dismiss("shutdown");
  await turns();
  vi.advanceTimersByTime(501);
  await untilTold(() => relay.tokens.length === 4);
});
