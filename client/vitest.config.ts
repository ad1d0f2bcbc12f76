import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (file: string) => fileURLToPath(new URL(`src/${file}.ts`, import.meta.url));

export default defineConfig({
  // The README's code names the package; it is run with what is here.
  resolve: {
    alias: [
      { find: "vote-agg-client/react", replacement: source("react") },
      { find: "vote-agg-client/geo", replacement: source("geo") },
      { find: /^vote-agg-client$/, replacement: source("index") },
    ],
  },
  test: { include: ["test/*.test.{ts,tsx}"], testTimeout: 180_000 },
});
