// Writes the code of both READMEs to build/snippets, a file a block, named by what it exports, so that it is compiled and run.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const to = new URL("../build/snippets/", import.meta.url);
rmSync(to, { recursive: true, force: true });
mkdirSync(to, { recursive: true });
for (const from of ["../README.md", "../../README.md"]) {
  for (const [, code] of readFileSync(new URL(from, import.meta.url), "utf8").matchAll(/```tsx?\n(.*?)```/gs)) {
    const file = new URL(`${/export function (\w+)/.exec(code)[1]}.tsx`, to);
    if (existsSync(file) && readFileSync(file, "utf8") !== code) throw new Error(`two different blocks are ${file.pathname}`);
    writeFileSync(file, code);
  }
}
