// Areas of maps of every size, anywhere: by the projection that the map has.
import { cellToParent, getResolution, latLngToCell } from "h3-js";
import { describe, expect, test } from "vitest";
import { areaAt } from "../src/area.js";
import { resolutionAt } from "../src/resolution.js";

const RADIAN = Math.PI / 180;

/** A map in Web Mercator: what it asks for, and the cells at points of it. */
function mapAt(width: number, height: number, zoom: number, lat: number, lng: number) {
  const world = 512 * 2 ** zoom;
  const middle = { x: (lng / 360) * world, y: (Math.log(Math.tan(Math.PI / 4 + (lat * RADIAN) / 2)) / (2 * Math.PI)) * world };
  const at = (x: number, y: number) => {
    const [east, north] = [middle.x + x - width / 2, middle.y + height / 2 - y];
    return { lng: (east / world) * 360, lat: (2 * Math.atan(Math.exp((north / world) * 2 * Math.PI)) - Math.PI / 2) / RADIAN };
  };
  const scale = world / 512 / 78_271.5;
  const resolution = resolutionAt(zoom);
  return {
    resolution,
    ask: (current: readonly string[] | null = null) => areaAt(width, height, scale, at, resolution, current),
    /** The shown cells that lie in the window moved by so much. */
    cells: (by: readonly [number, number] = [0, 0]) => {
      const found = new Set<string>();
      for (let x = 0; x <= width; x += 7) for (const y of [0, height / 3, height / 2, height]) found.add(cellOf(at(x + by[0], y + by[1]), resolution));
      for (let y = 0; y <= height; y += 7) for (const x of [0, width]) found.add(cellOf(at(x + by[0], y + by[1]), resolution));
      return [...found];
    },
    moved: (x: number, y: number) => {
      const to = at(width / 2 + x, height / 2 + y);
      return mapAt(width, height, zoom, to.lat, to.lng);
    },
  };
}

const cellOf = ({ lat, lng }: { lat: number; lng: number }, resolution: number) => latLngToCell(lat, lng, resolution);

const PLACES = [[48.9, 2.3], [0, 0], [-17, 179.9], [40.7, -74], [64.7, 10.5], [78.2, 15.6], [-33.9, 151.2]] as const;
const SIZES = [[390, 420], [1_040, 900], [2_160, 1_400], [3_840, 2_160]] as const;

describe.each(SIZES)("a map of %i × %i", (width, height) => {
  test.each(PLACES)("at %f, %f has all cells in view, and those of a ring around it", (lat, lng) => {
    for (const zoom of [2.4, 3.6, 4.2, 5, 6.4, 7.7, 9.3, 11, 13.9]) {
      const map = mapAt(width, height, zoom, lat, lng);
      const area = map.ask();
      if (area === null) {
        expect(map.resolution).toBeLessThan(5);
        continue;
      }
      expect(area.length).toBeLessThanOrEqual(240);
      expect(area).toEqual([...new Set(area)].sort());
      const known = new Set(area);
      const own = getResolution(area[0]!);
      const missing = (cells: readonly string[]) => cells.filter((cell) => !known.has(cellToParent(cell, own)));
      // As far as 60 pixels to each side: half the width of the smallest parent, and more.
      for (const by of [[0, 0], [60, 0], [-60, 0], [0, 60], [0, -60]] as const) expect(missing(map.cells(by))).toEqual([]);
      expect(map.ask(area)).toBe(area);
      expect(map.moved(20, 10).ask(area)).toBe(area);
      if (map.resolution > 4) expect(map.moved(width + 2_500, 0).ask(area)).not.toBe(area);
    }
  });
});

test("a resolution of its own begins anew, and the world is no area", () => {
  const near = mapAt(1_000, 800, 9.5, 48.9, 2.3);
  const far = mapAt(1_000, 800, 5.2, 48.9, 2.3);
  expect(near.ask(far.ask())).toEqual(near.ask());
  expect(far.ask(near.ask())).toEqual(far.ask());
  for (const zoom of [0, 1, 2.2]) expect(mapAt(1_000, 800, zoom, 20, 10).ask()).toBeNull();
});
