// What `<VoteMap>` has beside the page's own map, apart from what needs a browser: `client/test/consumers/map.test.ts` has that.
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { describe, expect, test } from "vitest";
import { mix, Palette, parseHex } from "../src/colour.js";
import { coloursOf, OwnPalette } from "../src/packed/colours.js";
import { VoteMap } from "../src/packed/VoteMap.js";

describe("colours that an application names", () => {
  const palette = new Palette(["home", "away"], "light");

  test("stand for the teams that have them, and the others keep theirs", () => {
    const own = new OwnPalette(palette, coloursOf({ away: "#C2185B" }));
    expect([own.of("home"), own.of("away"), own.of(null), own.of("nobody")]).toEqual([palette.of("home"), "#C2185B", palette.of(null), palette.others]);
    expect(own.shade("away", 1)).toEqual(parseHex("#c2185b"));
    expect(own.shade("away", 0)).toEqual(mix(palette.none, parseHex("#c2185b"), 0.4));
    expect(own.shade("home", 0.3)).toEqual(palette.shade("home", 0.3));
    expect(own.share("away", 1)).toEqual(parseHex("#c2185b"));
    expect([own.shade(null, 0), own.theme]).toEqual([palette.tie, "light"]);
  });

  test("a team beyond the eighth has one too", () => {
    const many = new Palette(Array.from({ length: 12 }, (_, i) => `team ${i}`), "dark");
    expect(many.has("z")).toBe(false);
    const own = new OwnPalette(many, coloursOf({ z: "#00ff00", constructor: "#0000ff" }));
    expect([own.has("z"), own.shade("z", 1), own.of("constructor"), own.has("toString")]).toEqual([true, [0, 255, 0], "#0000ff", false]);
  });

  test("are six digits", () => {
    expect(coloursOf()).toEqual(new Map());
    for (const wrong of ["red", "#fff", "c2185b", "#c2185b80", "#c2185g", ""]) {
      expect(() => coloursOf({ away: wrong }), wrong).toThrow(`the colour of "away" must be six hexadecimal digits such as #0b62a4, not "${wrong}"`);
    }
  });
});

test("a server renders its place and its name, and neither words nor what needs a browser", () => {
  const html = renderToString(createElement(VoteMap, { matchId: "final", url: "https://votes.example.org", className: "mine", style: { height: 300 } }));
  expect(html).toMatch(/^<section class="vote-map mine" style="height:300px" data-theme="light" aria-label="final"[^>]*><\/section>$/);
  expect(renderToString(createElement(VoteMap, { matchId: "final", url: "https://votes.example.org", theme: "dark", label: "The cup" }))).toContain('data-theme="dark" aria-label="The cup"');
});

test("options that cannot be right throw", () => {
  const render = (props: object) => () => renderToString(createElement(VoteMap, { matchId: "final", url: "https://votes.example.org", ...props }));
  expect(render({ colors: { home: "blue" } })).toThrow(TypeError);
  expect(render({ url: "ftp://votes.example.org" })).toThrow(TypeError);
});
