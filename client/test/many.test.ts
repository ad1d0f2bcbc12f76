// A page with more matches than the relay lets one socket have, or one second join: the first are followed at once, the others are refused once.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openLinks } from "../src/pool.js";
import { createVoteStore, type VoteStore } from "../src/store.js";
import { type RelaySettings, ScriptedRelay } from "./relay.js";

let relay: ScriptedRelay;
let stores: VoteStore[] = [];

const until = (check: () => unknown) => vi.waitFor(async () => check(), { timeout: 60_000, interval: 20 });
const shown = () => stores.map((store) => store.getSnapshot());
const joined = () => stores.filter((store) => store.getSnapshot().stats !== null).length;
const refused = () => shown().filter(({ stats, connectionError }) => stats === null && connectionError?.code === "too_many_rooms").length;

async function follow(count: number, settings: RelaySettings = {}) {
  relay = await ScriptedRelay.start(settings);
  stores = Array.from({ length: count }, (_, i) => createVoteStore({ url: relay.url, matchId: `m${i}` }));
  const states: boolean[] = [];
  for (const store of stores) store.subscribe(() => states.push(store.getSnapshot().connected));
  return states;
}

beforeEach(() => {
  vi.spyOn(Math, "random").mockReturnValue(0);
});

afterEach(async () => {
  for (const store of stores) store.close();
  await until(() => expect(openLinks()).toEqual([]));
  await relay.stop();
  vi.restoreAllMocks();
});

describe.each([60, 101, 1_000])("%d stores", (count) => {
  test("50 are followed over one socket, the rest are told, and nothing flaps", async () => {
    const states = await follow(count);
    await until(() => expect([joined(), refused()]).toEqual([50, count - 50]));
    const [sent, told] = [relay.joins.length, states.length];
    // 50, and those that were under way when the first was refused.
    expect(sent).toBeLessThanOrEqual(50 + 8);
    // No store asks again, or hears of anything.
    await new Promise((done) => setTimeout(done, 1_500));
    expect([relay.joins.length, states.length, relay.clients]).toEqual([sent, told, 1]);
    expect(relay.seen).toEqual({ connections: 1, disconnections: 0 });
    expect(states.lastIndexOf(false)).toBe(-1);
  });
});

test("50 stores are all followed, and go in one go without a word too many", async () => {
  await follow(50);
  await until(() => expect(joined()).toBe(50));
  expect([relay.joins.length, relay.seen.disconnections]).toEqual([50, 0]);
  for (const store of stores.slice(1)) store.close();
  await until(() => expect(relay.leaves).toHaveLength(49));
  expect(relay.seen).toEqual({ connections: 1, disconnections: 0 });
});

test("a match that is left makes room for the one that has waited longest", async () => {
  await follow(53);
  await until(() => expect([joined(), refused()]).toEqual([50, 3]));
  const waiting = stores.filter((store) => store.getSnapshot().stats === null);
  stores[7]!.close();
  stores[9]!.close();
  await until(() => expect(waiting.map((store) => store.getSnapshot().connectionError?.code ?? null)).toEqual([null, null, "too_many_rooms"]));
  expect(relay.seen.disconnections).toBe(0);
});

test("another resolution of all of them is no room more", async () => {
  await follow(50);
  await until(() => expect(joined()).toBe(50));
  for (const store of stores) store.setResolution(3);
  await until(() => expect(shown().filter(({ resolution }) => resolution === 3)).toHaveLength(50));
  expect([refused(), relay.seen.disconnections]).toEqual([0, 0]);
});

test("after a lost connection the same matches are joined again", async () => {
  await follow(60);
  await until(() => expect([joined(), refused()]).toEqual([50, 10]));
  const before = stores.map((store) => store.getSnapshot().connectionError === null);
  relay.cut();
  await until(() => expect(relay.seen).toEqual({ connections: 2, disconnections: 1 }));
  await until(() => expect(shown().map(({ connectionError }) => connectionError?.code ?? null)).toEqual(before.map((isIn) => (isIn ? null : "too_many_rooms"))));
});

test("a relay with tighter limits is met more slowly", async () => {
  await follow(12, { maxJoins: 2, maxEvents: 5 });
  await until(() => expect(joined()).toBe(12));
  expect(relay.seen.disconnections).toBeLessThanOrEqual(2);
  expect(shown().every(({ connected, connectionError }) => connected && connectionError === null)).toBe(true);
});
