import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Flip, Message, PlaceVotes, Snapshot, Votes } from "../src/message.js";
import { applyMessage, type MatchState } from "../src/state.js";
import { tallyOf } from "../src/tally.js";

function golden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../fixtures/${name}.json`, import.meta.url), "utf8")) as T;
}

const SNAPSHOT = golden<Snapshot>("snapshot");
const MESSAGE = golden<Message>("message");
const FLIPS = golden<Message>("message_flips");
const RESYNC = golden<Message>("message_resync");

const start = (snapshot: Snapshot = SNAPSHOT) => applyMessage(undefined, snapshot)!;

/** The message that follows. */
function after(state: MatchState, cells: PlaceVotes[], more: Partial<Message> = {}): Message {
  return { ...MESSAGE, seq: state.seq + 1, prev: state.seq, epoch: state.epoch ?? "e1", cells, countries: [], ...more };
}

describe("golden messages", () => {
  test("a snapshot starts a state", () => {
    expect(start()).toEqual({
      matchId: "final", resolution: null, area: null, seq: 43, epoch: "9f3c2a71", at: "2026-07-19T20:11:03.120Z", flips: [], stale: null,
      stats: { status: "open", totalVotes: 218, votes: { home: 120, away: 98 }, leader: "home", dominance: 22 / 218, votesPerMinute: 218 },
      aggregates: [{ h3Index: "872a1072bffffff", resolution: 7, totalVotes: 218, votes: { home: 120, away: 98 }, leader: "home", dominance: 22 / 218 }],
      countries: [{ countryCode: "FR", totalVotes: 218, votes: { home: 120, away: 98 }, leader: "home", dominance: 22 / 218 }],
    });
  });

  test("a message that is known already changes nothing", () => {
    const state = start();
    expect(applyMessage(state, MESSAGE)).toBe(state);
  });

  test("updates follow each other", () => {
    const before = start({ ...SNAPSHOT, seq: 42 });
    const first = applyMessage(before, MESSAGE)!;
    expect(first).toMatchObject({ seq: 43, stats: { totalVotes: 81_234, leader: "home", dominance: 766 / 81_234, votesPerMinute: 5_120 } });
    // Said again, so nothing moves.
    expect(first.aggregates).toBe(before.aggregates);
    expect(first.countries).toMatchObject([{ totalVotes: 2_100, leader: "away" }]);
    const second = applyMessage(first, FLIPS)!;
    expect(second).toMatchObject({ seq: 44, aggregates: [{ votes: { home: 120, away: 864 }, leader: "away" }] });
  });

  test("a message without its cells asks for a snapshot", () => {
    const state = start({ ...SNAPSHOT, match: RESYNC.match, seq: 6, epoch: RESYNC.epoch });
    const stale = applyMessage(state, RESYNC)!;
    expect(stale).toEqual({ ...state, stale: "snapshot" });
    const next = after(stale, [], { match: RESYNC.match });
    expect(applyMessage(stale, next)).toBe(stale);
    expect(applyMessage(stale, { ...SNAPSHOT, match: RESYNC.match, seq: 7, epoch: RESYNC.epoch })).toMatchObject({ seq: 7, stale: null });
  });
});

describe("changes of leader", () => {
  const cell = "872a1072bffffff";

  test("are kept newest first, with their time", () => {
    const first = applyMessage(start(), FLIPS)!;
    const { at } = FLIPS;
    expect(first.flips).toEqual([
      { scope: "match", place: null, before: "home", after: "away", seq: 44, at },
      { scope: "cell", place: cell, before: "home", after: "away", seq: 44, at },
    ]);
    const second = applyMessage(first, after(first, [], { flips: [["country", "FR", "home", null]] }))!;
    expect(second.flips.map(({ scope, after }) => [scope, after])).toEqual([["country", null], ["match", "away"], ["cell", "away"]]);
    expect(second.flips[1]).toBe(first.flips[0]);
    expect(applyMessage(second, after(second, []))!.flips).toBe(second.flips);
  });

  test("stay at another resolution, and end with the history", () => {
    const state = applyMessage(start(), FLIPS)!;
    expect(applyMessage(state, { ...SNAPSHOT, seq: 44, resolution: 3 })!.flips).toBe(state.flips);
    expect(applyMessage(state, { ...SNAPSHOT, epoch: "other" })!.flips).toEqual([]);
  });

  test("are bounded, and many of cells leave those of the match", () => {
    let state = applyMessage(start(), FLIPS)!;
    for (let i = 0; i < 30; i++) {
      const flips: Flip[] = [["cell", cell, "home", "away"], ["cell", cell, "away", "home"], ["cell", cell, "home", "away"]];
      state = applyMessage(state, after(state, [], { flips }))!;
    }
    expect(state.flips).toHaveLength(51);
    expect(state.flips.at(-1)).toMatchObject({ scope: "match", seq: 44 });
  });
});

describe("what does not follow", () => {
  test("nothing comes before a snapshot, and other matches are not meant", () => {
    expect(applyMessage(undefined, MESSAGE)).toBeUndefined();
    const state = start();
    expect(applyMessage(state, { ...FLIPS, match: "other" })).toBe(state);
    expect(applyMessage(state, { ...SNAPSHOT, match: "other" })).toBe(state);
  });

  test("a gap leaves everything as it was until what is missing comes", () => {
    const state = start();
    const [first, second] = [after(state, [["872a1072bffffff", { home: 121 }]]), after({ ...state, seq: 44 }, [["871fb4662ffffff", { away: 1 }]])];
    const stale = applyMessage(state, second)!;
    expect(stale).toEqual({ ...state, stale: "gap" });
    expect(applyMessage(stale, second)).toBe(stale);
    const healed = [first, second].reduce<MatchState | undefined>(applyMessage, stale)!;
    expect(healed).toMatchObject({ seq: 45, stale: null });
    expect(healed.aggregates.map((cell) => cell.votes)).toEqual([{ home: 121 }, { away: 1 }]);
  });

  test("a partial notification is a gap", () => {
    expect(applyMessage(start(), { ...FLIPS, partial: true })).toMatchObject({ seq: 43, stale: "gap" });
  });

  test("another history needs a snapshot, which may have a lower seq", () => {
    const state = start();
    const stale = applyMessage(state, { ...FLIPS, epoch: "other" })!;
    expect(stale.stale).toBe("snapshot");
    expect(applyMessage(stale, FLIPS)).toBe(stale);
    expect(applyMessage(stale, { ...SNAPSHOT, epoch: "other", seq: 3 })).toMatchObject({ seq: 3, epoch: "other", stale: null });
  });

  test("a snapshot never goes back within its history, unless at another resolution", () => {
    const state = start();
    expect(applyMessage(state, { ...SNAPSHOT, seq: 42 })).toBe(state);
    expect(applyMessage(state, { ...SNAPSHOT, seq: 42, resolution: 3 })).toMatchObject({ seq: 42, resolution: 3 });
  });

  test("the first fold gives a match without votes its history", () => {
    const empty = start({ ...SNAPSHOT, seq: 0, epoch: null, at: null, status: "unknown", cells: [], countries: [], stats: { ...SNAPSHOT.stats, votes: {}, total: 0 } });
    expect(empty.stats).toMatchObject({ totalVotes: 0, leader: null, dominance: 0 });
    const next = applyMessage(empty, after(empty, [["872a1072bffffff", { home: 1 }]]))!;
    expect(next).toMatchObject({ seq: 1, epoch: "e1", stats: { status: "open" } });
    expect(applyMessage(next, after(next, [], { final: true }))!.stats.status).toBe("final");
  });
});

describe("what moves", () => {
  const names = ["872a1072bffffff", "871fb4662ffffff", "87283082effffff"];
  const three = start({ ...SNAPSHOT, cells: names.map((name, i): PlaceVotes => [name, { home: i + 1 }]) });

  test("a cell that has no votes any more is dropped, and the others stay the same objects", () => {
    const state = applyMessage(three, after(three, [[names[0]!, {}]], { new: [["home", names[0]!, null, -1]] }))!;
    expect(state.aggregates.map((cell) => cell.h3Index).sort()).toEqual([...names.slice(1)].sort());
    for (const cell of state.aggregates) expect(three.aggregates).toContain(cell);
    const back = applyMessage(state, after(state, [[names[0]!, { away: 2 }], [names[2]!, { home: 9 }]]))!;
    expect(new Map(back.aggregates.map((cell) => [cell.h3Index, cell.totalVotes]))).toEqual(new Map([[names[0], 2], [names[1], 2], [names[2], 9]]));
  });

  test("only what changed is replaced, in its place", () => {
    const state = applyMessage(three, after(three, [[names[1]!, { home: 2, away: 5 }]]))!;
    expect(state.aggregates[0]).toBe(three.aggregates[0]);
    expect(state.aggregates[1]).toMatchObject({ totalVotes: 7, leader: "away" });
    expect(state.aggregates[2]).toBe(three.aggregates[2]);
    expect(state.countries).toBe(three.countries);
  });

  test("a snapshot that says the same leaves all as it was, whatever its order", () => {
    const cells = names.map((name, i): PlaceVotes => [name, { home: i + 1 }]).reverse();
    const state = applyMessage(three, { ...SNAPSHOT, seq: 50, cells })!;
    expect(state).toMatchObject({ seq: 50 });
    expect(state.aggregates).toBe(three.aggregates);
  });

  test("a state that was gone on from can be gone on from again", () => {
    const one = applyMessage(three, after(three, [[names[0]!, {}], ["8009fffffffffff", { home: 1 }]]))!;
    const other = applyMessage(three, after(three, [["8009fffffffffff", { away: 4 }]]))!;
    expect(one.aggregates).toHaveLength(3);
    expect(other.aggregates.map((cell) => cell.votes)).toEqual([{ home: 1 }, { home: 2 }, { home: 3 }, { away: 4 }]);
    expect(three.aggregates.map((cell) => cell.votes)).toEqual([{ home: 1 }, { home: 2 }, { home: 3 }]);
  });

  test("teams may have any name", () => {
    const votes = JSON.parse('{"__proto__": 3, "2": 1, "constructor": 2}') as Votes;
    const state = applyMessage(three, after(three, [[names[0]!, votes]]))!;
    expect(state.aggregates[0]).toMatchObject({ totalVotes: 6, leader: "__proto__", dominance: 1 / 6 });
    expect(Object.entries(state.aggregates[0]!.votes)).toEqual([["2", 1], ["__proto__", 3], ["constructor", 2]]);
  });

  test("a team without votes has none, whatever it is called", () => {
    const { stats, aggregates: [cell], countries: [country] } = three;
    for (const votes of [stats.votes, cell!.votes, country!.votes, tallyOf({}).votes]) {
      for (const team of ["constructor", "toString", "__proto__", "valueOf"]) expect(votes[team]).toBeUndefined();
    }
  });
});

test("any series of messages gives what a plain map gives", () => {
  let seed = 7;
  const random = (n: number) => (seed = (seed * 48_271) % 2_147_483_647) % n;
  for (let round = 0; round < 50; round++) {
    const truth = new Map<string, Votes>();
    const draw = (): PlaceVotes => {
      const cell = `87${String(random(40)).padStart(6, "0")}1ffffff`;
      return [cell, random(3) ? { home: random(9) + 1, ...(random(2) && { away: random(9) + 1 }) } : {}];
    };
    const put = ([cell, votes]: PlaceVotes) => (Object.keys(votes).length ? truth.set(cell, votes) : truth.delete(cell));
    let state = start({ ...SNAPSHOT, cells: [] });
    for (let step = 0; step < 40; step++) {
      const frozen = Object.freeze([...state.aggregates]);
      const before = state;
      if (random(8) === 0) {
        truth.clear();
        const cells = Array.from({ length: random(30) }, draw).filter(([, votes]) => Object.keys(votes).length);
        cells.forEach(put);
        state = applyMessage(state, { ...SNAPSHOT, seq: state.seq + 1, cells: [...truth] })!;
      } else {
        const cells = Array.from({ length: random(10) }, draw);
        cells.forEach(put);
        state = applyMessage(state, after(state, cells))!;
      }
      expect(before.aggregates).toEqual(frozen);
      expect(new Map(state.aggregates.map((cell) => [cell.h3Index, cell.votes]))).toEqual(truth);
      expect(state.aggregates).toHaveLength(truth.size);
    }
  }
});
