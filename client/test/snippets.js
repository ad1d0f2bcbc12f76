// Writes the README's code to build/snippets, a file a block, named by what it exports, so that it is compiled and run.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const from = new URL("../README.md", import.meta.url);
const to = new URL("../build/snippets/", import.meta.url);
rmSync(to, { recursive: true, force: true });
mkdirSync(to, { recursive: true });
for (const [, code] of readFileSync(from, "utf8").matchAll(/```tsx?\n(.*?)```/gs)) {
  const name = /export function (\w+)/.exec(code)[1];
  writeFileSync(new URL(`${name}.tsx`, to), code);
}
