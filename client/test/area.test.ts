import { cellToCenterChild, cellToChildren, cellToParent, getPentagons, getRes0Cells, getResolution, gridDisk } from "h3-js";
import { describe, expect, test } from "vitest";
import { areaOf, areaTest, isSameArea } from "../src/area.js";
import type { AreaCells, PlaceVotes, Snapshot } from "../src/message.js";
import { applyMessage } from "../src/state.js";

const NEW_YORK = "872a1072bffffff";
const JERSEY = "872a10728ffffff";
const PARIS = "871fb4662ffffff";
const LYON = "871f90025ffffff";
const FRANCE = "811fbffffffffff";
const AMERICA = "812abffffffffff";

/** The same by parents. */
function isIn(area: readonly string[], cell: string): boolean {
  return area.some((own) => {
    const resolution = Math.min(getResolution(own), getResolution(cell));
    return cellToParent(own, resolution) === cellToParent(cell, resolution);
  });
}

test("a cell is in an area when it is one of its cells, lies in one, or holds one", () => {
  const [pentagon] = getPentagons(1) as [string];
  const near = [cellToParent(PARIS, 3), cellToParent(PARIS, 0), pentagon];
  const cells = [...getRes0Cells(), ...near.flatMap((cell) => gridDisk(cell, 2)), ...near.flatMap((cell) => cellToChildren(cell, getResolution(cell) + 3)),
    ...near.map((cell) => cellToCenterChild(cell, 15)), PARIS, NEW_YORK, JERSEY, LYON];
  for (const area of [[FRANCE], [PARIS], [pentagon], [cellToCenterChild(pentagon, 15)], [FRANCE, PARIS], [cellToParent(PARIS, 5), cellToParent(PARIS, 2), AMERICA],
    gridDisk(cellToParent(PARIS, 4), 3), cellToChildren(FRANCE, 3), getRes0Cells()]) {
    const test = areaTest(area);
    expect(cells.filter(test)).toEqual(cells.filter((cell) => isIn(area, cell)));
  }
});

test("the same cells are the same area", () => {
  expect(areaOf([AMERICA.toUpperCase(), FRANCE, `0${AMERICA}`])).toEqual([FRANCE, AMERICA]);
  expect([areaOf(null), areaOf(undefined)]).toEqual([null, null]);
  expect(isSameArea(areaOf([FRANCE]), [FRANCE]) && isSameArea(null, null)).toBe(true);
  expect(isSameArea(null, []) || isSameArea([FRANCE], [AMERICA]) || isSameArea([FRANCE], null)).toBe(false);
});

describe("cells that come into an area", () => {
  const stats = { total: 5, votes: { home: 5 }, leader: "home", dominance: 1, per_minute: 0 };
  const snapshot: Snapshot = {
    v: 1, match: "final", seq: 7, epoch: "e1", at: null, status: "open", resolution: null, stats, countries: [["FR", { home: 5 }]], area: [FRANCE],
    cells: [[PARIS, { home: 1 }], ["801ffffffffffff", { home: 4 }]],
  };
  const arrived = (more: Partial<AreaCells> = {}): AreaCells => ({ v: 1, match: "final", seq: 7, epoch: "e1", resolution: null, area: [AMERICA], cells: [[NEW_YORK, { home: 2 }]], ...more });
  const start = applyMessage(undefined, snapshot)!;
  const votes = (state = start) => Object.fromEntries(state.aggregates.map((cell) => [cell.h3Index, cell.votes]));

  test("take the place of those that leave", () => {
    expect(start.area).toEqual([FRANCE]);
    const moved = applyMessage(start, arrived())!;
    expect(moved).toEqual({ ...start, area: [AMERICA], aggregates: moved.aggregates });
    expect(votes(moved)).toEqual({ [NEW_YORK]: { home: 2 } });
    expect([moved.countries, moved.stats]).toEqual([start.countries, start.stats]);
    const both = applyMessage(start, arrived({ area: [FRANCE, AMERICA] }))!;
    expect(votes(both)).toEqual({ ...votes(), [NEW_YORK]: { home: 2 } });
    expect(both.aggregates[0]).toBe(start.aggregates[0]);
    const all: PlaceVotes[] = [[NEW_YORK, { home: 2 }], [LYON, { home: 1 }]];
    expect(votes(applyMessage(both, arrived({ area: null, cells: all.slice(1) })))).toEqual({ ...votes(both), [LYON]: { home: 1 } });
  });

  test("are of no use at another resolution or in another history, and ask for what is missing when a message is", () => {
    for (const other of [{ resolution: 3 }, { epoch: "e2" }, { match: "cup" }, { seq: 6 }]) expect(applyMessage(start, arrived(other))).toBe(start);
    const gap = applyMessage(start, arrived({ seq: 8 }))!;
    expect(gap).toEqual({ ...start, stale: "gap" });
    expect(applyMessage(gap, arrived())).toBe(gap);
    expect(applyMessage(undefined, arrived())).toBeUndefined();
  });
});
