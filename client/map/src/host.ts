// The page gives the map its files, and a name for scripts. `packed/host.ts` does the same for the package.
import { setWorkerUrl } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import "maplibre-gl/dist/maplibre-gl.css";
import placesUrl from "virtual:places";
import coarseUrl from "world-atlas/countries-110m.json?url";
import fineUrl from "world-atlas/countries-50m.json?url";
import type { Shown } from "./shown.js";

setWorkerUrl(workerUrl);

/** For scripts on the page, such as tests. */
declare global {
  interface Window {
    voteMap?: Shown;
  }
}

/** The map that is shown; undefined: none is. */
export function tellShown(shown?: Shown): void {
  if (shown) window.voteMap = shown;
  else delete window.voteMap;
}

async function read(url: string, signal: AbortSignal): Promise<string> {
  const answer = await fetch(url, { signal });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.text();
}

/** Outlines of countries; those of the whole world in sight are a quarter of the fine ones. */
export const readOutlines = (isFine: boolean, signal: AbortSignal) => read(isFine ? fineUrl : coarseUrl, signal);

export const readPlaces = (signal: AbortSignal) => read(placesUrl, signal);
