// The part of GeoJSON (RFC 7946) that cells need. The same as in @types/geojson, which a package cannot use in its own types
// without making everybody install it.

/** Longitude and latitude, in degrees. */
export type Position = number[];

export interface Polygon {
  type: "Polygon";
  coordinates: Position[][];
}

export interface MultiPolygon {
  type: "MultiPolygon";
  coordinates: Position[][][];
}

export interface Feature<G, P> {
  type: "Feature";
  id?: string | number;
  geometry: G;
  properties: P;
}

export interface FeatureCollection<G, P> {
  type: "FeatureCollection";
  features: Feature<G, P>[];
}
