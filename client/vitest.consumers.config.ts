import { defineConfig } from "vitest/config";

export default defineConfig({
  // One file after the other: a browser that draws with the processor leaves no room for a second.
  test: { include: ["test/consumers/*.test.ts"], testTimeout: 300_000, hookTimeout: 300_000, globalSetup: "test/consumers/pack.ts", fileParallelism: false },
});
