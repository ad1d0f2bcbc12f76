import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { groundOf } from "../src/ground.js";

test.each([["50m", 1_000], ["110m", 100]] as const)("%s: no outline jumps across the map, and every ring of land is closed", (size, least) => {
  const { land, lines: { geometry: { coordinates: lines } } } = groundOf(JSON.parse(readFileSync(new URL(`../node_modules/world-atlas/countries-${size}.json`, import.meta.url), "utf8")));
  const rings = land.geometry.coordinates.flat();
  expect(rings.length).toBeGreaterThan(least);
  expect(lines.length).toBeGreaterThan(least);
  const jumps = [...rings, ...lines].flatMap((line) => line.slice(1).map((to, i) => [line[i]!, to] as const))
    .filter(([from, to]) => Math.abs(to[0]! - from[0]!) > 60 && !(from[1] === -90 && to[1] === -90));
  expect(jumps).toEqual([]);
  expect(rings.filter((ring) => ring.at(-1)!.join() !== ring[0]!.join())).toEqual([]);
  const longitudes = rings.flat().map(([longitude]) => longitude!);
  expect(Math.min(...longitudes)).toBeGreaterThan(-200);
  expect(Math.max(...longitudes)).toBeLessThan(200);
});
