import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createVoter, VoteRefusal, type VoterOptions } from "../src/index.js";

/** An answer: a status and a body; null: the connection is cut. */
type Reply = readonly [number, object, Record<string, string>?] | null;

let server: Server;
let replies: Reply[];
let requests: { path: string; body: { turn: number; teamChoice: string | null }; token: string | undefined; key: string | string[] | undefined }[];

const counted = (turn: number): Reply => [200, { outcome: "counted", turn }];
const read = async (request: IncomingMessage) => {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return (text ? JSON.parse(text) : null) as { turn: number; teamChoice: string | null };
};

beforeEach(async () => {
  [replies, requests] = [[], []];
  vi.stubGlobal("localStorage", undefined);
  server = createServer((request, response) => {
    void read(request).then((body) => {
      requests.push({ path: request.url!, body, token: request.headers.authorization, key: request.headers["idempotency-key"] });
      const reply = replies.shift();
      if (!reply) return request.socket.destroy();
      response.writeHead(reply[0], { "content-type": "application/json", ...reply[2] }).end(JSON.stringify(reply[1]));
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
});

afterEach(() => {
  vi.unstubAllGlobals();
  server.closeAllConnections();
  server.close();
});

const voter = (options: Partial<VoterOptions> = {}) =>
  createVoter({ matchId: "a match/1", url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/live`, token: "t", ...options });

const turns = () => requests.map(({ body }) => body.turn);

test("votes are numbered, and say where and for whom", async () => {
  replies = [counted(1), [200, { outcome: "changed", turn: 2 }], [200, { outcome: "retracted", turn: 3 }]];
  const ann = voter();
  expect(await ann.castVote({ teamChoice: "home", h3Index: "872a1072bffffff" })).toEqual({ outcome: "counted", turn: 1 });
  expect(await ann.castVote({ teamChoice: "away", position: { lat: 1, lng: 2 } })).toEqual({ outcome: "changed", turn: 2 });
  expect(await ann.retractVote()).toEqual({ outcome: "retracted", turn: 3 });
  expect(requests.map(({ body }) => body)).toEqual([
    { teamChoice: "home", h3Index: "872a1072bffffff", turn: 1 }, { teamChoice: "away", lat: 1, lng: 2, turn: 2 }, { teamChoice: null, turn: 3 },
  ]);
  expect(requests[0]).toMatchObject({ path: "/live/matches/a%20match%2F1/votes", token: "Bearer t" });
});

test("a choice that was not even sent is newer than one of another device", async () => {
  const superseded: Reply = [200, { outcome: "superseded", turn: 1, vote: { team_choice: "away", turn: 5 } }];
  replies = [[503, {}], superseded, [200, { outcome: "changed", turn: 6 }]];
  expect(await voter().castVote({ teamChoice: "home" })).toEqual({ outcome: "changed", turn: 6 });
  // Of this one nobody knows: it may have been counted before the other one.
  replies = [[504, {}], [200, { outcome: "superseded", turn: 7, vote: { team_choice: "away", turn: 9 } }]];
  expect(await voter().castVote({ teamChoice: "home" })).toMatchObject({ outcome: "superseded" });
});

test("a token that ends while nobody knows is no refusal of the vote", async () => {
  replies = [[504, {}], [401, { error: "token_expired", detail: "a valid token is needed" }]];
  await expect(voter().castVote({ teamChoice: "home" })).rejects.toMatchObject({ code: "unknown_outcome", status: 401 });
  replies = [[503, {}], [401, { error: "token_expired" }]];
  await expect(voter().castVote({ teamChoice: "home" })).rejects.toMatchObject({ code: "token_expired" });
});

test("a vote is sent again under its turn until it is known", async () => {
  replies = [null, [503, {}, { "retry-after": "1" }], [504, {}], [200, { outcome: "unchanged", turn: 1 }]];
  const began = performance.now();
  expect(await voter().castVote({ teamChoice: "home" })).toEqual({ outcome: "unchanged", turn: 1 });
  expect(turns()).toEqual([1, 1, 1, 1]);
  expect(performance.now() - began).toBeGreaterThanOrEqual(990);
});

test("a choice of this moment goes above what another page has sent; a retry does not", async () => {
  replies = [[200, { outcome: "superseded", turn: 1, vote: { team_choice: "away", turn: 7 } }], counted(8), [409, { error: "voted" }], counted(10)];
  const ann = voter();
  expect(await ann.castVote({ teamChoice: "home" })).toEqual({ outcome: "counted", turn: 8 });
  expect(await ann.castVote({ teamChoice: "away" })).toEqual({ outcome: "counted", turn: 10 });
  replies = [null, [200, { outcome: "superseded", turn: 11, vote: { team_choice: "away", turn: 12 } }]];
  expect(await ann.castVote({ teamChoice: "home" })).toEqual({ outcome: "superseded", turn: 11, vote: { teamChoice: "away", turn: 12 } });
  expect(turns()).toEqual([1, 8, 9, 10, 11, 11]);
});

test("a choice that another one followed stays behind it", async () => {
  replies = [[200, { outcome: "superseded", turn: 1, vote: { team_choice: "away", turn: 2 } }], counted(2)];
  const ann = voter();
  const [home, away] = await Promise.all([ann.castVote({ teamChoice: "home" }), ann.castVote({ teamChoice: "away" })]);
  expect([home.outcome, away.outcome].sort()).toEqual(["counted", "superseded"]);
  expect(turns().sort()).toEqual([1, 2]);
});

test("a refusal is told with its reason", async () => {
  replies = [[409, { error: "closed", detail: "match \"final\" is closed" }], [409, { error: "voted", detail: "1" }], [409, { error: "voted", detail: "2" }]];
  const refused = await voter().castVote({ teamChoice: "home" }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(VoteRefusal);
  expect(refused).toMatchObject({ code: "closed", status: 409, message: 'match "final" is closed' });
  await expect(voter().castVote({ teamChoice: "home" })).rejects.toMatchObject({ code: "voted", message: "2" });
});

test("a token that was refused is asked for once more", async () => {
  let calls = 0;
  const token = () => `t${++calls}`;
  replies = [[401, { error: "token_expired" }], counted(1), [401, { error: "token_invalid" }], [401, { error: "token_invalid" }]];
  const ann = voter({ token });
  expect(await ann.castVote({ teamChoice: "home" })).toMatchObject({ outcome: "counted" });
  await expect(ann.castVote({ teamChoice: "home" })).rejects.toMatchObject({ code: "token_invalid", status: 401 });
  expect(requests.map((request) => request.token)).toEqual(["Bearer t1", "Bearer t2", "Bearer t3", "Bearer t4"]);
});

test("turns outlast the page", async () => {
  const kept = new Map<string, string>();
  vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) });
  replies = [counted(1), counted(2), counted(3)];
  const [one, two] = [voter(), voter()];
  await one.castVote({ teamChoice: "home" });
  await two.castVote({ teamChoice: "home" });
  await one.castVote({ teamChoice: "home" });
  expect(turns()).toEqual([1, 2, 3]);
});

test("the vote that stands is asked for, and the next one goes above it", async () => {
  replies = [[200, { team_choice: "home", turn: 7, h3_index: "841fb47ffffffff" }], counted(8), [503, { error: "unavailable", detail: "not now" }]];
  const ann = voter();
  expect(await ann.getVote()).toEqual({ teamChoice: "home", turn: 7, h3Index: "841fb47ffffffff" });
  await ann.castVote({ teamChoice: "away" });
  expect(requests.map(({ path }) => path)).toEqual(["/live/matches/a%20match%2F1/vote", "/live/matches/a%20match%2F1/votes"]);
  expect(requests[1]!.body.turn).toBe(8);
  await expect(ann.getVote()).rejects.toMatchObject({ name: "VoteRefusal", code: "unavailable", status: 503, message: "not now" });
});

test("without a token it is a click, with a key that stays", async () => {
  const kept = new Map<string, string>();
  vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) });
  replies = [null, counted(1), [409, { error: "voted", detail: "another vote stands" }], [200, { team_choice: "home", turn: 1, h3_index: null }]];
  const somebody = voter({ token: undefined });
  expect(await somebody.castVote({ teamChoice: "home" })).toMatchObject({ outcome: "counted" });
  // Another turn would make it no other vote.
  await expect(voter({ token: undefined }).castVote({ teamChoice: "away" })).rejects.toMatchObject({ code: "voted" });
  await somebody.getVote();
  expect(requests.map(({ body }) => body)).toEqual([{ teamChoice: "home" }, { teamChoice: "home" }, { teamChoice: "away" }, null]);
  expect(requests[0]!.key).toMatch(/^[0-9a-f]{32}$/);
  expect(new Set(requests.map(({ key, token }) => `${String(key)} ${token}`)).size).toBe(1);
});
