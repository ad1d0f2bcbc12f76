// The page as a visitor meets it: colours, cards, clocks, keys, a lost drawing context, a token that comes late.
import { latLngToCell } from "h3-js";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Database, eventually, Relay, SECRET, token } from "../../test/e2e/rig.js";
import { ScriptedRelay } from "../../test/relay.js";
import { Browser, type Watched } from "./browser.js";
import { cellsOf, fill, isDrawn, shows, totalOf } from "./match.js";

const DIST = new URL("../dist/", import.meta.url).pathname;
const SHOTS = new URL("../shots/", import.meta.url).pathname;
const PARIS = "871fb4662ffffff";

const browser = new Browser();
let database: Database;
let relay: Relay;
let guarded: Relay;
const open: Watched[] = [];

beforeAll(async () => {
  database = await Database.create("screen_e2e");
  await fill(database, "final");
  await fill(database, "many", ["Country 1", "Country 2"]);
  await crowd("many");
  relay = await Relay.start("screen_e2e", [`--map-dir=${DIST}`]);
  guarded = await Relay.start("screen_e2e", [`--map-dir=${DIST}`, "--auth=required", `--jwt-key=${SECRET}`]);
});

afterEach(async () => {
  const faults = open.splice(0).flatMap((each) => each.faults);
  await browser.close();
  expect(faults).toEqual([]);
});

afterAll(async () => {
  await relay?.stop();
  await guarded?.stop();
  await database?.drop();
});

async function show(...args: Parameters<Browser["open"]>): Promise<Page> {
  const watched = await browser.open(...args);
  open.push(watched);
  return watched.page;
}

async function vote(match: string, team: string, votes: number) {
  await database.rows("SELECT record_vote($1, $2, $3::text, 'FR', $4)", [match, team, PARIS, votes]);
  await database.settle();
}

/** 36 teams with 1 to 36 votes in one cell. */
async function crowd(match: string) {
  await database.rows(`SELECT bulk_increment(jsonb_agg(jsonb_build_object('match_id', $1::text, 'team_choice', 'Country ' || i, 'country_code', 'FR',
    'h3_index', $2::text, 'votes', i))) FROM generate_series(1, 36) AS i`, [match, PARIS]);
  await database.settle();
}

const colours = (page: Page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll<HTMLElement>(".score .teams li")].map((line) =>
  [line.querySelector(".name")!.textContent, line.querySelector<HTMLElement>(".swatch")!.style.background])));

test("two visitors see the same colours, whenever they came, and names of colours mean what they say", async () => {
  await vote("colours", "red", 5);
  const early = await show(`${relay.url}/?match=colours`);
  await shows(early, 5);
  await vote("colours", "blue", 9);
  await vote("colours", "amber", 2);
  const late = await show(`${relay.url}/?match=colours`);
  for (const page of [early, late]) await shows(page, 16);
  expect(await colours(early)).toEqual({ red: "rgb(180, 74, 3)", blue: "rgb(20, 33, 185)", amber: "rgb(183, 138, 5)" });
  expect(await colours(late)).toEqual(await colours(early));
});

test("teams may be called like something that objects have, and have long names", async () => {
  await database.rows("SELECT record_vote('names', 'constructor', $1::text, 'FR', 2), record_vote('names', repeat('x', 150), '872a1072bffffff', 'US', 1)", [PARIS]);
  await database.settle();
  const page = await show(`${relay.url}/?match=names&z=3&lat=40.7&lng=-74`);
  await shows(page, 3);
  await isDrawn(page, 3);
  await page.locator(".maplibregl-canvas").focus();
  await page.keyboard.press("ArrowLeft");
  expect(await page.evaluate(() => document.body.innerText)).not.toMatch(/NaN|native code/);
  expect(await page.locator("tr[data-country=US] .bar > span").count()).toBe(1);
  await eventually("the pointer finds the cell", async () => {
    await page.mouse.move(500, 450);
    await page.evaluate(() => window.voteMap!.base.jumpTo({ center: [-74, 40.7] }));
    const at = await page.evaluate(() => window.voteMap!.base.project([-74.04, 40.69]));
    await page.mouse.move(at.x, at.y);
    return page.locator(".cell").isVisible();
  });
  for (const box of [await page.locator(".legend").boundingBox(), await page.locator(".cell").boundingBox()]) expect(box!.width).toBeLessThanOrEqual(280);
});

test("with many teams the window does not scroll, only the numbers do", async () => {
  const page = await show(`${relay.url}/?match=many`);
  await shows(page, await totalOf(database, "many"));
  for (const list of ["Score", "Countries"]) await page.getByRole("region", { name: list }).getByRole("button", { name: /^Show all/ }).click();
  const [inner, outer] = await page.evaluate(() => [document.querySelector(".panel")!.scrollHeight, document.documentElement.scrollHeight]);
  expect(inner).toBeGreaterThan(1_500);
  expect(outer).toBe(900);
  await page.screenshot({ path: `${SHOTS}many-teams.png` });
});

test("on a phone the card of a cell with many teams stands below the map, in sight, and can be closed", async () => {
  await crowd("crowd");
  for (const size of [{ width: 390, height: 844 }, { width: 320, height: 568 }]) {
    const page = await show(`${relay.url}/?match=crowd&z=5&lat=48.86&lng=2.35`, { isPhone: true });
    await page.setViewportSize(size);
    await shows(page, 666);
    await isDrawn(page, 4);
    const card = page.locator(".cell");
    await eventually("a finger finds the cell", async () => {
      const map = (await page.locator(".map").boundingBox())!;
      await page.touchscreen.tap(map.x + map.width / 2, map.y + map.height / 2);
      await page.waitForTimeout(300);
      return card.isVisible();
    });
    const [box, map] = [(await card.boundingBox())!, (await page.locator(".map").boundingBox())!];
    expect(box.y).toBeGreaterThanOrEqual(map.y + map.height);
    expect(box.y + box.height).toBeLessThanOrEqual(size.height + 1);
    // The middle of the map, where the cell is, is in sight too.
    expect(map.y + map.height / 2).toBeGreaterThan(0);
    expect(await card.locator(".teams .name").allTextContents()).toEqual([36, 35, 34, 33, 32].map((i) => `Country ${i}`));
    expect(await card.textContent()).toContain("and 31 more");
    await page.screenshot({ path: `${SHOTS}phone-card-${size.width}.png` });
    await card.getByRole("button", { name: "Close" }).click();
    await card.waitFor({ state: "detached" });
  }
});

test("by keyboard, the card is that of the cell under the crosshair", async () => {
  const page = await show(`${relay.url}/?match=final&z=4.2&lat=49&lng=8`);
  await isDrawn(page, 4);
  const known = new Set((await cellsOf(database, "final", 4)).map(({ h3Index }) => h3Index));
  await page.locator("body").click({ position: { x: 1_400, y: 890 } });
  await page.locator(".maplibregl-canvas").focus();
  await page.evaluate(() => {
    const moves = (window as unknown as { moves: number });
    moves.moves = 0;
    window.voteMap!.base.on("moveend", () => moves.moves++);
  });
  let cards = 0;
  let moves = 0;
  for (const key of ["ArrowRight", "ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowDown", "ArrowRight", "=", "ArrowUp", "-", "ArrowLeft", "ArrowDown"]) {
    await page.keyboard.press(key);
    moves++;
    await page.waitForFunction((moves) => (window as unknown as { moves: number }).moves === moves, moves);
    const { lat, lng } = await page.evaluate(() => window.voteMap!.base.getCenter());
    const resolution = Number(await page.locator(".page").getAttribute("data-resolution"));
    if (resolution !== 4) continue;
    const cell = latLngToCell(lat, lng, 4);
    const wanted = known.has(cell) ? cell : null;
    cards += Number(wanted !== null);
    await expect.poll(() => page.locator(".cell").getAttribute("data-cell", { timeout: 50 }).catch(() => null)).toBe(wanted);
  }
  expect(cards).toBeGreaterThan(2);
  // One canvas takes the focus, and it has a name.
  const focusable = await page.evaluate(() => [...document.querySelectorAll("canvas")].filter((each) => each.tabIndex >= 0).map((each) => each.getAttribute("aria-label")));
  expect(focusable).toEqual(["Map"]);
});

/** How many points of a grid have a hexagon. */
const found = (page: Page) => page.evaluate(() => {
  const { overlay } = window.voteMap!;
  let count = 0;
  for (let x = 340; x < 1_000; x += 60) for (let y = 120; y < 780; y += 60) count += Number(overlay.pickObject({ x, y }) !== null);
  return count;
});

test("a lost drawing context comes back, with the hexagons, at the same place", async () => {
  const page = await show(`${relay.url}/?match=final&z=3.4&lat=49&lng=8`);
  await isDrawn(page, 3);
  const before = await eventually("hexagons are found", () => found(page));
  open[0]!.mayLose = true;
  await page.evaluate(() => {
    for (const canvas of document.querySelectorAll("canvas")) canvas.getContext("webgl2")!.getExtension("WEBGL_lose_context")!.loseContext();
  });
  await page.getByText("The map has lost its graphics and is drawn anew.").waitFor();
  await page.getByText("The map has lost its graphics").waitFor({ state: "detached" });
  await isDrawn(page, 3);
  await eventually("hexagons are found again", async () => (await found(page)) === before);
  expect(await page.evaluate(() => window.voteMap!.base.getZoom())).toBeCloseTo(3.4, 2);
  // It goes on as before.
  await vote("final", "home", 7);
  await shows(page, await totalOf(database, "final"));
});

test("rates fall and minutes pass without new votes", async () => {
  const page = await show(`${relay.url}/`);
  await page.clock.install({ time: Date.now() });
  // The relay's clock goes on as before. An answer that tells of it would put the page back.
  await page.addInitScript(() => {
    const { get } = Headers.prototype;
    Headers.prototype.get = function (name) {
      return name === "date" ? null : get.call(this, name);
    };
  });
  await vote("clock", "home", 7_000);
  await page.goto(`${relay.url}/?match=clock`);
  await shows(page, 7_000);
  const rate = async () => Number(await page.locator("[data-rate]").getAttribute("data-rate"));
  const columns = () => page.locator("[data-column]").evaluateAll((all) => all.map((each) => Number((each as HTMLElement).dataset.column)));
  await eventually("votes of this minute, or of the last", async () => (await columns()).length === 1 && (await columns())[0]! >= 28);
  await eventually("a rate", async () => (await rate()) > 0);
  const [before] = await columns();
  await page.clock.fastForward("03:00");
  await eventually("the rate is 0", async () => (await rate()) === 0);
  await eventually("the column has moved", async () => before! - (await columns())[0]! >= 3);
  await page.clock.fastForward("30:00");
  await eventually("no column is left", async () => (await columns()).length === 0);
});

test("a token that is put into the address of an open page is used at once", async () => {
  const page = await show(`${guarded.url}/?match=final`);
  open[0]!.mayFail = true;
  await page.getByRole("alert").filter({ hasText: /refuses this page/ }).first().waitFor();
  await page.evaluate((text) => {
    (window as unknown as { mark: number }).mark = 1;
    location.hash = `token=${text}`;
  }, token(600));
  await shows(page, await totalOf(database, "final"));
  await page.locator(".pulse.live").waitFor();
  await page.getByRole("alert").first().waitFor({ state: "detached" });
  expect(await page.evaluate(() => (window as unknown as { mark: number }).mark)).toBe(1);
});

test("a relay that says it is cut off from its database is not live", async () => {
  const scripted = await ScriptedRelay.start({ files: DIST });
  try {
    scripted.fold("final", [[PARIS, { home: 3 }]]);
    const page = await show(`${scripted.url}/?match=final`);
    await shows(page, 3);
    await page.locator(".pulse.live").waitFor();
    scripted.namespace.emit("relay:stale", { since: "2026-07-19T20:11:03.120Z" });
    const note = page.getByRole("alert").filter({ hasText: /^No news since .*:11:03\s[AP]M: the relay cannot reach its database\. Trying again by itself\.$/ });
    await note.waitFor();
    expect(await page.locator(".pulse").textContent()).toBe("Waiting");
    await page.screenshot({ path: `${SHOTS}stale.png` });
    scripted.namespace.emit("relay:stale", { since: null });
    await note.waitFor({ state: "detached" });
    await page.locator(".pulse.live").waitFor();
  } finally {
    await browser.close();
    await scripted.stop();
  }
});
