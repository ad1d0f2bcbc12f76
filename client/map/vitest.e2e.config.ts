import { defineConfig } from "vitest/config";

// One file after the other: a browser that draws with the processor leaves no room for a second.
export default defineConfig({ test: { include: ["**/*.test.ts"], testTimeout: 600_000, hookTimeout: 300_000, expect: { poll: { timeout: 60_000 } }, fileParallelism: false, globalSetup: "e2e/chromium.ts" } });
