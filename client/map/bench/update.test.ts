// Prints what one fold costs the page, beside a page that makes its layer's data anew. Nothing here can fail by being slow.
import { createServer } from "vite";
import { expect, test } from "vitest";
import { Browser } from "../e2e/browser.js";

const FOLDS = Number(process.env.FOLDS ?? 20);

test("20,000 cells, 2,000 of them changed", async () => {
  const server = await createServer({ server: { port: 0, host: "127.0.0.1" }, logLevel: "error" });
  await server.listen();
  const browser = new Browser();
  try {
    const address = server.httpServer!.address() as { port: number };
    const { page } = await browser.open(`http://127.0.0.1:${address.port}/bench/index.html`);
    await page.waitForFunction(() => "play" in window, undefined, { timeout: 300_000 });
    const devtools = await page.context().newCDPSession(page);
    // What the processor spent on the page's own thread, whoever else is busy on the machine.
    await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
    const script = async () => (await devtools.send("Performance.getMetrics")).metrics.find(({ name }) => name === "ScriptDuration")!.value * 1_000;
    const perFold: number[] = [];
    const waits: number[][] = [];
    for (const way of ["ours", "whole"] as const) {
      await page.evaluate((way) => window.play(way, 0), way);
      await page.evaluate((way) => window.play(way, 5), way);
      const before = await script();
      let isOver = false;
      const played = page.evaluate(([way, folds]) => window.play(way, folds), [way, FOLDS] as const).finally(() => (isOver = true));
      while (!isOver) {
        await page.keyboard.press("a");
        await new Promise((done) => setTimeout(done, 50));
      }
      await played;
      perFold.push(((await script()) - before) / FOLDS);
      waits.push((await page.evaluate(() => window.waits.splice(0))).sort((a, b) => a - b));
    }
    const [ours, whole] = perFold as [number, number];
    expect(Math.min(ours, whole)).toBeGreaterThan(0);
    const told = waits.map((times) => `${times[times.length >> 1]!.toFixed(0)} ms, at most ${times.at(-1)!.toFixed(0)} (${times.length} keys)`);
    console.log(`a key meanwhile waits for ${told[0]}; with all data made anew: ${told[1]}`);
    console.log(`script for a fold: ${ours.toFixed(1)} ms; with all data made anew: ${whole.toFixed(1)} ms; ratio ${(whole / ours).toFixed(1)}`);
  } finally {
    await browser.close();
    await server.close();
  }
});
