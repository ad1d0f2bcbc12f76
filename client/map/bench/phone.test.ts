// Prints how long a phone waits for a match: until name and score stand, and until hexagons stand on the map. Nothing here can fail by
// being slow. Needs a server and a relay: `testkit/cluster.py run -- npm --prefix client/map run bench -- phone`.
import { expect, test } from "vitest";
import { Browser } from "../e2e/browser.js";
import { fill, isDrawn, shows, totalOf } from "../e2e/match.js";
import { Database, Relay } from "../../test/e2e/rig.js";

const DIST = new URL("../dist/", import.meta.url).pathname;
const VISITS = Number(process.env.VISITS ?? 5);

/** Lighthouse's slow 4G, which throttles requests but no WebSocket, and a processor four times as slow as this one. */
const SLOW_4G = { offline: false, latency: 150, downloadThroughput: (1_638.4 * 1_024) / 8, uploadThroughput: (750 * 1_024) / 8 };
const SLOWER = 4;

const median = (times: number[]) => times.sort((a, b) => a - b)[times.length >> 1]!;
const seconds = (times: number[]) => `${(median(times) / 1_000).toFixed(2)} s (at most ${(times.at(-1)! / 1_000).toFixed(2)})`;

test("a phone's first visit", async () => {
  const database = await Database.create("phone_bench");
  await fill(database, "final");
  const relay = await Relay.start("phone_bench", [`--map-dir=${DIST}`]);
  const [score, map]: [number[], number[]] = [[], []];
  try {
    const total = await totalOf(database, "final");
    for (let visit = 0; visit < VISITS; visit++) {
      const browser = new Browser();
      const { page } = await browser.open("about:blank", { isPhone: true }, [relay.url]);
      const devtools = await page.context().newCDPSession(page);
      await devtools.send("Network.enable");
      await devtools.send("Network.emulateNetworkConditions", SLOW_4G);
      await devtools.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
      const began = performance.now();
      await page.goto(`${relay.url}/?match=final`, { waitUntil: "commit" });
      await shows(page, total);
      score.push(performance.now() - began);
      await isDrawn(page, null);
      map.push(performance.now() - began);
      await browser.close();
    }
    expect(score.length).toBe(VISITS);
    console.log(`name and score after ${seconds(score)}, the map after ${seconds(map)}: medians of ${VISITS} first visits`);
  } finally {
    await relay.stop();
    await database.drop();
  }
});
