// Prints what one fold costs the page, beside a page that makes its layer's data anew. Nothing here can fail by being slow.
import { createServer } from "vite";
import { expect, test } from "vitest";
import { Browser } from "../e2e/browser.js";

const ROUNDS = Number(process.env.ROUNDS ?? 20);

test("20,000 cells, 2,000 of them changed", async () => {
  const server = await createServer({ server: { port: 0, host: "127.0.0.1" }, logLevel: "error" });
  await server.listen();
  const browser = new Browser();
  try {
    const address = server.httpServer!.address() as { port: number };
    const { page } = await browser.open(`http://127.0.0.1:${address.port}/bench/index.html`);
    await page.waitForFunction(() => "measure" in window, undefined, { timeout: 300_000 });
    const { ours, whole } = await page.evaluate((rounds) => window.measure(rounds), ROUNDS);
    expect([ours.length, whole.length]).toEqual([ROUNDS, ROUNDS]);
    const middle = (times: number[]) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
    console.log(`a fold on the map: ${middle(ours).toFixed(1)} ms of script; data made anew: ${middle(whole).toFixed(1)} ms; ratio ${(middle(whole) / middle(ours)).toFixed(1)}`);
  } finally {
    await browser.close();
    await server.close();
  }
});
