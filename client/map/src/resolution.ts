/** The finest that the page asks for; its edges are 66 m long. */
const FINEST = 10;

/** Zoom from which resolution 2 is shown, and from which each finer one: a step is a seventh of the area, so log2(√7) of zoom. */
const FIRST = 0.9;
const STEP = 1.4;

/** How far past a border the zoom must go before the resolution follows, so that it does not flap there. */
const SLACK = 0.2;

/**
 * The resolution whose hexagons are 6 to 16 pixels wide at a zoom; `current` is kept while the zoom is within SLACK of its range.
 *
 * | zoom | < 0.9 | 0.9 | 2.3 | 3.7 | 5.1 | 6.5 | 7.9 | 9.3 | 10.7 | 12.1 |
 * |---|---|---|---|---|---|---|---|---|---|---|
 * | resolution | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 |
 *
 * Tiles have steps of their own (`RESOLUTIONS` in `core/src/geo/tile.rs`): they go by whole zooms, and by cells in a tile.
 */
export function resolutionAt(zoom: number, current?: number): number {
  const at = (z: number) => Math.min(FINEST, Math.max(1, Math.floor((z - FIRST) / STEP + 1e-9) + 2));
  if (current !== undefined && current >= at(zoom - SLACK) && current <= at(zoom + SLACK)) return current;
  return at(zoom);
}
