// The vote of the one who looks at the page: shown at once, put right by the relay.
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";
import { openLinks } from "../src/pool.js";
import type { VoteSnapshot } from "../src/snapshot.js";
import { createVoteStore, type VoteStore } from "../src/store.js";
import { ScriptedRelay, type SentVote, type VoteReply } from "./relay.js";

const PARIS = "871fb4662ffffff";

let relay: ScriptedRelay;
let store: VoteStore;
let sent: SentVote[];
/** Votes that wait for an answer, in their order. */
let waiting: ((reply: VoteReply) => void)[];

const until = (check: () => unknown) => vi.waitFor(async () => check(), { timeout: 60_000, interval: 5 });
const mine = ({ myVote, voting, voteError }: VoteSnapshot = store.getSnapshot()) => [myVote?.teamChoice ?? null, voting, voteError?.code ?? null];
const answer = async (reply: VoteReply) => {
  await until(() => expect(waiting.length).toBeGreaterThan(0));
  waiting.shift()!(reply);
};
const done = (outcome: string, turn: number, vote?: object): VoteReply => [200, { outcome, turn, ...(vote && { vote }) }];

beforeEach(async () => {
  relay = await ScriptedRelay.start();
  [sent, waiting] = [[], []];
  relay.onVote = (vote) => {
    sent.push(vote);
    return new Promise((reply) => waiting.push(reply));
  };
  store = createVoteStore({ url: relay.url, matchId: "final", token: "t" });
});

afterEach(async () => {
  store.close();
  await relay.stop();
});

afterAll(() => until(() => expect(openLinks()).toEqual([])));

test("a vote shows at once, and stays when it is counted", async () => {
  const seen: unknown[] = [];
  store.subscribe(() => {
    const now = mine();
    if (JSON.stringify(now) !== JSON.stringify(seen.at(-1))) seen.push(now);
  });
  expect(mine()).toEqual([null, false, null]);
  const voted = store.castVote({ teamChoice: "home", h3Index: PARIS });
  expect(mine()).toEqual(["home", true, null]);
  await answer(done("counted", 1));
  expect(await voted).toEqual({ outcome: "counted", turn: 1 });
  expect(store.getSnapshot()).toMatchObject({ myVote: { teamChoice: "home", h3Index: PARIS }, voting: false });
  const retracted = store.retractVote();
  expect(mine()).toEqual([null, true, null]);
  await answer(done("retracted", 2));
  await retracted;
  expect(seen.slice(-4)).toEqual([["home", true, null], ["home", false, null], [null, true, null], [null, false, null]]);
  expect(sent.map(({ path, token, body }) => [path, token, body?.teamChoice, body?.turn])).toEqual(
    [["/matches/final/votes", "Bearer t", "home", 1], ["/matches/final/votes", "Bearer t", null, 2]]);
});

test("a fold keeps it, and the same snapshot stays the same object", async () => {
  relay.fold("final", [[PARIS, { home: 1 }]]);
  store.subscribe(() => {});
  await until(() => expect(store.getSnapshot().seq).toBe(1));
  const voted = store.castVote({ teamChoice: "home" });
  relay.fold("final", [[PARIS, { home: 2 }]]);
  await until(() => expect(store.getSnapshot().seq).toBe(2));
  expect(mine()).toEqual(["home", true, null]);
  await answer(done("counted", 1));
  await voted;
  const before = store.getSnapshot();
  expect(store.getSnapshot()).toBe(before);
  store.setResolution(3);
  expect(mine()).toEqual(["home", false, null]);
});

test("a refusal takes it back, and says why", async () => {
  const first = store.castVote({ teamChoice: "home" });
  await answer(done("counted", 1));
  await first;
  const second = store.castVote({ teamChoice: "away" });
  expect(mine()).toEqual(["away", true, null]);
  await answer([409, { error: "closed", detail: "match \"final\" is closed" }]);
  await expect(second).rejects.toMatchObject({ code: "closed" });
  expect(mine()).toEqual(["home", false, "closed"]);
  expect(store.getSnapshot().voteError!.message).toBe('match "final" is closed');
  const third = store.castVote({ teamChoice: "away" });
  expect(mine()).toEqual(["away", true, null]);
  await answer(done("changed", 3));
  await third;
});

test("of two that are on their way the last one shows, whichever is answered first", async () => {
  const [home, away] = [store.castVote({ teamChoice: "home" }), store.castVote({ teamChoice: "away" })];
  await until(() => expect(waiting).toHaveLength(2));
  const [first, second] = sent[0]!.body!.teamChoice === "home" ? [0, 1] : [1, 0];
  waiting[second]!(done("counted", 2));
  await away;
  expect(mine()).toEqual(["home", true, null]);
  waiting[first]!(done("superseded", 1, { team_choice: "away", turn: 2 }));
  await home;
  expect(mine()).toEqual(["away", false, null]);
});

test("what stands is asked for, and a newer one from elsewhere is shown", async () => {
  const loaded = store.loadVote();
  await answer([200, { team_choice: "home", turn: 4, h3_index: PARIS }]);
  expect(await loaded).toEqual({ teamChoice: "home", h3Index: PARIS });
  expect(store.getSnapshot().myVote).toEqual({ teamChoice: "home", h3Index: PARIS });
  const late = store.castVote({ teamChoice: "away" });
  await answer([504, {}]);
  await answer(done("superseded", 5, { team_choice: null, turn: 9 }));
  expect(await late).toMatchObject({ outcome: "superseded" });
  expect(mine()).toEqual([null, false, null]);
  // A voter who leaves takes the vote along.
  const again = store.castVote({ teamChoice: "home" });
  store.setToken(undefined);
  expect(mine()).toEqual([null, false, null]);
  await answer(done("counted", 10));
  await again;
  expect(mine()).toEqual([null, false, null]);
});

test("the relay tells whose votes it takes", async () => {
  relay.welcomeWith = { window: 3_000, votes: "anonymous" };
  expect(store.getSnapshot().door).toBeNull();
  store.subscribe(() => {});
  await until(() => expect(store.getSnapshot().door).toBe("anonymous"));
  relay.namespace.emit("relay:welcome", { votes: "anything" });
  await until(() => expect(store.getSnapshot().door).toBeNull());
});
