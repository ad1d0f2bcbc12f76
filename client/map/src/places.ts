// Cities and countries: what is near, what is called so, where a country is.
import { cellToLatLng, getResolution, latLngToCell } from "h3-js";
import { readPlaces } from "./host.js";
import { say } from "./language.js";
import { byName, isFound } from "./teams.js";
import { countryName, formatDistance } from "./words.js";

export interface City {
  readonly name: string;
  readonly country: string;
  readonly latitude: number;
  readonly longitude: number;
  /** In thousands. */
  readonly people: number;
}

export type Bounds = [southWest: [longitude: number, latitude: number], northEast: [longitude: number, latitude: number]];

export interface Country {
  readonly code: string;
  readonly cities: readonly City[];
  /** Where most of its people live, with some room. */
  readonly bounds: Bounds;
  /** How wide that is, in degrees. */
  readonly width: number;
}

/** A place that a search has found. */
export interface Found {
  readonly name: string;
  readonly bounds: Bounds;
}

/** Results of a search. */
const MOST = 8;

/** Within so many kilometres, a city is near. */
const NEAR = 25;

const KILOMETRES = 111.2;
const RADIANS = Math.PI / 180;

function distance(latitude: number, longitude: number, city: City): number {
  const width = Math.cos(((latitude + city.latitude) / 2) * RADIANS);
  const across = Math.abs(((longitude - city.longitude + 540) % 360) - 180) * width;
  return Math.hypot(latitude - city.latitude, across) * KILOMETRES;
}

/** The value below which a share of the people lives. */
function quantile(cities: readonly City[], value: (city: City) => number, share: number): number {
  const sorted = [...cities].sort((a, b) => value(a) - value(b));
  let left = share * sorted.reduce((sum, { people }) => sum + people, 0);
  return value(sorted.find(({ people }) => (left -= people) <= 0) ?? sorted.at(-1)!);
}

/** A box around a place, at least so many degrees to each side. */
function around(west: number, south: number, east: number, north: number, room: number): Bounds {
  const [x, y] = [Math.max(room, (east - west) * 0.15), Math.max(room, (north - south) * 0.15)];
  return [[west - x, Math.max(-84, south - y)], [east + x, Math.min(84, north + y)]];
}

function countryOf(code: string, cities: readonly City[]): Country {
  const [longitude, latitude] = [(city: City) => city.longitude, (city: City) => city.latitude];
  // Without a few per cent: else the view of the United States reaches from Alaska to Hawaii.
  const [west, east] = [0.02, 0.98].map((share) => quantile(cities, longitude, share)) as [number, number];
  const [south, north] = [0.02, 0.98].map((share) => quantile(cities, latitude, share)) as [number, number];
  return { code, cities, bounds: around(west, south, east, north, 1), width: Math.max(east - west, north - south) };
}

export class Places {
  private readonly countries: ReadonlyMap<string, Country>;

  /** Cities come biggest first. */
  constructor(readonly cities: readonly City[]) {
    const byCountry = new Map<string, City[]>();
    for (const city of cities) byCountry.set(city.country, [...(byCountry.get(city.country) ?? []), city]);
    this.countries = new Map([...byCountry].map(([code, own]) => [code, countryOf(code, own)]));
  }

  static parse(text: string): Places {
    return new Places(text.split("\n").map((line) => {
      const [name, country, latitude, longitude, people] = line.split("\t") as [string, string, string, string, string];
      return { name, country, latitude: Number(latitude), longitude: Number(longitude), people: Number(people) };
    }));
  }

  /** Biggest city first. */
  get all(): Iterable<Country> {
    return this.countries.values();
  }

  country(code: string): Country | undefined {
    return this.countries.get(code);
  }

  /** What is near a cell, in words: the biggest city in it, else the nearest one. */
  near(cell: string): string {
    const [latitude, longitude] = cellToLatLng(cell);
    const resolution = getResolution(cell);
    let nearest: City | undefined;
    let least = Infinity;
    for (const city of this.cities) {
      const far = distance(latitude, longitude, city);
      if (far < least) [nearest, least] = [city, far];
      // No cell of resolution 0 is wider than 1,400 km from its middle; each finer one is by the root of seven smaller.
      if (far < 1_400 / Math.sqrt(7) ** resolution && latLngToCell(city.latitude, city.longitude, resolution) === cell) return say("near", { place: placeName(city) });
    }
    return least <= NEAR ? say("near", { place: placeName(nearest!) }) : say("away", { km: formatDistance(least), place: placeName(nearest!) });
  }

  /** Countries and cities that are called so; those that begin so first, then the biggest. */
  find(sought: string): Found[] {
    if (!sought.trim()) return [];
    const countries = [...this.countries.values()].map(({ code, bounds }) => ({ name: countryName(code), bounds }))
      .filter(({ name }) => isFound(name, sought)).sort((a, b) => a.name.length - b.name.length || byName(a.name, b.name)).slice(0, MOST / 2);
    const cities = this.cities.filter(({ name }) => isFound(name, sought)).slice(0, MOST - countries.length)
      .map((city) => ({ name: placeName(city), bounds: around(city.longitude, city.latitude, city.longitude, city.latitude, 0.6) }));
    return [...countries, ...cities];
  }

  /** The reader's country: that of the city that the time zone is called by, else that of the language. */
  home(timeZone: string, locales: readonly string[]): string | null {
    const name = timeZone.split("/").at(-1)!.replaceAll("_", " ");
    const city = this.cities.find((city) => city.name === name || city.name === `${name} City`);
    if (city) return city.country;
    for (const locale of locales) {
      const region = /^[a-z]{2,3}-(?:[a-z]{4}-)?([a-z]{2})$/i.exec(locale)?.[1]?.toUpperCase();
      if (region && this.countries.has(region)) return region;
    }
    return null;
  }
}

const placeName = ({ name, country }: City) => `${name}, ${countryName(country)}`;

export async function loadPlaces(signal: AbortSignal): Promise<Places> {
  return Places.parse(await readPlaces(signal));
}
