import { EventSource } from "eventsource";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { cellToParent, getPentagons, getRes0Cells, getResolution, gridDisk, latLngToCell } from "h3-js";
import { aggregateByResolution, calculateH3Neighbors, type CellCollection, formatAggregateForMap } from "../../src/geo.js";
import { openLinks } from "../../src/pool.js";
import type { VoteSnapshot } from "../../src/snapshot.js";
import { applyMessage, calculateDominance, type CellAggregate, createVoteStore, filterByThreshold, type MatchState, topAggregates, type Votes, type VoteStore, type VoteStoreOptions } from "../../src/index.js";
import { Database, eventually, Line, pause, PLACES, Relay, SECRET, token, vote } from "./rig.js";

const SECONDS = Number(process.env.E2E_SECONDS ?? 15);
const CUTS = Number(process.env.E2E_CUTS ?? 8);
const MATCHES = ["final", "derby", "cup"];

let database: Database;
let relay: Relay;
let guarded: Relay;
let line: Line;
const stores: VoteStore[] = [];
let stop = async () => {};

beforeAll(async () => {
  database = await Database.create("client_e2e");
  relay = await Relay.start("client_e2e");
  guarded = await Relay.start("client_e2e", ["--auth=required", `--jwt-key=${SECRET}`]);
  line = await Line.to(relay.port);
});

afterEach(async () => {
  for (const store of stores.splice(0)) store.close();
  await stop();
});

afterAll(async () => {
  line.close();
  await relay.stop();
  await guarded.stop();
  await database.drop();
});

function storeOf(options: VoteStoreOptions): VoteStore {
  const store = createVoteStore(options);
  stores.push(store);
  return store;
}

interface Followed {
  readonly store: VoteStore;
  readonly matchId: string;
  resolution: number | null;
  end: () => void;
}

/** By parents: whether one lies in the other. */
function isRelated(a: string, b: string): boolean {
  const resolution = Math.min(getResolution(a), getResolution(b));
  return cellToParent(a, resolution) === cellToParent(b, resolution);
}

/** Around a city at random; now and then all cells. */
function anyArea(): readonly string[] | null {
  if (Math.random() < 0.1) return null;
  const [city] = PLACES[Math.floor(Math.random() * 60)]!;
  return gridDisk(cellToParent(city, Math.floor(Math.random() * 5)), Math.floor(Math.random() * 4));
}

/** What SQL says of a match, in the form of a store's snapshot. */
async function truth(matchId: string, resolution: number | null) {
  const [stats] = await database.rows<Record<string, unknown>>(
    "SELECT status, total_votes::float8, votes, leader, dominance, seq::int, epoch FROM get_realtime_stats($1)", [matchId]);
  const cells = await cellsOf(matchId, "resolution => $2", resolution);
  const countries = await database.rows(
    `SELECT country_code AS "countryCode", total_votes::float8 AS "totalVotes", votes, leader, dominance FROM get_country_aggregates($1)`, [matchId]);
  return { ...stats, cells, countries };
}

function cellsOf(matchId: string, argument: string, value: unknown): Promise<CellAggregate[]> {
  return database.rows(
    `SELECT h3_index AS "h3Index", resolution, total_votes::float8 AS "totalVotes", votes, leader, dominance FROM get_match_aggregates($1, ${argument})`,
    [matchId, value]);
}

function known(snapshot: VoteSnapshot) {
  const { status, totalVotes, votes, leader, dominance } = snapshot.stats!;
  const { seq, epoch } = snapshot;
  const countries = topAggregates(snapshot.countries, Infinity);
  return { status, total_votes: totalVotes, votes, leader, dominance, seq, epoch, cells: topAggregates(snapshot.aggregates, Infinity), countries };
}

test(`${SECONDS} s of random votes with the connection cut ${CUTS} times: what is known is what SQL says, and nothing is left open`, async () => {
  stop = vote("client_e2e", MATCHES, 3);
  const seen = { drops: 0, told: 0, backwards: 0 };
  const movers = new Set<VoteStore>();
  const follow = (matchId: string, resolution: number | null): Followed => {
    const store = storeOf({ url: line.url, matchId, resolution });
    let last = 0;
    let shown = resolution;
    const end = store.subscribe(() => {
      const { connected, seq, resolution: now } = store.getSnapshot();
      seen.told++;
      if (!connected) seen.drops++;
      // Another socket, which one resolution or area may be taken from and not the other, can be behind for a moment.
      if (now === shown && seq < last && !movers.has(store)) seen.backwards++;
      [last, shown] = [seq, now];
    });
    return { store, end, resolution, matchId };
  };
  const followed = MATCHES.flatMap((matchId) => [null, null, 3, 0].map((resolution) => follow(matchId, resolution)));
  const restless = follow("final", null);
  const shy = follow("cup", 2);
  const roaming = [follow("final", 3), follow("cup", null)].map((one) => ({ ...one, area: anyArea(), strays: 0 }));
  for (const { store } of [restless, ...roaming]) movers.add(store);
  for (const one of roaming) {
    one.store.subscribe(() => {
      const { area, aggregates } = one.store.getSnapshot();
      if (area && aggregates.some(({ h3Index }) => !area.some((own) => isRelated(own, h3Index)))) one.strays++;
    });
  }

  let streamed: MatchState | undefined;
  const events = new EventSource(`${line.url}/matches/final/events`);
  for (const event of ["match:snapshot", "match:update"]) {
    events.addEventListener(event, ({ data }) => (streamed = applyMessage(streamed, JSON.parse(data as string))));
  }

  const began = Date.now();
  for (let cut = 1; cut <= CUTS; cut++) {
    while (Date.now() - began < (SECONDS * 1_000 * cut) / CUTS) {
      await pause(50 + Math.random() * 200);
      restless.store.setResolution((restless.resolution = Math.floor(Math.random() * 6)));
      for (const one of roaming) one.store.setArea((one.area = anyArea()), (one.resolution = Math.random() < 0.9 ? one.resolution : 3));
      if (Math.random() < 0.3) {
        shy.end();
        if (Math.random() < 0.5) await pause(Math.random() * 1_500);
        shy.end = shy.store.subscribe(() => {});
      }
    }
    line.cut();
  }
  await stop();
  await database.settle();

  for (const { store, matchId, resolution } of [...followed, restless, shy]) {
    const expected = await truth(matchId, resolution);
    const told = () => JSON.stringify({ ...store.getSnapshot(), aggregates: 0, countries: 0 });
    await eventually(() => `${matchId} at ${resolution} is as SQL has it at ${(expected as { seq?: number }).seq}: ${told()}`, () => {
      const { seq, resolution: shown } = store.getSnapshot();
      return seq === (expected as { seq?: number }).seq && shown === resolution;
    });
    expect(known(store.getSnapshot())).toEqual(expected);
  }
  for (const { store, matchId, resolution, area, strays } of roaming) {
    const expected = await truth(matchId, resolution);
    await eventually(`${matchId} within ${String(area)} is as SQL has it`, () => {
      const now = store.getSnapshot();
      return now.seq === (expected as { seq?: number }).seq && now.resolution === resolution && String(now.area) === String(area && [...area].sort());
    });
    const cells = expected.cells.filter(({ h3Index }) => !area || area.some((own) => isRelated(own, h3Index)));
    expect(known(store.getSnapshot())).toEqual({ ...expected, cells });
    expect(strays).toBe(0);
  }
  const native = followed[0]!.store.getSnapshot();
  await eventually("the event stream is as far", () => streamed?.seq === native.seq);
  events.close();
  expect(known({ ...native, ...streamed })).toEqual(known(native));
  expect(seen.drops).toBeGreaterThanOrEqual(CUTS);
  expect(seen.backwards).toBe(0);
  expect(seen.told).toBeGreaterThan(SECONDS * 10);

  // However often it was cut, one listener each.
  const links = openLinks();
  expect(links.length).toBeLessThanOrEqual(5);
  for (const link of links) {
    const socket = link.socket;
    for (const event of ["connect", "disconnect", "connect_error", "match:update", "match:snapshot", "match:area"]) expect(socket.listeners(event)).toHaveLength(1);
    for (const event of ["open", "packet", "error", "close"] as const) expect(socket.io.listeners(event).length).toBeLessThanOrEqual(1);
  }

  // The same results from the utilities as from SQL.
  for (const resolution of [0, 3, 7, 9]) expect(aggregateByResolution(native.aggregates, resolution)).toEqual(await cellsOf("final", "resolution => $2", resolution));
  for (const n of [0, 1, 10, 100_000]) expect(topAggregates(native.aggregates, n)).toEqual(await cellsOf("final", "max_cells => $2", n));
  for (const n of [1, 5, 20]) expect(topAggregates(filterByThreshold(native.aggregates, n), Infinity)).toEqual(await cellsOf("final", "min_votes => $2", n));
  for (let i = 0; i < 200; i++) {
    const votes: Votes = Object.fromEntries(["a", "b", "c"].slice(0, i % 4).map((team) => [team, Math.floor(Math.random() * 5)]));
    expect(calculateDominance(votes)).toBe(await database.value("SELECT calculate_dominance($1)", [JSON.stringify(votes)]));
  }

  for (const store of stores.splice(0)) store.close();
  await eventually("every socket is closed", () => openLinks().length === 0 && line.open.size === 0);
  await eventually("the relay has no clients", async () => (await relay.metric(/clients(\{[^}]*\})? /)) === 0);
});

test("a relay that has lost its database says since when, and when it is back", async () => {
  const store = storeOf({ url: relay.url, matchId: "final" });
  store.subscribe(() => {});
  const now = store.getSnapshot;
  await eventually("connected", () => now().connected && now().stats);
  const before = Date.now();
  try {
    await database.allow(false);
    const since = await eventually("it is told", () => now().staleSince);
    expect(Math.abs(Date.parse(since) - before)).toBeLessThan(60_000);
    expect(now()).toMatchObject({ connected: true, connectionError: null });
  } finally {
    await database.allow(true);
  }
  await eventually("it is over", () => now().staleSince === null && now().connected);
});

test("tokens that live twenty seconds never break the stream", async () => {
  stop = vote("client_e2e", ["final"]);
  let asked = 0;
  const store = storeOf({ url: guarded.url, matchId: "final", token: () => (asked++, token(20)) });
  const states: boolean[] = [];
  store.subscribe(() => states.push(store.getSnapshot().connected));
  await eventually("connected", () => store.getSnapshot().connected);
  states.length = 0;
  // Each is renewed after three quarters of its life.
  await eventually("it is renewed, twice", () => asked >= 3 && states.length > 10, 180_000);
  expect(states).not.toContain(false);
  await stop();
  await database.settle();
  const seq = await database.value<number>("SELECT seq::int FROM get_realtime_stats('final')");
  await eventually("up to date", () => store.getSnapshot().seq === seq);

  const stranger = storeOf({ url: guarded.url, matchId: "final", token: "not a token" });
  stranger.subscribe(() => {});
  await eventually("refused", () => stranger.getSnapshot().connectionError?.code === "token_invalid");
  // Let in as soon as it shows a good one.
  stranger.setToken(token(60));
  await eventually("connected", () => stranger.getSnapshot().connected && stranger.getSnapshot().seq === seq);
  for (const each of stores.splice(0)) each.close();
  await eventually("every socket is closed", () => openLinks().length === 0);
});

test.each([60, 1_000])("a page with %d matches: 50 are followed, the rest are told, and the connection holds", async (count) => {
  const many = Array.from({ length: count }, (_, i) => storeOf({ url: relay.url, matchId: `match ${i}` }));
  let told = 0;
  let drops = 0;
  for (const store of many) store.subscribe(() => (told++, store.getSnapshot().connected || drops++));
  const counts = () => {
    const all = many.map((store) => store.getSnapshot());
    return [all.filter(({ stats }) => stats).length, all.filter(({ connectionError }) => connectionError?.code === "too_many_rooms").length];
  };
  await eventually(() => `50 and the rest, not ${counts()}`, () => counts().join() === `50,${count - 50}`);
  const before = told;
  await pause(3_000);
  expect([told, drops, openLinks(relay.url).length]).toEqual([before, 0, 1]);
  for (const store of stores.splice(0)) store.close();
  await eventually("every socket is closed", () => openLinks().length === 0);
});

/** Cells where geometry is hard, and some by chance. */
function tellingCells(): string[] {
  const poles = [0, 2, 5].flatMap((resolution) => [latLngToCell(90, 0, resolution), latLngToCell(-90, 0, resolution)]);
  const antimeridian = [0, 1, 3, 7].flatMap((resolution) => [-70, -17, 0, 52, 71].map((latitude) => latLngToCell(latitude, 180, resolution)));
  const some = Array.from({ length: 300 }, (_, i) => latLngToCell(Math.random() * 180 - 90, Math.random() * 360 - 180, i % 16));
  return [...new Set([...getRes0Cells(), ...getPentagons(1), ...getPentagons(4), ...getPentagons(15), ...poles, ...antimeridian, ...some])];
}

test("neighbours are those of SQL, in its order", async () => {
  for (const cell of tellingCells()) {
    for (const k of [0, 1, 3]) {
      const expected = await database.rows<{ cell: string }>("SELECT cell FROM h3_neighbors($1::text, $2) AS cell", [cell, k]);
      expect(calculateH3Neighbors(cell, k), `${cell}, ${k}`).toEqual(expected.map((row) => row.cell));
    }
  }
});

test("GeoJSON is that of SQL, corners to a billionth of a degree", async () => {
  const cells = tellingCells();
  await database.rows("SELECT bulk_increment($1)", [JSON.stringify(cells.flatMap((cell, i) =>
    ["home", "away"].slice(i % 2).map((team) => ({ match_id: "shapes", team_choice: team, h3_index: cell, votes: 1 + (i % 5) }))))]);
  await database.settle();
  const expected = await database.value<CellCollection>("SELECT get_match_geojson('shapes')");
  const found = formatAggregateForMap(await cellsOf("shapes", "resolution => $2", null), "geojson");
  expect(found.features.map((each) => [each.id, each.properties, each.geometry.type])).toEqual(
    expected.features.map((each) => [each.id, each.properties, each.geometry.type]));
  expect(found.features).toHaveLength(cells.length);
  found.features.forEach((feature, i) => {
    const [mine, sqls] = [feature, expected.features[i]!].map(({ geometry }) => JSON.stringify(geometry.coordinates));
    const numbers = (text: string) => text.match(/-?[\d.]+(e-?\d+)?/g)!.map(Number);
    // The same brackets, and numbers that are as good as the same.
    expect(mine!.replace(/[^[\],]/g, ""), feature.id as string).toBe(sqls!.replace(/[^[\],]/g, ""));
    const far = numbers(mine!).map((n, at) => Math.abs(n - numbers(sqls!)[at]!)).filter((distance) => !(distance <= 1e-9));
    expect(far, `${feature.id}: ${mine} is not ${sqls}`).toEqual([]);
  });
});
