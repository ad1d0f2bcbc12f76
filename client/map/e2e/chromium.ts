// One Chromium for all files of tests: to start one takes longer than most tests.
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
  "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** How it is started. */
export const LAUNCH = { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: FLAGS, timeout: 120_000 };

/** The variable that tells where it listens. */
export const AT = "CHROMIUM_AT";

/** Starts it, and says what ends it. */
export default async function share(): Promise<() => Promise<void>> {
  const server = await chromium.launchServer(LAUNCH);
  process.env[AT] = server.wsEndpoint();
  return () => server.close();
}
