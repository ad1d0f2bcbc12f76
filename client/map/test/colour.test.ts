// Colours are told apart by people with any kind of colour vision, and stay a team's own.
import { describe, expect, test } from "vitest";
import { mix, Palette, parseHex, type Rgb, TONES } from "../src/colour.js";
import { claims, colourTeams, HUES } from "../src/hues.js";
import { partsOf } from "../src/Bar.js";

type Vector = readonly [number, number, number];
type Matrix = readonly [Vector, Vector, Vector];

/** Machado, Oliveira and Fernandes (2009), severity 1, in linear RGB. */
const VISIONS: Record<string, Matrix> = {
  usual: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};

const times = (matrix: Matrix, [x, y, z]: Vector) => matrix.map((row) => row[0] * x + row[1] * y + row[2] * z) as unknown as Vector;
const linear = (colour: Rgb) => colour.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4)) as unknown as Vector;
const clipped = (colour: Vector) => colour.map((part) => Math.min(1, Math.max(0, part))) as unknown as Vector;

/** Ottosson's OKLab: as far apart as eyes find colours. */
function lab(colour: Vector): Vector {
  const cones = times([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]], colour);
  return times([[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]], cones.map(Math.cbrt) as unknown as Vector);
}

const seen = (hex: string | Rgb, vision: Matrix) => lab(clipped(times(vision, linear(typeof hex === "string" ? parseHex(hex) : hex))));
const apart = (a: Vector, b: Vector) => Math.hypot(...a.map((part, i) => part - b[i]!));
const light = (hex: string) => times([[0.2126, 0.7152, 0.0722], [0, 0, 0], [0, 0, 0]], linear(parseHex(hex)))[0];

function contrast(a: string, b: string): number {
  const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}

const LAND = { light: "#fbfaf7", dark: "#1a222c" };

describe.each(["light", "dark"] as const)("%s", (theme) => {
  const { hues, others, tie } = TONES[theme];

  test.each(Object.keys(VISIONS))("eight colours are told apart: %s", (vision) => {
    expect(hues.length).toBe(HUES);
    for (const [i, a] of hues.entries()) {
      // 0.02 is about what an eye can see side by side.
      for (const b of hues.slice(i + 1)) expect(apart(seen(a, VISIONS[vision]!), seen(b, VISIONS[vision]!)), `${a} ${b}`).toBeGreaterThan(0.11);
      for (const grey of [others, tie, LAND[theme]]) expect(apart(seen(a, VISIONS[vision]!), seen(grey, VISIONS[vision]!)), `${a} ${grey}`).toBeGreaterThan(0.09);
    }
    expect(apart(seen(others, VISIONS[vision]!), seen(tie, VISIONS[vision]!))).toBeGreaterThan(0.09);
  });

  test("the test sees two colours that a colour-blind eye takes for one", () => {
    expect(apart(seen("#009e73", VISIONS.deuteranopia!), seen("#b08a7a", VISIONS.deuteranopia!))).toBeLessThan(0.11);
  });

  test("they stand out from the land", () => {
    for (const hue of hues) expect(contrast(hue, LAND[theme]), hue).toBeGreaterThanOrEqual(3);
  });

  test("no shade of one team is a shade of another", () => {
    const teams = Array.from({ length: HUES }, (_, i) => `Team ${i}`);
    const palette = new Palette(teams, theme);
    const steps = [0, 0.06, 0.25, 0.56, 1];
    for (const [i, a] of teams.entries()) {
      for (const b of teams.slice(i + 1)) {
        for (const x of steps) for (const y of steps) {
          expect(apart(seen(palette.shade(a, x), VISIONS.usual!), seen(palette.shade(b, y), VISIONS.usual!)), `${a} ${x} ${b} ${y}`).toBeGreaterThan(0.02);
        }
      }
    }
    expect(mix(parseHex("#000000"), parseHex("#ffffff"), 0.5)).toEqual([128, 128, 128]);
  });
});

describe("more teams than colours", () => {
  const teams = Array.from({ length: 40 }, (_, i) => `Team ${i}`);
  const votesOf = (order: readonly string[]) => Object.fromEntries(order.map((team, i) => [team, 1_000 - i]));

  test("those with the best claim have one: the first of the match, then by countries", () => {
    const led = ["Team 30", "Team 31", "Team 30", null, "Team 39"].map((leader) => ({ leader }));
    expect(claims(votesOf(teams), led).slice(0, 8)).toEqual(["Team 0", "Team 1", "Team 2", "Team 30", "Team 31", "Team 39", "Team 3", "Team 4"]);
    const hues = colourTeams(new Map(), teams, claims(votesOf(teams), led));
    expect(new Set(hues.values()).size).toBe(8);
    expect([...hues.keys()].sort()).toEqual(["Team 0", "Team 1", "Team 2", "Team 3", "Team 30", "Team 31", "Team 39", "Team 4"]);
  });

  test("a colour stays a team's own while the ranking moves", () => {
    let hues = colourTeams(new Map(), teams, teams);
    const first = hues;
    // The eighth falls to twelfth place: nothing changes, not even the object.
    expect(colourTeams(hues, teams, [...teams.slice(0, 7), ...teams.slice(8, 12), "Team 7", ...teams.slice(12)])).toBe(first);
    // To thirteenth: another one has its room. All others keep their own.
    hues = colourTeams(hues, teams, [...teams.slice(0, 7), ...teams.slice(8, 13), "Team 7", ...teams.slice(13)]);
    expect(hues.has("Team 7")).toBe(false);
    for (const team of teams.slice(0, 7)) expect(hues.get(team)).toBe(first.get(team));
    expect(hues.get("Team 8")).toBe(first.get("Team 7"));
    // A new leader of the match has a colour at once.
    hues = colourTeams(first, teams, ["Team 39", ...teams.slice(0, 39)]);
    expect(hues.has("Team 39")).toBe(true);
    expect(hues.size).toBe(8);
    for (const team of teams.slice(0, 7)) expect(hues.get(team)).toBe(first.get(team));
  });

  test("a random walk of the ranking never recolours a team that has a colour", () => {
    let seed = 11;
    const chance = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below;
    let ranking = [...teams];
    let hues = colourTeams(new Map(), teams, ranking);
    for (let i = 0; i < 2_000; i++) {
      const at = chance(39);
      [ranking[at], ranking[at + 1]] = [ranking[at + 1]!, ranking[at]!];
      const next = colourTeams(hues, teams, ranking);
      expect(next.size).toBe(8);
      expect(new Set(next.values()).size).toBe(8);
      for (const team of ranking.slice(0, 3)) expect(next.has(team)).toBe(true);
      for (const [team, hue] of next) if (hues.has(team)) expect(hue).toBe(hues.get(team));
      hues = next;
    }
  });

  test("all others are one grey, and one part of a bar", () => {
    const palette = new Palette(teams, "light", colourTeams(new Map(), teams, teams));
    expect(palette.of("Team 39")).toBe(palette.others);
    expect(palette.shade("Team 39", 1)).toEqual(parseHex(palette.others));
    const parts = partsOf(votesOf(teams), palette, 3);
    expect(parts.map(([team]) => team)).toEqual(["Team 0", "Team 1", null]);
    expect(parts.reduce((sum, [, votes]) => sum + votes, 0)).toBe(Object.values(votesOf(teams)).reduce((sum, votes) => sum + votes));
    expect(partsOf({ b: 1, a: 2, none: 0 }, new Palette(["a", "b"], "light"), 3)).toEqual([["a", 2], ["b", 1]]);
  });
});
