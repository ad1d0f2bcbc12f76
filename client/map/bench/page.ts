// What one fold costs the page: 20,000 cells on the map, 2,000 of them with new votes.
import { Deck, MapView } from "@deck.gl/core";
import { H3HexagonLayer } from "@deck.gl/geo-layers";
import { gridDisk, latLngToCell } from "h3-js";
import { applyMessage, type CellAggregate, type Message, type Snapshot, type Votes } from "vote-agg-client";
import { Palette } from "../src/colour.js";
import { cellLayer, placesOf } from "../src/layer.js";

const CELLS = 20_000;
const CHANGED = 2_000;

declare global {
  interface Window {
    measure: (rounds: number) => Promise<{ ours: number[]; whole: number[] }>;
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

window.measure = async (rounds) => {
  const parent = document.body.appendChild(document.createElement("div"));
  const deck = new Deck({
    parent, width: 800, height: 600, views: new MapView(), initialViewState: { longitude: 8, latitude: 47, zoom: 6 }, layers: [],
  });
  await new Promise<void>((done) => deck.setProps({ onLoad: done }));
  const snapshot: Snapshot = { ...head, seq: 0, status: "open", resolution: null, cells: names.map((name) => [name, some()]), countries: [] };
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const run = async (layer: (cells: readonly CellAggregate[]) => H3HexagonLayer<never>) => {
    let state = applyMessage(undefined, snapshot)!;
    const times: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const next = message(state.seq + 1);
      const began = performance.now();
      state = applyMessage(state, next)!;
      deck.setProps({ layers: [layer(state.aggregates)] });
      deck.redraw("bench");
      // The first makes everything, whoever makes it.
      if (round) times.push(performance.now() - began);
      await frame();
    }
    deck.setProps({ layers: [] });
    await frame();
    return times;
  };
  let places: readonly string[] = [];
  const ours = await run((cells) => cellLayer((places = placesOf(places, cells)), cells, palette) as unknown as H3HexagonLayer<never>);
  const whole = await run((cells) => wholeLayer(cells) as unknown as H3HexagonLayer<never>);
  deck.finalize();
  return { ours, whole };
};
