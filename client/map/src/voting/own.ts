import { H3HexagonLayer } from "@deck.gl/geo-layers";
import type { Colour } from "../layer.js";

/** The visitor's own hexagon. */
export interface Own {
  readonly cell: string;
  /** The fold that counts the vote has just come. */
  readonly isGlowing: boolean;
}

/** Its outline, which is wide for a moment when the vote is counted. */
export function ownLayer(own: Own | null, colour: Colour) {
  const width = own?.isGlowing ? 12 : 4;
  return new H3HexagonLayer<string>({
    id: "own",
    data: own === null ? [] : [own.cell],
    getHexagon: (each) => each,
    highPrecision: true,
    extruded: false,
    filled: false,
    stroked: true,
    getLineColor: colour,
    lineWidthUnits: "pixels",
    getLineWidth: width,
    transitions: { getLineWidth: 400 },
    updateTriggers: { getLineColor: colour, getLineWidth: width },
  });
}
