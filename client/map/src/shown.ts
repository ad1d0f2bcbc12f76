import type { MapLibreOverlay } from "@deck.gl/maplibre";
import type { Map as Base } from "maplibre-gl";

/** A map that is drawn. */
export interface Shown {
  readonly base: Base;
  readonly overlay: MapLibreOverlay;
  /** The cells that are drawn, in deck.gl's order. */
  indexes: readonly string[];
  /** The names that are on the map. */
  names: readonly string[];
}
