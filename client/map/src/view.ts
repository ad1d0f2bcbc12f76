/** A place and how near it is: MapLibre's zoom, degrees. */
export interface View {
  readonly zoom: number;
  readonly latitude: number;
  readonly longitude: number;
}
