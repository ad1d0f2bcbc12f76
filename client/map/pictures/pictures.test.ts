// Draws the pictures of README and docs, and matches of 2, 14 and 40 teams to look at. ONLY= picks some by name.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { Database, Relay } from "../../test/e2e/rig.js";
import { Browser, type Look } from "../e2e/browser.js";
import { fill, isDrawn, shows, totalOf } from "../e2e/match.js";

const DIST = new URL("../dist/", import.meta.url).pathname;
const SHOTS = new URL("../shots/", import.meta.url).pathname;
const DOCS = new URL("../../../docs/", import.meta.url).pathname;
const ONLY = process.env.ONLY ?? "";

const CLUBS = [
  "Arsenal", "Real Madrid", "Bayern München", "Paris Saint-Germain", "الهلال السعودي", "Manchester City", "Inter", "Ajax", "Benfica", "Galatasaray",
  "Club Atlético Boca Juniors de Buenos Aires", "Flamengo", "鹿島アントラーズ", "დინამო თბილისი",
];
const FLAGS = ["🇫🇷", "🇩🇪", "🇧🇷", "🇯🇵", "🇪🇸"];
const TEAMS: Record<number, string[]> = { 2: ["home", "away"], 14: CLUBS, 40: Array.from({ length: 40 }, (_, i) => `${FLAGS[i % 5]} Country ${i + 1}`) };

const browser = new Browser();
let database: Database;
let relay: Relay;

beforeAll(async () => {
  database = await Database.create("pictures");
  for (const [count, teams] of Object.entries(TEAMS)) {
    await fill(database, `Cup of ${count}`, teams);
    await past(`Cup of ${count}`);
  }
  relay = await Relay.start("pictures", [`--map-dir=${DIST}`]);
});

afterAll(async () => {
  await browser.close();
  await relay?.stop();
  await database?.drop();
});

/** Spreads what has been counted over the last hours, so that there is a past. */
async function past(match: string) {
  for (const table of ["timeline", "country_timeline"]) {
    await database.rows(`UPDATE vote_agg.${table} SET bucket = bucket - interval '70 minutes' WHERE match_id = $1`, [match]);
  }
  for (let minute = 66; minute >= 0; minute -= minute > 30 ? 6 : 2) {
    await database.rows("SELECT bulk_increment(jsonb_agg(jsonb_build_object('match_id', $1::text, 'team_choice', key, 'votes', 1 + (value::bigint * (3 + $2::int % 7)) / 900))) FROM get_realtime_stats($1) s, jsonb_each_text(s.votes)", [match, minute]);
    await database.settle();
    if (minute) await database.rows("UPDATE vote_agg.timeline SET bucket = date_trunc('minute', now()) - make_interval(mins => $2) WHERE match_id = $1 AND bucket > now() - interval '1 minute' AND bucket <> '-infinity'", [match, minute]);
  }
}

async function draw(path: string, address: string, look: Look, resolution: number, isWhole: boolean): Promise<void> {
  if (!path.includes(ONLY)) return;
  const { page } = await browser.open(`${relay.url}${address}`, { ...look, isCalm: true });
  if (!address.startsWith("/embed")) await shows(page, await totalOf(database, new URL(page.url()).searchParams.get("match")!));
  await isDrawn(page, resolution);
  await named(page);
  await page.screenshot({ path, fullPage: isWhole });
  await browser.close();
}

const named = (page: Page) => page.waitForFunction(() => window.voteMap!.names.length > 0 && document.querySelector("svg.momentum, .embed"));

for (const count of Object.keys(TEAMS)) {
  for (const isPhone of [false, true]) {
    for (const colorScheme of ["light", "dark"] as const) {
      test(`${count} teams, ${isPhone ? "phone" : "desktop"}, ${colorScheme}`, () =>
        draw(`${SHOTS}${count}-${isPhone ? "phone" : "desktop"}-${colorScheme}.png`, `/?match=Cup+of+${count}`, { isPhone, colorScheme }, isPhone ? 1 : 2, isPhone));
    }
  }
}

test("the picture of README", () => draw(`${DOCS}live.png`, "/?match=Cup+of+2&z=3.1&lat=44&lng=12", { width: 1_280, height: 720 }, 3, false));

test("the picture of a frame", () => draw(`${DOCS}embed.png`, "/embed?match=Cup+of+14&theme=dark&accent=ff6600&z=3&lat=48&lng=10", { width: 640, height: 480 }, 3, false));
