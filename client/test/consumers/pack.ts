// Packs the package as npm does, once for all tests, and unpacks it into the projects that use it.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { CLIENT, MAP, NODE, run, WEB } from "./run.js";

declare module "vitest" {
  interface ProvidedContext {
    /** The files of the tarball. */
    packed: string[];
  }
}

export default async function pack(project: TestProject): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "vote_agg.pack."));
  // As from a clean checkout: what is not made by packing is not there.
  rmSync(join(CLIENT, "dist"), { recursive: true, force: true });
  const [{ filename, files }] = JSON.parse(await run("npm", ["pack", "--json", "--silent", "--pack-destination", folder], CLIENT)) as
    [{ filename: string; files: { path: string }[] }];
  for (const each of [NODE, WEB, MAP]) {
    const to = join(each, "node_modules/vote-agg-client");
    rmSync(to, { recursive: true, force: true });
    mkdirSync(to);
    await run("tar", ["-xzf", join(folder, filename), "--strip-components=1", "-C", to], each);
  }
  rmSync(folder, { recursive: true });
  project.provide("packed", files.map(({ path }) => path));
}
