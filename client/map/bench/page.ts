// What one fold costs the page: 20,000 cells on the map, 2,000 of them with new votes.
import { Deck, MapView } from "@deck.gl/core";
import { H3HexagonLayer } from "@deck.gl/geo-layers";
import { gridDisk, latLngToCell } from "h3-js";
import { applyMessage, type CellAggregate, type Message, type Snapshot, type Votes } from "vote-agg-client";
import { Palette } from "../src/colour.js";
import { cellLayer, indexesOf } from "../src/layer.js";

const CELLS = 20_000;
const CHANGED = 2_000;

type Way = "ours" | "whole";

declare global {
  interface Window {
    /** Draws so many folds, one every other frame, in one of two ways; 0 draws the match as it is at first. */
    play: (way: Way, folds: number) => Promise<void>;
    /** Milliseconds that each key waited until the page took it. */
    waits: number[];
  }
}

const names = gridDisk(latLngToCell(47, 8, 6), 82).slice(0, CELLS);
let seed = 1;
const chance = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below;
const some = (): Votes => ({ home: 1 + chance(1_000), away: 1 + chance(1_000) });
const stats = { total: 1, votes: { home: 1 }, leader: "home", dominance: 1, per_minute: 1 };
const head = { v: 1, match: "bench", epoch: "e", at: "2026-07-19T20:11:03.120Z", stats };

function message(seq: number): Message {
  const first = chance(names.length);
  // Spread over all of them, as votes are.
  const cells = Array.from({ length: CHANGED }, (_, i) => [names[(first + i * 9 + chance(9)) % names.length]!, some()] as const);
  return { ...head, seq, prev: seq - 1, cells, countries: [] };
}

const palette = new Palette(["away", "home"], "light");

/** What a page does that knows nothing of what has changed: all data anew. */
function wholeLayer(cells: readonly CellAggregate[]) {
  return new H3HexagonLayer<CellAggregate>({
    id: "cells", data: cells.map((cell) => ({ ...cell })), getHexagon: ({ h3Index }) => h3Index,
    getFillColor: ({ leader, dominance }) => palette.shade(leader, dominance) as [number, number, number],
    highPrecision: true, extruded: false, stroked: false, coverage: 0.94, opacity: 0.88, pickable: true,
  });
}

const parent = document.body.appendChild(document.createElement("div"));
const deck = new Deck({
  parent, width: 800, height: 600, views: new MapView(), initialViewState: { longitude: 8, latitude: 47, zoom: 6 }, layers: [],
});
const snapshot: Snapshot = { ...head, seq: 0, status: "open", resolution: null, cells: names.map((name) => [name, some()]), countries: [] };
let state = applyMessage(undefined, snapshot)!;
let indexes: readonly string[] = [];

const ways = {
  ours: () => cellLayer((indexes = indexesOf(indexes, state.aggregates)), state.aggregates, palette),
  whole: () => wholeLayer(state.aggregates),
};

window.waits = [];
addEventListener("keydown", ({ timeStamp }) => window.waits.push(performance.now() - timeStamp));

const frame = () => new Promise((done) => requestAnimationFrame(done));

window.play = async (way, folds) => {
  if (folds === 0) {
    deck.setProps({ layers: [] });
    await frame();
    deck.setProps({ layers: [ways[way]()] });
  }
  for (let fold = 0; fold < folds; fold++) {
    state = applyMessage(state, message(state.seq + 1))!;
    deck.setProps({ layers: [ways[way]()] });
    await frame();
    await frame();
  }
  await frame();
};
