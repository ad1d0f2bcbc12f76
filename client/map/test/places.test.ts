// Names of places: what is near, what is found, what has room on the map.
import { latLngToCell } from "h3-js";
import { describe, expect, test } from "vitest";
import { placesText } from "../places_data.js";
import { placeLabels } from "../src/labels.js";
import { Places } from "../src/places.js";

const places = Places.parse(placesText());
const cell = (latitude: number, longitude: number, resolution: number) => latLngToCell(latitude, longitude, resolution);

test("a cell is near its biggest city, else so far from the nearest one", () => {
  expect(places.cities.length).toBeGreaterThan(5_000);
  expect(places.near(cell(51.5, -0.12, 3))).toBe("Near London, United Kingdom");
  expect(places.near(cell(45.76, 4.84, 7))).toBe("Near Lyon, France");
  expect(places.near(cell(48.86, 2.35, 1))).toMatch(/^Near (Paris|London), /);
  expect(places.near(cell(0, -30, 5))).toMatch(/^[\d,.]+ km from .+, .+$/);
  // Across the antimeridian, and at a pole.
  expect(places.near(cell(-16.5, -179.9, 5))).toMatch(/km from .+, Fiji$/);
  expect(places.near(cell(89.9, 0, 2))).toMatch(/km from/);
});

test("every city is near itself at every resolution that the page shows", () => {
  for (const { name, latitude, longitude } of places.cities.filter((_, i) => i % 97 === 0)) {
    for (const resolution of [1, 4, 7, 10]) expect(places.near(cell(latitude, longitude, resolution)), `${name} ${resolution}`).toMatch(/^Near /);
  }
});

describe("a search", () => {
  test("finds countries first, then cities, biggest first, without marks", () => {
    expect(places.find("jap").map(({ name }) => name)[0]).toBe("Japan");
    expect(places.find("sao paulo")[0]!.name).toBe("São Paulo, Brazil");
    expect(places.find("london").map(({ name }) => name).slice(0, 1)).toEqual(["London, United Kingdom"]);
    expect(places.find("  ")).toEqual([]);
    expect(places.find("xyzzy")).toEqual([]);
    expect(places.find("a").length).toBe(8);
  });

  test("a country is where its people live", () => {
    const [[west, south], [east, north]] = places.country("US")!.bounds;
    expect([west > -140, south > 20, east < -50, north < 55]).toEqual([true, true, true, true]);
    for (const { code, bounds: [[w, s], [e, n]] } of places.all) expect(e > w && n > s && n <= 84 && s >= -84, code).toBe(true);
  });

  test("the reader's country is that of the time zone's city, else that of the language", () => {
    expect(places.home("Europe/Berlin", ["en-US"])).toBe("DE");
    expect(places.home("America/New_York", [])).toBe("US");
    expect(places.home("America/Argentina/Buenos_Aires", [])).toBe("AR");
    expect(places.home("UTC", ["de", "de-AT", "en-US"])).toBe("AT");
    expect(places.home("Etc/GMT+3", ["zh-Hant-TW"])).toBe("TW");
    expect([places.home("UTC", ["en"]), places.home("UTC", [])]).toEqual([null, null]);
  });
});

describe("labels", () => {
  const at = (zoom: number, latitude: number, longitude: number) => placeLabels({ zoom, latitude, longitude, width: 1_000, height: 800 }, places, (name) => name.length * 7);

  test("countries from afar, big cities nearer, small ones nearest", () => {
    const [far, near, nearest] = [at(1.5, 20, 10), at(4.5, 48, 8), at(8, 48.8, 2.3)];
    expect(far.every(({ kind }) => kind === "country")).toBe(true);
    expect(far.map(({ name }) => name)).toContain("China");
    expect(near.map(({ name }) => name)).toEqual(expect.arrayContaining(["Germany", "Paris", "Berlin"]));
    expect(nearest.every(({ kind }) => kind === "city")).toBe(true);
    expect(nearest.map(({ name }) => name)).toContain("Paris");
  });

  test("never overlap, never leave the map, and are not too many, at random views", () => {
    let seed = 5;
    const chance = () => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
    for (let i = 0; i < 300; i++) {
      const labels = at(chance() * 12, chance() * 150 - 75, chance() * 360 - 180);
      expect(labels.length).toBeLessThanOrEqual(60);
      const boxes = labels.map(({ name, kind, x, y }) => (kind === "city" ? [x - 3, y - 8, x + 6 + name.length * 7, y + 8] : [x - name.length * 3.5, y - 8, x + name.length * 3.5, y + 8]) as [number, number, number, number]);
      for (const [l, t, r, b] of boxes) expect(l >= 0 && t >= 0 && r <= 1_000 && b <= 800).toBe(true);
      for (const [k, a] of boxes.entries()) for (const b of boxes.slice(k + 1)) expect(a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1]).toBe(false);
    }
  });
});
