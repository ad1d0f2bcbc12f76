// `<VoteMap>` out of the tarball, in an application with Vite, in a browser, on a real relay and database.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { cellToLatLng, cellToParent, latLngToCell } from "h3-js";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Browser, type Look, type Watched } from "../../map/e2e/browser.js";
import { Database, eventually, PLACES, Relay } from "../e2e/rig.js";
import { CLIENT, MAP, run, serve } from "./run.js";

/** What the application asks for. */
const VIEW = { zoom: 3.4, latitude: 49, longitude: 8 };
const AWAY: Rgb = [194, 24, 91];
const LAND: Rgb = [251, 250, 247];

type Rgb = readonly [red: number, green: number, blue: number];
type Page = Watched["page"];

const [paris, kyiv, madrid, minsk] = [[48.86, 2.35], [50.45, 30.52], [40.42, -3.7], [53.9, 27.56]].map(([lat, lng]) => latLngToCell(lat!, lng!, 7)) as [string, string, string, string];

const browser = new Browser();
let database: Database;
let relay: Relay;
let site: Server;
let address: string;
let development: ChildProcess | undefined;
let watched: Watched | undefined;

const bin = (name: string) => join(MAP, "node_modules/.bin", name);

const vote = async (team: string, cell: string, votes: number) => {
  await database.rows("SELECT record_vote('final', $1, $2::text, 'FR', $3)", [team, cell, votes]);
  await database.settle();
};

beforeAll(async () => {
  rmSync(join(MAP, "dist"), { recursive: true, force: true });
  await run(bin("tsc"), ["-p", "."], MAP);
  await run(bin("vite"), ["build"], MAP);
  ({ site, address } = await serve(join(MAP, "dist")));
  database = await Database.create("vote_map");
  await vote("home", paris, 5);
  await vote("away", kyiv, 3);
  relay = await Relay.start("vote_map", [`--origins=${address}`]);
});

afterEach(async () => {
  const faults = watched?.faults ?? [];
  watched = undefined;
  await browser.close();
  development?.kill();
  expect(faults).toEqual([]);
});

afterAll(async () => {
  await relay?.stop();
  await database?.drop();
  site?.close();
});

async function open(query = "", look: Look = {}): Promise<Page> {
  watched = await browser.open(`${address}/?relay=${relay.url}${query}`, { width: 1_000, height: 800, ...look }, [relay.url]);
  return watched.page;
}

/** Where the middle of the hexagon around a cell is on the map, by Mercator. */
async function spot(page: Page, cell: string): Promise<{ x: number; y: number }> {
  const { x, y, width, height } = (await page.locator(".vote-map").boundingBox())!;
  const [lat, lng] = cellToLatLng(cellToParent(cell, 3));
  const world = 512 * 2 ** VIEW.zoom;
  const up = (latitude: number) => Math.atanh(Math.sin((latitude * Math.PI) / 180)) / (2 * Math.PI);
  return { x: x + width / 2 + ((lng - VIEW.longitude) / 360) * world, y: y + height / 2 + (up(VIEW.latitude) - up(lat)) * world };
}

/** How far what is seen at a cell is from a colour there: the nearest of the pixels around its middle, for a name may stand on some. */
async function distance(page: Page, cell: string, colour: Rgb): Promise<number> {
  const { x, y } = await spot(page, cell);
  const image = await page.screenshot({ clip: { x: x - 4, y: y - 4, width: 8, height: 8 } });
  const pixels = await page.evaluate(async (url) => {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    const pen = new OffscreenCanvas(picture.width, picture.height).getContext("2d")!;
    pen.drawImage(picture, 0, 0);
    return [...pen.getImageData(0, 0, picture.width, picture.height).data];
  }, `data:image/png;base64,${image.toString("base64")}`);
  const away = Array.from({ length: pixels.length / 4 }, (_, i) => Math.max(...[0, 1, 2].map((part) => Math.abs(pixels[4 * i + part]! - colour[part]!))));
  return Math.min(...away);
}

const seen = (page: Page, cell: string, colour: Rgb) => expect.poll(() => distance(page, cell, colour), { timeout: 120_000 }).toBeLessThan(6);

/** A hexagon of that colour with the land shining through: the layer's opacity, by deck.gl's curve. */
const drawn = (full: Rgb) => LAND.map((land, i) => Math.round(land + (full[i]! - land) * 0.88 ** (1 / 2.2))) as unknown as Rgb;

/** The colour of a team's clear lead, as the legend has it. */
async function legendOf(page: Page, team: string): Promise<Rgb> {
  const colour = await page.locator(".ramps > div").filter({ hasText: team }).locator("i").last().evaluate((step) => getComputedStyle(step).backgroundColor);
  return colour.match(/\d+/g)!.map(Number) as unknown as Rgb;
}

test("hexagons are drawn where there are votes, in the colours of their leaders, and follow votes as they come", async () => {
  const page = await open();
  await page.getByRole("region", { name: "Votes of the cup" }).waitFor();
  const legend = page.locator(".legend");
  await legend.waitFor();
  expect(await legend.locator("bdi.name").allTextContents()).toEqual(["home", "away"]);
  expect(await legendOf(page, "away")).toEqual(AWAY);
  const HOME = drawn(await legendOf(page, "home"));
  await seen(page, paris, HOME);
  await seen(page, kyiv, drawn(AWAY));
  await seen(page, madrid, LAND);

  await vote("home", madrid, 2);
  await seen(page, madrid, HOME);
  await vote("away", paris, 500);
  await expect.poll(() => distance(page, paris, HOME), { timeout: 120_000 }).toBeGreaterThan(60);
  await page.getByText("away leads by 496 votes").waitFor({ state: "attached" });

  const { x, y } = await spot(page, paris);
  await page.mouse.move(x, y);
  await page.getByText(`away leads in ${cellToParent(paris, 3)}`).waitFor();
  await page.locator(`.cell[data-votes="505"]`).waitFor();
  await page.mouse.move(5, 5);
  await expect.poll(() => page.locator("#cell").textContent()).toBe("");
});

test("Vite's development server has it too, with the land below", async () => {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  // As on a first day: packages are not put together yet.
  rmSync(join(MAP, "node_modules/.vite"), { recursive: true, force: true });
  development = spawn(process.execPath, [bin("vite"), "--host=127.0.0.1", `--port=${port}`, "--strictPort"], { cwd: MAP, stdio: "ignore" });
  const here = `http://127.0.0.1:${port}`;
  await eventually("the server answers", () => fetch(here).then(({ ok }) => ok, () => false));
  const own = await Relay.start("vote_map", [`--origins=${here}`]);
  try {
    watched = await browser.open(`${here}/?relay=${own.url}`, { width: 1_000, height: 800 }, [own.url]);
    const { page } = watched;
    await page.locator(".legend").waitFor();
    await seen(page, kyiv, drawn(AWAY));
    await seen(page, minsk, LAND);
  } finally {
    await browser.close();
    await own.stop();
  }
});

test("it speaks the language that is asked for, and leaves the document's alone", async () => {
  const page = await open("&lang=de", { width: 420 });
  const button = page.getByRole("button", { name: /Farben/ });
  await button.click();
  await page.getByText("klar", { exact: true }).waitFor();
  expect(await page.evaluate(() => [document.documentElement.lang, document.title])).toEqual(["en", "map"]);
});

test("without WebGL it says so, and shows the numbers instead", async () => {
  const page = await open("", { before: () => {
    const get = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement, kind: string, ...rest: unknown[]) {
      return /webgl/.test(kind) ? null : (get as (...args: unknown[]) => unknown).call(this, kind, ...rest);
    } as typeof get;
  } });
  await page.getByRole("alert").filter({ hasText: "it has no WebGL" }).waitFor();
  const numbers = page.locator(".numbers");
  await numbers.waitFor();
  expect(await numbers.locator("bdi.name").allTextContents()).toEqual(["away", "home"]);
});

test.runIf(process.env.PICTURES)("the picture of docs", async () => {
  // Each country leans to one team, each city a little otherwise.
  const votes = PLACES.flatMap(([cell, country], i) => {
    const home = Math.round(6 + 5 * Math.sin(country!.charCodeAt(0) * 5 + country!.charCodeAt(1)) + 3 * Math.sin(i * 7));
    return [["home", home] as const, ["away", 12 - home] as const].filter(([, count]) => count > 0)
      .map(([team, count]) => ({ match_id: "cup", team_choice: team, h3_index: cell, country_code: country, votes: count }));
  });
  await database.rows("SELECT bulk_increment($1)", [JSON.stringify(votes)]);
  await database.settle();
  const page = await open("&match=cup", { width: 900, isCalm: true });
  await page.locator(".labels .city").first().waitFor();
  await page.locator(".vote-map[data-resolution='3'] .legend").waitFor();
  const { x, y } = await spot(page, paris);
  await page.mouse.move(x, y);
  await page.locator(".vote-map .cell").waitFor();
  await page.locator(".vote-map").screenshot({ path: join(CLIENT, "../docs/vote-map.png") });
});
