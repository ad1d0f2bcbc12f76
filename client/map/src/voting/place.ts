// Where a vote comes from. Nothing finer than a cell of a few square kilometres leaves the page.
import { cellToParent, getResolution, latLngToCell } from "h3-js";
import type { CellAggregate } from "vote-agg-client";

/** About 5 km². */
const RESOLUTION = 7;

/** Milliseconds until a device that does not find itself is given up. */
const PATIENCE = 20_000;

/** Why there is no place: a text of the page. */
export type NoPlace = "placeNone" | "placeDenied" | "placeLost";

/** Asks the visitor, and then the device, where they are. Rejects with the reason. */
export function askPlace(): Promise<string> {
  return new Promise((found, fail) => {
    if (!navigator.geolocation) return fail("placeNone" satisfies NoPlace);
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => found(latLngToCell(coords.latitude, coords.longitude, RESOLUTION)),
      ({ code, PERMISSION_DENIED }) => fail((code === PERMISSION_DENIED ? "placeDenied" : "placeLost") satisfies NoPlace),
      { timeout: PATIENCE, maximumAge: 600_000 },
    );
  });
}

/** The cell as it is drawn at a resolution. */
export function drawn(cell: string, resolution: number | null): string {
  return resolution === null || getResolution(cell) <= resolution ? cell : cellToParent(cell, resolution);
}

/** The votes of a team in a cell. */
export function votesIn(cells: readonly CellAggregate[], cell: string, team: string): number {
  return cells.find(({ h3Index }) => h3Index === cell)?.votes[team] ?? 0;
}
