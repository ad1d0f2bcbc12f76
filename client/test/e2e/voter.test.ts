import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createVoter } from "../../src/index.js";
import { Database, eventually, Line, pause, Relay, SECRET, token } from "./rig.js";

const VOTERS = 20;
const VOTES = 6;
const CUTS = Number(process.env.E2E_CUTS ?? 8);

let database: Database;
let relay: Relay;
let line: Line;

beforeAll(async () => {
  database = await Database.create("client_votes");
  await database.rows("SELECT open_match('final', ARRAY['home', 'away'])");
  const key = join(mkdtempSync(join(tmpdir(), "voter-")), "key");
  writeFileSync(key, SECRET);
  const { PGHOST, PGPORT, PGUSER } = process.env;
  const votes = `host=${PGHOST} port=${PGPORT} user=${PGUSER} dbname=client_votes`;
  relay = await Relay.start("client_votes", ["--auth=optional", `--jwt-key=${SECRET}`, `--votes-url=${votes}`, `--voter-key-file=${key}`, "--max-votes-per-voter=1000"]);
  line = await Line.to(relay.port);
});

afterAll(async () => {
  line.close();
  await relay.stop();
  await database.drop();
});

const voter = (sub: string) => createVoter({ matchId: "final", url: line.url, token: token(600, { sub, scope: "vote" }) });

test("every vote is known and counts once, however often the line is cut", async () => {
  let isOver = false;
  const cuts = async () => {
    for (let n = 0; n < CUTS || !isOver; n++) {
      await pause(n < CUTS ? 60 : 2_000); // then there is time for a vote on a slow machine
      line.cut();
    }
  };
  const votes = async (number: number) => {
    const { castVote, retractVote } = voter(`fan ${number}`);
    for (let turn = 1; turn <= VOTES; turn++) {
      const outcome = turn === 3 ? await retractVote() : await castVote({ teamChoice: turn % 2 ? "home" : "away", position: { lat: 48.8, lng: 2.3 } });
      expect(outcome.turn).toBe(turn);
      expect(["counted", "changed", "unchanged", "retracted"]).toContain(outcome.outcome);
    }
  };
  const cutting = cuts();
  await Promise.all(Array.from({ length: VOTERS }, (_, number) => votes(number)));
  isOver = true;
  await cutting;
  const ballots = await database.rows("SELECT team_choice, turn::int, count(*)::int FROM vote_agg.ballot GROUP BY 1, 2");
  expect(ballots).toEqual([{ team_choice: "away", turn: VOTES, count: VOTERS }]);
  expect(await database.rows("SELECT * FROM verify_match('final') WHERE NOT ok")).toEqual([]);
  expect(await database.value("SELECT total_votes::int FROM get_realtime_stats('final')")).toBe(VOTERS);
});

test("a choice goes above those of another device, and a closed match is told", async () => {
  const [here, there] = [voter("ann"), voter("ann")];
  for (const teamChoice of ["home", "away", "home"]) await there.castVote({ teamChoice });
  expect(await here.castVote({ teamChoice: "away" })).toMatchObject({ outcome: "changed", turn: 4 });
  expect(await there.castVote({ teamChoice: "home" })).toMatchObject({ outcome: "changed", turn: 5 });
  await database.rows("SELECT close_match('final')");
  await eventually("the end is told", () => here.castVote({ teamChoice: "away" }).then(() => false, (error: { code: string }) => error.code === "closed"));
});
