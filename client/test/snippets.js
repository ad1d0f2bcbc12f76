// Writes the code of both READMEs and of docs/ to build/snippets, a file a block, named by its export, so that it is compiled and run.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const to = new URL("../build/snippets/", import.meta.url);
const docs = new URL("../../docs/", import.meta.url);
rmSync(to, { recursive: true, force: true });
mkdirSync(to, { recursive: true });
const pages = readdirSync(docs, { recursive: true }).filter((name) => name.endsWith(".md")).map((name) => new URL(name, docs));
for (const from of [new URL("../README.md", import.meta.url), new URL("../../README.md", import.meta.url), ...pages]) {
  for (const [, code] of readFileSync(from, "utf8").matchAll(/```tsx?\n(.*?)```/gs)) {
    const file = new URL(`${/export function (\w+)/.exec(code)[1]}.tsx`, to);
    if (existsSync(file) && readFileSync(file, "utf8") !== code) throw new Error(`two different blocks are ${file.pathname}`);
    writeFileSync(file, code);
  }
}
