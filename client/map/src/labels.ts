// Names of countries and cities on the map, by zoom: drawn by the page itself, so that no font or glyph comes from anywhere.
import type { Map as Base } from "maplibre-gl";
import type { Bounds, Places } from "./places.js";
import { countryName } from "./words.js";

export interface Frame {
  readonly zoom: number;
  readonly latitude: number;
  readonly longitude: number;
  readonly width: number;
  readonly height: number;
}

export interface Label {
  readonly name: string;
  readonly kind: "country" | "city";
  /** The middle of a country's name; the dot of a city's. */
  readonly x: number;
  readonly y: number;
}

/** Labels at the same time. */
const MOST = 60;

const LINE = 16;
const GAP = 4;

/** Below this zoom only countries have names, above the other one only cities. */
const CITIES_FROM = 2.6;
const COUNTRIES_TO = 6.5;

/** The fewest people, in thousands, of a city that has a name at a zoom: a quarter with each step, as the land in sight. */
const fewest = (zoom: number) => 6_000 / 4 ** (zoom - CITIES_FROM);

const mercator = (latitude: number) => {
  const sine = Math.sin((latitude * Math.PI) / 180);
  return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
};

/** The labels that have room, the most important first. `measure` says how wide a name is. */
export function placeLabels(frame: Frame, places: Places, measure: (name: string, kind: Label["kind"]) => number): Label[] {
  const { zoom, width, height } = frame;
  const world = 512 * 2 ** zoom;
  const top = mercator(frame.latitude);
  const x = (longitude: number) => ((((longitude - frame.longitude + 540) % 360 + 360) % 360 - 180) / 360) * world + width / 2;
  const y = (latitude: number) => (mercator(latitude) - top) * world + height / 2;
  const labels: Label[] = [];
  const boxes: (readonly [left: number, top: number, right: number, bottom: number])[] = [];
  const put = (label: Label, left: number, right: number) => {
    const box = [left - GAP, label.y - LINE / 2 - GAP, right + GAP, label.y + LINE / 2 + GAP] as const;
    if (box[0] < 0 || box[1] < 0 || box[2] > width || box[3] > height) return;
    if (boxes.some(([l, t, r, b]) => box[0] < r && box[2] > l && box[1] < b && box[3] > t)) return;
    boxes.push(box);
    labels.push(label);
  };
  if (zoom < COUNTRIES_TO) {
    for (const { code, bounds, width: degrees } of places.all) {
      const [longitude, latitude] = middle(bounds);
      const name = countryName(code);
      const wide = measure(name, "country");
      const at = { name, kind: "country", x: x(longitude), y: y(latitude) } as const;
      if ((degrees / 360) * world > wide * 0.6) put(at, at.x - wide / 2, at.x + wide / 2);
      if (labels.length === MOST) return labels;
    }
  }
  if (zoom < CITIES_FROM) return labels;
  for (const { name, latitude, longitude, people } of places.cities) {
    if (people < fewest(zoom) || labels.length === MOST) break;
    const at = { name, kind: "city", x: x(longitude), y: y(latitude) } as const;
    if (at.x > 0 && at.y > 0 && at.x < width && at.y < height) put(at, at.x - 3, at.x + 6 + measure(name, "city"));
  }
  return labels;
}

function middle([[west, south], [east, north]]: Bounds): [longitude: number, latitude: number] {
  return [(west + east) / 2, (south + north) / 2];
}

const FONTS = { country: "600 12px", city: "500 12px" };

/** A layer of labels above the map. */
export class Labels {
  private readonly layer = document.createElement("div");
  private readonly spans: HTMLSpanElement[] = [];
  private readonly widths = new Map<string, number>();
  private readonly pen = document.createElement("canvas").getContext("2d");

  constructor(private readonly base: Base) {
    this.layer.className = "labels";
    this.layer.setAttribute("aria-hidden", "true");
    base.getContainer().append(this.layer);
  }

  /** The names that are shown, after drawing them. */
  draw(places: Places): readonly string[] {
    const { lat: latitude, lng: longitude } = this.base.getCenter();
    const { clientWidth: width, clientHeight: height } = this.base.getContainer();
    const labels = placeLabels({ zoom: this.base.getZoom(), latitude, longitude, width, height }, places, this.measure);
    for (const [i, { name, kind, x, y }] of labels.entries()) {
      const span = (this.spans[i] ??= this.layer.appendChild(document.createElement("span")));
      if (span.textContent !== name) span.textContent = name;
      if (span.className !== kind) span.className = kind;
      span.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    }
    for (const span of this.spans.splice(labels.length)) span.remove();
    return labels.map(({ name }) => name);
  }

  remove(): void {
    this.layer.remove();
  }

  private readonly measure = (name: string, kind: Label["kind"]): number => {
    const key = `${kind} ${name}`;
    const known = this.widths.get(key);
    if (known !== undefined) return known;
    if (this.pen) this.pen.font = `${FONTS[kind]} ${getComputedStyle(this.layer).fontFamily}`;
    const width = this.pen?.measureText(name).width ?? name.length * 7;
    this.widths.set(key, width);
    return width;
  };
}
