// The projects that use the package, and how their tools are run.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { promisify } from "node:util";

export const CLIENT = join(import.meta.dirname, "../..");
export const NODE = join(CLIENT, "consumers/node");
export const WEB = join(CLIENT, "consumers/web");
export const MAP = join(CLIENT, "consumers/map");

export async function run(command: string, args: string[], cwd: string, environment: NodeJS.ProcessEnv = {}): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd, env: { ...process.env, NODE_ENV: undefined, NEXT_TELEMETRY_DISABLED: "1", ...environment } });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(" ")}\n${stdout}\n${stderr}`);
  }
}

const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css" };

/** A site of the files of a folder, and its address. */
export async function serve(folder: string): Promise<{ site: Server; address: string }> {
  const site = createServer((request, response) => {
    const path = new URL(request.url!, "http://x").pathname;
    const file = path === "/" ? "index.html" : path;
    try {
      response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
      response.end(readFileSync(join(folder, file)));
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  await once(site, "listening");
  return { site, address: `http://127.0.0.1:${(site.address() as AddressInfo).port}` };
}
