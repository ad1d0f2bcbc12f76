// The cities that ship (fixtures/cities.tsv) as a small file of the page: name, country, degrees, thousands of people; biggest first.
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const CITIES = new URL("../../fixtures/cities.tsv", import.meta.url);

export function placesText(): string {
  const [head, ...rows] = readFileSync(CITIES, "utf8").trim().split("\n").map((line) => line.split("\t"));
  const column = (name: string) => head!.indexOf(name);
  const [name, country, lat, lng, people] = ["name", "country_code", "lat", "lng", "population"].map(column) as [number, number, number, number, number];
  return rows.map((row) => [row[name], row[country], Number(row[lat]).toFixed(2), Number(row[lng]).toFixed(2), Math.round(Number(row[people]) / 1_000)].join("\t")).join("\n");
}

const ID = "virtual:places";

/** The address of that file, as a module's only export. */
export function placesFile(): Plugin {
  let isBuild = false;
  return {
    name: "places",
    configResolved: ({ command }) => void (isBuild = command === "build"),
    resolveId: (id) => (id === ID ? `\0${ID}` : undefined),
    load(id) {
      if (id !== `\0${ID}`) return undefined;
      if (!isBuild) return `export default ${JSON.stringify(`data:text/plain;base64,${Buffer.from(placesText()).toString("base64")}`)}`;
      const file = this.emitFile({ type: "asset", name: "places.txt", source: placesText() });
      return `export default import.meta.ROLLUP_FILE_URL_${file}`;
    },
  };
}
