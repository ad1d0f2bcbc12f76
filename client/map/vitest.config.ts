import { defineConfig, mergeConfig } from "vitest/config";
import page from "./vite.config.js";

export default mergeConfig(page, defineConfig({ test: { include: ["test/*.test.ts"], testTimeout: 60_000 } }));
