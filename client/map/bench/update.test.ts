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
    for (const way of ["ours", "whole"] as const) {
      await page.evaluate((way) => window.play(way, 0), way);
      await page.evaluate((way) => window.play(way, 5), way);
      const before = await script();
      await page.evaluate(([way, folds]) => window.play(way, folds), [way, FOLDS] as const);
      perFold.push(((await script()) - before) / FOLDS);
    }
    const [ours, whole] = perFold as [number, number];
    expect(Math.min(ours, whole)).toBeGreaterThan(0);
    console.log(`script for a fold: ${ours.toFixed(1)} ms; with all data made anew: ${whole.toFixed(1)} ms; ratio ${(whole / ours).toFixed(1)}`);
  } finally {
    await browser.close();
    await server.close();
  }
});
