// The package gives `<VoteMap>` its files as modules, which every bundler knows.
import { getWorkerUrl, setWorkerUrl } from "maplibre-gl";

/** Vite's development server, where it has put packages together: what they name beside them is left behind, and is had by its name. */
const vite = /^(.*?\/)(?:@fs\/.*)?node_modules\/\.vite\//.exec(import.meta.url)?.[1];

/** Bundlers know this form, and take the file along. */
const workerUrl = () => new URL("maplibre-gl/dist/maplibre-gl-worker.mjs", import.meta.url).href;

// An application that has set a worker keeps it.
if (!getWorkerUrl()) setWorkerUrl(vite ? `${vite}@id/maplibre-gl/dist/maplibre-gl-worker.mjs?worker_file&type=module` : workerUrl());

/** An application has names of its own. */
export function tellShown(): void {}

export const readOutlines = async (isFine: boolean) => (await (isFine ? import("text:fine") : import("text:coarse"))).default;

export const readPlaces = async () => (await import("text:places")).default;
