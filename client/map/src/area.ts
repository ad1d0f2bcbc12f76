// What a map asks its votes for: the cells in view by their parents, and a ring of parents around them.
import { gridDisk, latLngToCell } from "h3-js";

/** The relay takes 256. */
const MOST = 240;

/** From a shown cell up to its parent: such parents are 110 to 300 pixels wide. On a large screen it is a step or two more. */
const STEPS = 3;

/** Metres of an edge of resolution 0. */
const EDGE = 1_281_256;

/**
 * The area for a resolution, of a map with this size in pixels, so many pixels a metre at the equator, and these places; null: all cells. `current` is
 * kept while all that is in view lies in it and it is not far too large: so a map that is moved within the ring has its cells already.
 */
export function areaAt(
  width: number, height: number, scale: number, at: (x: number, y: number) => { readonly lat: number; readonly lng: number },
  resolution: number, current: readonly string[] | null,
): readonly string[] | null {
  // Where cells are smallest on the map: at the latitude nearest to the equator.
  const [north, south] = [at(0, 0).lat, at(0, height).lat];
  const nearest = Math.max(0, south, -north);
  for (let parent = resolution - STEPS; parent >= 0; parent--) {
    const edge = ((EDGE / 7 ** (parent / 2)) * scale) / Math.cos((nearest * Math.PI) / 180);
    // A cell has 2.6 times the square of its edge.
    if (width * height > MOST * 2.6 * edge ** 2) continue;
    // Of any cell, a neighbour holds such a point at least. Cells lie over the edge of their parents, so it begins a little outside.
    const seen: string[] = [];
    for (let y = -edge / 3; y < height + edge; y += edge) {
      for (let x = -edge / 3; x < width + edge; x += edge) {
        const { lat, lng } = at(x, y);
        seen.push(latLngToCell(lat, lng, parent));
      }
    }
    const ring = new Set(seen.flatMap((cell) => gridDisk(cell, 1)));
    if (ring.size > MOST) continue;
    return current && current.length <= 2 * ring.size && seen.every((cell) => current.includes(cell)) ? current : [...ring].sort();
  }
  return null;
}
