// Votes from the page: buttons, one's own place, a change of mind, and times when no vote is taken.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { latLngToCell } from "h3-js";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Database, eventually, Relay, SECRET, token } from "../../test/e2e/rig.js";
import { Browser, type Look, type Watched } from "./browser.js";
import { shows } from "./match.js";

const DIST = new URL("../dist/", import.meta.url).pathname;
const SHOTS = new URL("../shots/", import.meta.url).pathname;
const HERE = { latitude: 48.8566, longitude: 2.3522 };

const browser = new Browser();
const folder = mkdtempSync(join(tmpdir(), "ballot-"));
let database: Database;
let relay: Relay;
let clicks: Relay;
const open: Watched[] = [];

beforeAll(async () => {
  database = await Database.create("ballot_e2e");
  await database.rows(`SELECT open_match('final', ARRAY['home', 'away']), open_match('phone', ARRAY['home', 'away']), open_match('clicks', ARRAY['home', 'away']),
    open_match('later', ARRAY['home', 'away'], opens_at => now() + interval '1 day')`);
  const { PGHOST, PGPORT, PGUSER } = process.env;
  const key = join(folder, "key");
  writeFileSync(key, SECRET);
  const door = [`--map-dir=${DIST}`, "--auth=optional", `--jwt-key=${SECRET}`, `--votes-url=host=${PGHOST} port=${PGPORT} user=${PGUSER} dbname=ballot_e2e`, `--voter-key-file=${key}`];
  relay = await Relay.start("ballot_e2e", [...door, "--max-resolution=5"]);
  clicks = await Relay.start("ballot_e2e", [...door, "--votes=anonymous"]);
});

afterEach(async () => {
  const faults = open.splice(0).flatMap((each) => each.faults);
  await browser.close();
  expect(faults).toEqual([]);
});

afterAll(async () => {
  await relay?.stop();
  await clicks?.stop();
  await database?.drop();
  rmSync(folder, { recursive: true, force: true });
});

async function show(url: string, look: Look = {}): Promise<Page> {
  const watched = await browser.open(url, look);
  open.push(watched);
  return watched.page;
}

const fan = (sub: string) => `#token=${token(600, { sub, scope: "vote" })}`;
const ballots = (match: string) => database.rows<{ team_choice: string | null; cell: string | null }>(
  "SELECT team_choice, to_hex(h3_index) AS cell FROM vote_agg.ballot WHERE match_id = $1 ORDER BY 1", [match]);
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
const says = (page: Page, text: string) => page.locator(".ballot [role=status]").getByText(text, { exact: true }).waitFor();
const attribute = (page: Page, name: string) => page.locator(".ballot").getAttribute(name);

test("a visitor votes from where they are, by keyboard, and changes their mind", async () => {
  const page = await show(`${relay.url}/?match=final&teams=home,away&z=4&lat=48.8&lng=2.3${fan("ann")}`);
  await page.context().grantPermissions(["geolocation"]);
  await page.context().setGeolocation(HERE);
  await says(page, "Choose a team.");
  expect(await attribute(page, "data-own")).toBe("");
  await button(page, "Use my place").click();
  // Both in one look: a map that is still loading may change its resolution.
  const shown = () => page.evaluate(() => [".ballot", ".page"].map((each) => ({ ...document.querySelector<HTMLElement>(each)!.dataset })));
  await eventually("the place is shown, as fine as the map", async () => {
    const [ballot, map] = await shown();
    return ballot!.own === latLngToCell(HERE.latitude, HERE.longitude, Number(map!.resolution));
  });
  await button(page, "home").focus();
  await page.keyboard.press("Enter");
  await eventually("the own hexagon glows", async () => (await attribute(page, "data-glows")) === "1");
  await says(page, "You voted for home.");
  await shows(page, 1);
  await page.screenshot({ path: `${SHOTS}ballot.png` });
  // As coarse as the relay keeps it.
  const cell = latLngToCell(HERE.latitude, HERE.longitude, 5);
  expect(await ballots("final")).toEqual([{ team_choice: "home", cell }]);
  expect(await button(page, "home").getAttribute("aria-pressed")).toBe("true");
  await button(page, "away").click();
  await says(page, "You voted for away.");
  await eventually("it is counted", async () => (await ballots("final"))[0]!.team_choice === "away");
  await page.reload();
  await says(page, "You voted for away.");
  await button(page, "Take it back").click();
  await says(page, "Choose a team.");
  expect(await ballots("final")).toEqual([{ team_choice: null, cell: null }]);
});

test("a place that may not be asked for is told, and the vote counts without", async () => {
  const page = await show(`${relay.url}/?match=phone&teams=home,away${fan("bob")}`, { isPhone: true });
  await page.context().clearPermissions();
  await says(page, "Choose a team.");
  await button(page, "Use my place").tap();
  await page.getByRole("alert").filter({ hasText: /may not ask where you are|could not be found/ }).waitFor();
  const box = (await button(page, "home").boundingBox())!;
  expect(box.height).toBeGreaterThanOrEqual(44);
  await button(page, "home").tap();
  await says(page, "You voted for home.");
  await page.locator(".ballot").scrollIntoViewIfNeeded();
  await page.screenshot({ path: `${SHOTS}ballot-phone.png` });
  expect(await ballots("phone")).toEqual([{ team_choice: "home", cell: null }]);
});

test("a click stands", async () => {
  const page = await show(`${clicks.url}/?match=clicks&teams=home,away`);
  await says(page, "Choose a team.");
  await button(page, "home").click();
  await says(page, "You voted for home.");
  expect(await button(page, "away").isDisabled()).toBe(true);
  await page.reload();
  await says(page, "You voted for home.");
  expect(await ballots("clicks")).toEqual([{ team_choice: "home", cell: null }]);
});

test("before voting and after it nobody votes, and a page without the right to vote shows no ballot", async () => {
  const page = await show(`${relay.url}/?match=later&teams=home,away${fan("ann")}`);
  await says(page, "Voting has not begun yet.");
  expect(await button(page, "home").isDisabled()).toBe(true);
  await page.goto(`${relay.url}/?match=phone&teams=home,away${fan("eve")}`);
  await says(page, "Choose a team.");
  await button(page, "away").click();
  await says(page, "You voted for away.");
  await database.rows("SELECT close_match('phone')");
  await says(page, "You voted for away. Voting is over.");
  expect(await button(page, "home").isDisabled()).toBe(true);
  await page.goto(`${relay.url}/?match=phone&teams=home,away`);
  await page.locator("[data-total]").waitFor();
  expect(await page.locator(".ballot").count()).toBe(0);
});
