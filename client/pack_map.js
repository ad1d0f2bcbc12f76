// Makes `vote-agg-client/map` of the live page's own files: dist/map, dist/cjs/map, dist/map.css. `tsc` has made the rest of dist before.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const text = (path) => readFileSync(at(path), "utf8");

/** Files that the page fetches from where it lies. The package has them as modules, which come when they are needed. */
const TEXTS = {
  coarse: text("map/node_modules/world-atlas/countries-110m.json"),
  fine: text("map/node_modules/world-atlas/countries-50m.json"),
  places: await placesText(),
};

/** Those of `map/places_data.ts`, as Vite gives them to the page. */
async function placesText() {
  const entry = new URL("map/places_data.ts", import.meta.url);
  const define = { "import.meta.url": JSON.stringify(entry.href) };
  const { outputFiles } = await build({ entryPoints: [fileURLToPath(entry)], bundle: true, platform: "node", format: "esm", write: false, define });
  const { placesText } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString("base64")}`);
  return placesText();
}

/** What comes from elsewhere: the peers, the hook beside it, the texts; `stage`: where the code that draws is, where it is not built along. */
const seams = (stage) => ({
  name: "seams",
  setup({ onResolve }) {
    const external = (path) => ({ path, external: true });
    onResolve({ filter: /^(react|react\/jsx-runtime|h3-js|maplibre-gl|@deck\.gl\/[a-z-]+)$/ }, ({ path }) => external(path));
    onResolve({ filter: /^vote-agg-client\/react$/ }, () => external("../react.js"));
    onResolve({ filter: /^text:/ }, ({ path }) => external(`./${path.slice(5)}.js`));
    onResolve({ filter: /^\.\/host\.js$/ }, () => ({ path: at("map/src/packed/host.ts") }));
    if (stage) onResolve({ filter: /^\.\/PackedStage\.js$/ }, () => external(stage));
  },
});

const OPTIONS = { bundle: true, target: "es2022", jsx: "automatic", logLevel: "warning" };
const src = (name) => at(`map/src/packed/${name}.tsx`);

await build({
  ...OPTIONS, format: "esm", splitting: true, entryPoints: [src("VoteMap"), src("PackedStage")], outdir: at("dist/map"), plugins: [seams()],
});
// MapLibre comes as ES modules alone, so the code that draws does too: both forms load the same one.
await build({ ...OPTIONS, format: "cjs", entryPoints: [src("VoteMap")], outdir: at("dist/cjs/map"), plugins: [seams("../../map/PackedStage.js")] });
for (const [name, content] of Object.entries(TEXTS)) writeFileSync(at(`dist/map/${name}.js`), `export default ${JSON.stringify(content)};\n`);

const tones = text("map/src/tones.css").replaceAll(":root", ".vote-map");
const styles = `@import "maplibre-gl/dist/maplibre-gl.css";\n${tones}\n.vote-map {\n${text("map/src/map.css")}\n}\n${text("map/src/packed/vote_map.css")}`;
await build({
  ...OPTIONS, stdin: { contents: styles, loader: "css" }, external: ["maplibre-gl/*"], target: ["chrome111", "firefox113", "safari16.4"], outfile: at("dist/map.css"),
});
// So that a strict compiler takes its import.
writeFileSync(at("dist/map.css.d.ts"), "export {};\n");

// The types of what is public, which name nothing but React and this package.
const declared = ["packed/VoteMap.tsx", "packed/props.ts", "view.ts"].map((name) => at(`map/src/${name}`));
const flags = "--noResolve --noCheck --declaration --emitDeclarationOnly --isolatedDeclarations --skipLibCheck --ignoreConfig --target es2022 --module esnext --jsx react-jsx";
execFileSync(at("node_modules/.bin/tsc"), [...flags.split(" "), "--rootDir", at("map/src"), "--outDir", at("build/map_types"), ...declared], { stdio: "inherit" });
for (const folder of ["dist/map", "dist/cjs/map"]) {
  mkdirSync(at(folder), { recursive: true });
  for (const name of ["packed/VoteMap", "packed/props", "view"]) {
    const types = text(`build/map_types/${name}.d.ts`).replaceAll('"vote-agg-client"', '"../index.js"').replaceAll('"../view.js"', '"./view.js"');
    writeFileSync(at(`${folder}/${name.split("/").at(-1)}.d.ts`), types);
  }
}

writeFileSync(at("dist/map/NOTICE.txt"), `The map has parts that come from others.

PackedStage.js: topojson-client (https://github.com/topojson/topojson-client)
${text("map/node_modules/topojson-client/LICENSE")}
coarse.js, fine.js: world-atlas (https://github.com/topojson/world-atlas), outlines of Natural Earth, which are in the public domain
${text("map/node_modules/world-atlas/LICENSE")}
places.js: cities of GeoNames (https://www.geonames.org/), licensed under Creative Commons Attribution 4.0
(https://creativecommons.org/licenses/by/4.0/). Changed: a selection of cities and columns.
`);
