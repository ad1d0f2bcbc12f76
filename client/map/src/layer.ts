import { H3HexagonLayer } from "@deck.gl/geo-layers";
import { latLngToCell } from "h3-js";
import type { CellAggregate } from "vote-agg-client";
import type { Palette } from "./colour.js";

export type Colour = [red: number, green: number, blue: number, alpha: number];

type Range = { startRow: number; endRow: number };

/**
 * The cells' indexes, in their order: the same array until a cell comes or goes. Geometry is made from it, so votes that move
 * in cells that are there already make no geometry anew.
 */
export function indexesOf(known: readonly string[], cells: readonly CellAggregate[]): readonly string[] {
  if (known.length === cells.length && known.every((place, i) => place === cells[i]!.h3Index)) return known;
  return cells.map(({ h3Index }) => h3Index);
}

/**
 * The cell that holds a point, the finest of those that are drawn; null: none does. Found by the point and not by what is drawn
 * there: where the map has just been moved, the drawing is a frame or two behind.
 */
export function cellAt(indexes: readonly string[], latitude: number, longitude: number): string | null {
  const drawn = new Set(indexes);
  for (let resolution = 15; resolution >= 0; resolution--) {
    const cell = latLngToCell(latitude, longitude, resolution);
    if (drawn.has(cell)) return cell;
  }
  return null;
}

/** Rows of `next` that `before` lacks, where it begins with `before`; else undefined: all of them are new. */
export function addedRows(next: readonly string[], before: readonly string[]): Range[] | undefined {
  if (before.length === 0 || next.length < before.length || before.some((place, i) => place !== next[i])) return undefined;
  return [{ startRow: before.length, endRow: next.length }];
}

/** The hexagons, each in the colour of its leader; of one team, by its share. */
export function cellLayer(indexes: readonly string[], cells: readonly CellAggregate[], palette: Palette, team: string | null = null) {
  return new H3HexagonLayer<string>({
    id: "cells",
    data: indexes as string[],
    getHexagon: (place) => place,
    getFillColor: (_, { index }) => {
      const { leader, dominance, votes, totalVotes } = cells[index]!;
      return (team === null ? palette.shade(leader, dominance) : palette.share(team, (votes[team] ?? 0) / totalVotes)) as [number, number, number];
    },
    updateTriggers: { getFillColor: [cells, palette, team] },
    // Outlines as they are: the fast way draws one hexagon for all, which is wrong where cells are large.
    highPrecision: true,
    extruded: false,
    stroked: false,
    // Room between them, and what lies below shining through: one sees where they are.
    coverage: 0.94,
    opacity: 0.88,
    pickable: true,
    _subLayerProps: { "hexagon-cell-hifi": { _dataDiff: addedRows } },
  });
}

/** The outline of the cell that is looked at. */
export function markLayer(place: string | null, colour: Colour) {
  return new H3HexagonLayer<string>({
    id: "mark",
    data: place === null ? [] : [place],
    getHexagon: (each) => each,
    highPrecision: true,
    extruded: false,
    filled: false,
    stroked: true,
    getLineColor: colour,
    lineWidthUnits: "pixels",
    getLineWidth: 2,
    updateTriggers: { getLineColor: colour },
  });
}
