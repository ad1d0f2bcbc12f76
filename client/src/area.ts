// The part of the world whose cells are wanted: H3 cells, with all that lies in them. Null: all cells.
export type Area = readonly string[] | null;

/** The same area is the same list: lower case, sorted, each once. */
export function areaOf(cells: readonly string[] | null | undefined): Area {
  return cells ? [...new Set(cells.map((cell) => cell.toLowerCase().replace(/^0+/, "")))].sort() : null;
}

export function isSameArea(a: Area, b: Area): boolean {
  return a === b || String(a) === String(b);
}

const resolutionOf = (cell: string) => parseInt(cell[1]!, 16);

/** The cell's parent, or the cell: its index with nothing but 7 for finer digits, and without the digit that says the resolution. */
const parentOf = (cell: string, resolution: number) => BigInt(`0x${cell[0]}0${cell.slice(2)}`) | ((1n << BigInt(45 - 3 * resolution)) - 1n);

/** Tells of a cell whether it is in the area: one of its cells, in one, or around one. */
export function areaTest(area: readonly string[]): (cell: string) => boolean {
  const levels = [...new Set(area.map(resolutionOf))];
  const own = new Set(area.map((cell) => parentOf(cell, resolutionOf(cell))));
  const around = new Set(area.flatMap((cell) => Array.from({ length: resolutionOf(cell) }, (_, resolution) => parentOf(cell, resolution))));
  return (cell) => {
    const resolution = resolutionOf(cell);
    return around.has(parentOf(cell, resolution)) || levels.some((level) => level <= resolution && own.has(parentOf(cell, level)));
  };
}
