// Imports point down: no file may reach itself by following them, types included.
import { readdirSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { expect, test } from "vitest";

/** What each file of a folder imports from the same folder. */
function importsOf(folder: string): Map<string, string[]> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => /\.tsx?$/.test(file));
  return new Map(files.map((file) => {
    const targets = [...readFileSync(join(folder, file), "utf8").matchAll(/from "(\.[^"]+)\.js"/g)]
      .map(([, path]) => normalize(join(file, "..", path!)))
      .map((path) => files.find((each) => each.replace(/\.tsx?$/, "") === path) ?? `${path} is missing`);
    return [file.replace(/\\/g, "/"), targets];
  }));
}

/** A path from a file back to itself, if there is one. */
function circle(imports: Map<string, string[]>, path: string[]): string[] | undefined {
  for (const next of imports.get(path.at(-1)!) ?? []) {
    if (next === path[0]) return [...path, next];
    const found = path.includes(next) ? undefined : circle(imports, [...path, next]);
    if (found) return found;
  }
  return undefined;
}

test.each(["src", "map/src"])("no import circle in %s", (folder) => {
  const imports = importsOf(join(import.meta.dirname, "..", folder));
  expect(imports.size).toBeGreaterThan(10);
  expect([...imports.values()].flat().length).toBeGreaterThan(15);
  expect([...imports.keys()].flatMap((file) => circle(imports, [file]) ?? [])).toEqual([]);
});

test("a circle is found", () => {
  expect(circle(new Map([["a", ["b"]], ["b", ["c"]], ["c", ["a"]]]), ["a"])).toEqual(["a", "b", "c", "a"]);
  expect(circle(new Map([["a", ["b"]], ["b", ["c"]], ["c", []]]), ["a"])).toBeUndefined();
});
