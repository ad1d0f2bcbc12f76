import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openLinks } from "../src/pool.js";
import type { VoteSnapshot } from "../src/snapshot.js";
import { createVoteStore, type VoteStore, type VoteStoreOptions } from "../src/store.js";
import { ScriptedRelay } from "./relay.js";

const PARIS = "871fb4662ffffff";
const NEW_YORK = "872a1072bffffff";
const JERSEY = "872a10728ffffff";

let relay: ScriptedRelay;
const relays: ScriptedRelay[] = [];
const stores: VoteStore[] = [];

/** A store with a listener; `seen` are the snapshots it was told of. */
function follow(options: Partial<VoteStoreOptions> = {}) {
  const store = createVoteStore({ url: relay.url, matchId: "final", ...options });
  stores.push(store);
  const seen: VoteSnapshot[] = [];
  const end = store.subscribe(() => seen.push(store.getSnapshot()));
  return { store, seen, end, now: store.getSnapshot };
}

const until = (check: () => unknown, timeout = 60_000) => vi.waitFor(async () => check(), { timeout, interval: 5 });
const votesOf = (snapshot: VoteSnapshot) => Object.fromEntries(snapshot.aggregates.map((cell) => [cell.h3Index, cell.votes]));
const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

beforeEach(async () => {
  relays.push((relay = await ScriptedRelay.start()));
  // The shortest waits that back-off allows.
  vi.spyOn(Math, "random").mockReturnValue(0);
});

afterEach(() => {
  for (const store of stores.splice(0)) store.close();
  vi.restoreAllMocks();
});

afterAll(async () => {
  await until(() => expect(openLinks()).toEqual([]));
  for (const each of relays) {
    await until(() => expect(each.clients).toBe(0));
    await each.stop();
  }
});

describe("following", () => {
  test("a snapshot, then every fold", async () => {
    relay.fold("final", [[NEW_YORK, { home: 2 }]], [["US", { home: 2 }]]);
    const { now, seen } = follow();
    expect(now()).toMatchObject({ matchId: "final", connected: false, connecting: true, connectionError: null, stats: null, aggregates: [], seq: 0 });
    await until(() => expect(now()).toMatchObject({ connected: true, connecting: false, seq: 1, epoch: "e1" }));
    relay.fold("final", [[PARIS, { away: 1 }]], [["FR", { away: 1 }]]);
    await until(() => expect(now().seq).toBe(2));
    expect(votesOf(now())).toEqual({ [NEW_YORK]: { home: 2 }, [PARIS]: { away: 1 } });
    expect(now().countries.map((country) => country.countryCode)).toEqual(["US", "FR"]);
    expect(now().stats).toMatchObject({ totalVotes: 3, leader: "home", status: "open" });
    relay.fold("final", [[PARIS, {}]], [["FR", {}]], { final: true });
    await until(() => expect(now().stats!.status).toBe("final"));
    expect(votesOf(now())).toEqual({ [NEW_YORK]: { home: 2 } });
    expect(new Set(seen).size).toBe(seen.length);
    expect(relay.joins).toEqual([{ matchId: "final", bundle: true, parts: ["cells", "countries", "flips"] }]);
  });

  test("what did not change is the same object, and listeners hear once a frame", async () => {
    relay.fold("final", [[NEW_YORK, { home: 2 }], [PARIS, { away: 1 }]]);
    const { now, seen } = follow();
    await until(() => expect(now().seq).toBe(1));
    const before = now();
    expect(now()).toBe(before);
    const told = seen.length;
    for (let home = 1; home <= 50; home++) relay.fold("final", [[PARIS, { home }]]);
    await until(() => expect(now().seq).toBe(51));
    expect(seen.length - told).toBeLessThan(25);
    expect(now().aggregates[0]).toBe(before.aggregates[0]);
    expect(now().aggregates[1]).not.toBe(before.aggregates[1]);
    expect(now().countries).toBe(before.countries);
  });

  test("nothing is opened before somebody listens, nor without autoConnect", async () => {
    const lazy = createVoteStore({ url: relay.url, matchId: "final" });
    const { store, now } = follow({ autoConnect: false });
    expect(now()).toMatchObject({ connected: false, connecting: false });
    expect(openLinks(relay.url)).toEqual([]);
    store.connect();
    expect(now().connecting).toBe(true);
    await until(() => expect(now().connected).toBe(true));
    store.disconnect();
    expect(now()).toMatchObject({ connected: false, connecting: false });
    await until(() => expect(relay.clients).toBe(0));
    lazy.close();
  });

  test("who comes back goes on from what is known", async () => {
    relay.fold("final", [[PARIS, { away: 1 }]]);
    const { store, now } = follow();
    await until(() => expect(now().seq).toBe(1));
    store.disconnect();
    expect(votesOf(now())).toEqual({ [PARIS]: { away: 1 } });
    await until(() => expect(openLinks(relay.url)).toEqual([]));
    relay.fold("final", [[PARIS, { away: 2 }]]);
    store.connect();
    await until(() => expect(now().seq).toBe(2));
    expect(relay.joins.at(-1)).toMatchObject({ sinceSeq: 1, epoch: "e1" });
  });
});

describe("one socket for all", () => {
  test("stores of one url share it, and a match is joined once", async () => {
    const all = [follow(), follow(), follow({ matchId: "other" })];
    await until(() => all.forEach(({ now }) => expect(now().connected).toBe(true)));
    relay.fold("final", [[PARIS, { away: 1 }]]);
    await until(() => expect(all[1]!.now().seq).toBe(1));
    expect(all[0]!.now()).toBe(all[1]!.now());
    expect([relay.clients, relay.joins.length]).toEqual([1, 2]);
    all[0]!.end();
    relay.fold("final", [[PARIS, { away: 2 }]]);
    await until(() => expect(all[1]!.now().seq).toBe(2));
    expect(relay.leaves).toEqual([]);
  });

  test("it is released late, so that mounting twice costs nothing", async () => {
    const { store, end, now } = follow();
    await until(() => expect(now().stats).not.toBeNull());
    for (let i = 0; i < 10; i++) store.subscribe(() => {})();
    end();
    await pause(400);
    const again = store.subscribe(() => {});
    await pause(1_500);
    expect([relay.clients, relay.joins.length]).toEqual([1, 1]);
    again();
    await until(() => expect(relay.clients).toBe(0));
  });

  test("a match that nobody wants any more is left, and the socket kept for the others", async () => {
    const [one, other] = [follow(), follow({ matchId: "other" })];
    await until(() => expect([one.now().stats, other.now().stats]).not.toContain(null));
    one.store.close();
    await until(() => expect(relay.leaves).toEqual(["final"]));
    relay.fold("other", [[PARIS, { away: 2 }]]);
    await until(() => expect(other.now().seq).toBe(1));
    expect(relay.clients).toBe(1);
  });

  test("another token takes another socket", async () => {
    const all = [follow({ token: "a" }), follow({ token: "b" }), follow({ token: "a" })];
    await until(() => all.forEach(({ now }) => expect(now().connected).toBe(true)));
    expect(relay.clients).toBe(2);
    expect([...relay.tokens].sort()).toEqual(["a", "b"]);
  });

  test("two resolutions of one match take two sockets, each with its own cells", async () => {
    relay.fold("final", [[NEW_YORK, { home: 1 }], [JERSEY, { away: 2 }]]);
    const [fine, coarse] = [follow(), follow({ resolution: 3 })];
    await until(() => expect([fine.now().seq, coarse.now().seq]).toEqual([1, 1]));
    expect(relay.clients).toBe(2);
    relay.fold("final", [[NEW_YORK, { home: 5 }]]);
    await until(() => expect([fine.now().seq, coarse.now().seq]).toEqual([2, 2]));
    expect(votesOf(fine.now())).toEqual({ [NEW_YORK]: { home: 5 }, [JERSEY]: { away: 2 } });
    expect(votesOf(coarse.now())).toEqual({ "832a10fffffffff": { home: 5, away: 2 } });
  });
});

describe("another resolution", () => {
  test("is joined on the same socket, and what was known stays until it comes", async () => {
    relay.fold("final", [[NEW_YORK, { home: 1 }], [JERSEY, { away: 2 }]]);
    const { store, now } = follow();
    await until(() => expect(now().seq).toBe(1));
    store.setResolution(3);
    expect(now()).toMatchObject({ resolution: null, connected: true });
    expect(now().aggregates).toHaveLength(2);
    await until(() => expect(now().resolution).toBe(3));
    expect(votesOf(now())).toEqual({ "832a10fffffffff": { home: 1, away: 2 } });
    expect([relay.clients, relay.joins.length, relay.joins[1]]).toEqual([1, 2, { matchId: "final", bundle: true, parts: ["cells", "countries", "flips"], resolution: 3 }]);
  });

  test("the last one wished for wins, also there and back in one go", async () => {
    relay.fold("final", [[NEW_YORK, { home: 1 }], [JERSEY, { away: 2 }]]);
    const { store, now } = follow();
    await until(() => expect(now().seq).toBe(1));
    for (const resolution of [1, 2, 3, 2, null]) store.setResolution(resolution);
    await pause(300);
    relay.fold("final", [[NEW_YORK, { home: 7 }]]);
    await until(() => expect(now()).toMatchObject({ seq: 2, resolution: null }));
    expect(votesOf(now())).toEqual({ [NEW_YORK]: { home: 7 }, [JERSEY]: { away: 2 } });
    expect(relay.clients).toBe(1);
  });
});

describe("when something is missing", () => {
  test("a gap is filled from the last seq", async () => {
    relay.fold("final", [[PARIS, { away: 1 }]]);
    const { now } = follow();
    await until(() => expect(now().seq).toBe(1));
    relay.match("final").fold([[PARIS, { away: 2 }]]); // never sent
    relay.fold("final", [[NEW_YORK, { home: 3 }]]);
    await until(() => expect(now().seq).toBe(3));
    expect(votesOf(now())).toEqual({ [PARIS]: { away: 2 }, [NEW_YORK]: { home: 3 } });
    expect(relay.joins.slice(1)).toEqual([{ matchId: "final", bundle: true, parts: ["cells", "countries", "flips"], sinceSeq: 1, epoch: "e1" }]);
  });

  test("another history starts from a snapshot", async () => {
    relay.fold("final", [[PARIS, { away: 1 }]]);
    const { now } = follow();
    await until(() => expect(now().seq).toBe(1));
    Object.assign(relay.match("final"), { epoch: "e2", messages: [], cells: new Map() });
    relay.fold("final", [[NEW_YORK, { home: 1 }]]);
    await until(() => expect(now()).toMatchObject({ epoch: "e2", seq: 2 }));
    expect(votesOf(now())).toEqual({ [NEW_YORK]: { home: 1 } });
    expect(relay.joins.slice(1)).toEqual([{ matchId: "final", bundle: true, parts: ["cells", "countries", "flips"] }]);
  });

  test("so does a message without its cells", async () => {
    relay.fold("final", [[PARIS, { away: 1 }]]);
    const { now } = follow();
    await until(() => expect(now().seq).toBe(1));
    relay.match("final").cells.set(NEW_YORK, { home: 4 });
    relay.fold("final", [], [], { resync: true });
    await until(() => expect(now().seq).toBe(2));
    expect(votesOf(now())).toEqual({ [PARIS]: { away: 1 }, [NEW_YORK]: { home: 4 } });
    expect(relay.joins[1]).not.toHaveProperty("sinceSeq");
  });

  test("a cut connection is made again and goes on from the last seq", async () => {
    relay.fold("final", [[PARIS, { away: 1 }]]);
    const { now, seen } = follow();
    await until(() => expect(now().seq).toBe(1));
    relay.cut();
    relay.fold("final", [[PARIS, { away: 2 }]]);
    await until(() => expect(now().seq).toBe(2));
    expect(now().connected).toBe(true);
    expect(seen).toContainEqual(expect.objectContaining({ connected: false, connecting: true, connectionError: expect.objectContaining({ code: "disconnected" }) }));
    expect(relay.joins.at(-1)).toMatchObject({ sinceSeq: 1 });
  });

  test("a relay that comes back is found again", async () => {
    const { now } = follow();
    await until(() => expect(now().connected).toBe(true));
    const { port } = relay;
    await relay.stop();
    await until(() => expect(now().connectionError?.code).toBe("unreachable"));
    relays.push((relay = await ScriptedRelay.start({ port })));
    relay.fold("final", [[PARIS, { away: 2 }]]);
    await until(() => expect(now()).toMatchObject({ connected: true, seq: 1, connectionError: null }));
  });
});

describe("when the relay says no", () => {
  test("disconnected by the relay: its reason is told, and it is tried again", async () => {
    const { now, seen } = follow();
    await until(() => expect(now().connected).toBe(true));
    relay.dismiss("token_expired");
    await until(() => expect(seen).toContainEqual(expect.objectContaining({ connectionError: expect.objectContaining({ code: "token_expired" }) })));
    await until(() => expect(now()).toMatchObject({ connected: true, connectionError: null }));
  });

  test("a refused token is asked for again, until one is taken", async () => {
    const token = vi.fn(() => `token ${token.mock.calls.length}`);
    relay.refuseConnection = (shown) => (shown === "token 3" ? undefined : "token_expired");
    const { now } = follow({ token });
    await until(() => expect(now().connectionError?.code).toBe("token_expired"));
    expect(now()).toMatchObject({ connected: false, connecting: true });
    await until(() => expect(now()).toMatchObject({ connected: true, connectionError: null }));
    expect(relay.tokens).toEqual(["token 1", "token 2", "token 3"]);
  });

  test("a token that cannot be had is told, and asked for again", async () => {
    const token = vi.fn().mockRejectedValueOnce(new Error("who are you")).mockResolvedValue("good");
    const { now } = follow({ token });
    await until(() => expect(now().connectionError).toEqual({ code: "token", message: "no token: who are you" }));
    await until(() => expect(now()).toMatchObject({ connected: true, connectionError: null }));
    expect(relay.tokens).toEqual(["good"]);
  });

  test("a refused match is told, and tried again, but not what can never be", async () => {
    const reasons = ["forbidden", "unavailable"];
    relay.refuseJoin = ({ matchId }) => (matchId === "final" ? reasons.shift() : "invalid");
    const [good, bad] = [follow(), follow({ matchId: "bad" })];
    await until(() => expect([good.now().connectionError?.code, bad.now().connectionError?.code]).toEqual(["forbidden", "invalid"]));
    await until(() => expect(good.now()).toMatchObject({ connected: true, connectionError: null, stats: { totalVotes: 0 } }));
    expect(relay.joins.map((join) => join.matchId).sort()).toEqual(["bad", "final", "final", "final"]);
  });

  test("an unknown version of the format is not guessed at", async () => {
    const { now } = follow();
    await until(() => expect(now().stats).not.toBeNull());
    relay.fold("final", [[PARIS, { away: 2 }]], [], { v: 2 });
    await until(() => expect(now().connectionError?.code).toBe("version"));
    expect(now()).toMatchObject({ seq: 0, aggregates: [] });
  });
});

describe("listeners", () => {
  test("one may end another store of the same match, and its own", async () => {
    const [one, other] = [follow(), follow()];
    await until(() => expect([one.now().stats, other.now().stats]).not.toContain(null));
    const heard = other.seen.length;
    one.store.subscribe(() => {
      other.end();
      one.end();
    });
    relay.fold("final", [[PARIS, { away: 2 }]]);
    await until(() => expect(one.now().seq).toBe(1));
    await pause(50);
    expect(other.seen).toHaveLength(heard);
  });

  test("one that throws is reported, and stops no other", async () => {
    const reported: unknown[] = [];
    vi.spyOn(globalThis, "queueMicrotask").mockImplementation((report) => {
      try {
        report();
      } catch (error) {
        reported.push(error);
      }
    });
    const { store } = follow();
    store.subscribe(() => {
      throw new Error("a fault of the page");
    });
    const { now, seen } = follow();
    const last = vi.fn();
    store.subscribe(last);
    await until(() => expect(now().stats).not.toBeNull());
    expect(seen.length).toBeGreaterThan(0);
    expect(last).toHaveBeenCalled();
    expect(reported[0]).toEqual(new Error("a fault of the page"));
  });
});

describe("a relay without its database", () => {
  test("tells since when, and when that is over", async () => {
    const { now } = follow();
    await until(() => expect(now().stats).not.toBeNull());
    relay.namespace.emit("relay:stale", { since: "2026-07-19T20:11:03.120Z" });
    await until(() => expect(now()).toMatchObject({ connected: true, connectionError: null, staleSince: "2026-07-19T20:11:03.120Z" }));
    relay.namespace.emit("relay:stale", { since: null });
    await until(() => expect(now().staleSince).toBeNull());
    relay.namespace.emit("relay:stale", { since: "2026-07-19T20:11:03.120Z" });
    await until(() => expect(now().staleSince).not.toBeNull());
    relay.dismiss("stale");
    await until(() => expect(now()).toMatchObject({ connected: true, connectionError: null, staleSince: null }));
  });
});

describe("tokens", () => {
  const jwt = (seconds: number) => `x.${Buffer.from(JSON.stringify({ exp: Date.now() / 1_000 + seconds })).toString("base64url")}.x`;

  test("one that is about to expire is renewed on the open socket", async () => {
    const tokens = [jwt(3), jwt(3_600)];
    const token = vi.fn(() => tokens[token.mock.calls.length - 1]!);
    const { now, seen } = follow({ token });
    await until(() => expect(relay.renewals).toEqual([tokens[1]]));
    expect([relay.tokens.length, now().connected]).toEqual([1, true]);
    expect(seen.filter((snapshot) => !snapshot.connected)).toEqual([]);
  });

  test("another one is shown at once, without a break", async () => {
    const { store, now } = follow({ token: "a" });
    await until(() => expect(now().connected).toBe(true));
    store.setToken("b");
    await until(() => expect(relay.renewals).toEqual(["b"]));
    relay.cut();
    await until(() => expect(relay.tokens).toEqual(["a", "b"]));
    await until(() => expect(now().connected).toBe(true));
  });
});
