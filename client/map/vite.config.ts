import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";
import { placesFile } from "./places_data.js";

const client = (file: string) => fileURLToPath(new URL(`../src/${file}.ts`, import.meta.url));

/** Compresses once what the relay would else compress for each visitor. */
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  writeBundle({ dir }) {
    for (const name of readdirSync(dir!, { recursive: true, encoding: "utf8" })) {
      if (!/\.(js|mjs|css|json|svg|html|txt)$/.test(name)) continue;
      const bytes = readFileSync(`${dir}/${name}`);
      writeFileSync(`${dir}/${name}.gz`, gzipSync(bytes, { level: 9 }));
      writeFileSync(`${dir}/${name}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }));
    }
  },
};

/** The page asks for WebSockets and polling: what socket.io-client has for a third transport stays away. */
const withoutWebTransport: Plugin = {
  name: "without-webtransport",
  load: (id) => (/engine\.io-client\/build\/esm\/transports\/webtransport\.js$/.test(id) ? "export const WT = undefined;" : null),
};

export default defineConfig({
  // The page may be served below a path: its files are named relative to it.
  base: "./",
  plugins: [withoutWebTransport, compressed, placesFile()],
  resolve: {
    // The client as it is here, and one React for both.
    alias: [
      { find: "vote-agg-client/react", replacement: client("react") },
      { find: "vote-agg-client/geo", replacement: client("geo") },
      { find: /^vote-agg-client$/, replacement: client("index") },
    ],
    dedupe: ["react", "react-dom", "h3-js", "socket.io-client"],
  },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2_500,
  },
  // For work on the page: `npm run dev` beside a relay on its usual port.
  server: { proxy: { "/matches": "http://127.0.0.1:3001", "/socket.io": { target: "http://127.0.0.1:3001", ws: true } } },
});
