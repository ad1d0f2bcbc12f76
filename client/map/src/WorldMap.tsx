import { MapLibreOverlay } from "@deck.gl/maplibre";
import { Map as Base, NavigationControl, setWorkerUrl, type StyleSpecification } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import "maplibre-gl/dist/maplibre-gl.css";
import { useEffect, useRef, useState } from "react";
import type { CellAggregate } from "vote-agg-client";
import type { View } from "./address.js";
import type { Palette, Theme } from "./colour.js";
import { type Ground, loadGround } from "./ground.js";
import { cellAt, cellLayer, type Colour, indexesOf, markLayer } from "./layer.js";

setWorkerUrl(workerUrl);

const TONES: Record<Theme, { sea: string; land: string; line: string; mark: Colour }> = {
  light: { sea: "#e4eaee", land: "#fbfaf7", line: "#aeb8c0", mark: [20, 24, 31, 255] },
  dark: { sea: "#0b1016", land: "#1a222c", line: "#46535f", mark: [255, 255, 255, 255] },
};

/** The box that a new map shows: all land but Antarctica. */
const WORLD: [[number, number], [number, number]] = [[-168, -54], [178, 74]];

/** Without a source: the land is added when it has come. */
function styleOf(theme: Theme): StyleSpecification {
  return { version: 8, transition: { duration: 0 }, sources: {}, layers: [{ id: "sea", type: "background", paint: { "background-color": TONES[theme].sea } }] };
}

const OPTIONS = {
  attributionControl: false, dragRotate: false, pitchWithRotate: false, maxPitch: 0, maxZoom: 14, fadeDuration: 0,
} as const;

/** Where a map begins. */
function placeOf(view: View | null) {
  return view ? { zoom: view.zoom, center: [view.longitude, view.latitude] as [number, number] } : { bounds: WORLD, fitBoundsOptions: { padding: 16 } };
}

export interface WorldMapProps {
  readonly cells: readonly CellAggregate[];
  readonly palette: Palette;
  readonly theme: Theme;
  /** Where the map begins; null: the whole world. */
  readonly view: View | null;
  readonly onView: (view: View) => void;
  /** The cell that is marked. */
  readonly marked: string | null;
  /** The cell under the pointer, or in the middle of the map when it is moved by keyboard. */
  readonly onMark: (marked: string | null) => void;
}

interface Shown {
  readonly base: Base;
  readonly overlay: MapLibreOverlay;
  /** The cells that are drawn, in deck.gl's order. */
  indexes: readonly string[];
}

/** For scripts on the page, such as tests. */
declare global {
  interface Window {
    voteMap?: Shown;
  }
}

/** Milliseconds after which a map that has lost its drawing context is made anew: the browser needs a moment to have one. */
const RECOVERY = 500;

export function WorldMap({ cells, palette, theme, view, onView, marked, onMark }: WorldMapProps) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useRef<Shown | null>(null);
  const handlers = useRef({ onView, onMark });
  handlers.current = { onView, onMark };
  /** Where the map was: a new one begins there. */
  const last = useRef(view);
  const [attempt, setAttempt] = useState(0);
  const [isReady, setReady] = useState(false);
  const [ground, setGround] = useState<Ground | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isKeyed, setKeyed] = useState(false);

  useEffect(() => {
    const end = new AbortController();
    loadGround(end.signal).then(setGround, () => end.signal.aborted || setProblem("The outlines of countries could not be loaded."));
    return () => end.abort();
  }, []);

  useEffect(() => {
    const end = new AbortController();
    let base: Base;
    try {
      base = new Base({ ...OPTIONS, container: box.current!, style: styleOf(theme), ...placeOf(last.current) });
    } catch {
      setProblem(attempt ? "The map has lost its graphics. The numbers are all here; reload the page for the map." : "This browser cannot draw the map: it has no WebGL. The numbers are all here.");
      return;
    }
    if (attempt) setProblem(null);
    base.touchZoomRotate.disableRotation();
    base.keyboard.disableRotation();
    const pick = (index: number) => handlers.current.onMark(shown.current?.indexes[index] ?? null);
    const overlay = new MapLibreOverlay({
      // On a canvas of its own: new votes draw hexagons anew and not the ground below them.
      interleaved: false,
      layers: [],
      onHover: ({ index }) => pick(index),
      onClick: ({ index }) => pick(index),
      onError: (error) => end.signal.aborted || setProblem(error.message),
    });
    base.addControl(overlay);
    base.addControl(new NavigationControl({ showCompass: false }), "top-left");
    shown.current = window.voteMap = { base, overlay, indexes: [] };

    const look = () => {
      const { lng, lat } = base.getCenter();
      last.current = { zoom: base.getZoom(), latitude: lat, longitude: lng };
      handlers.current.onView(last.current);
    };
    base.on("load", () => {
      setReady(true);
      look();
    });
    base.on("move", look);
    const canvas = base.getCanvas();
    canvas.addEventListener("focus", () => setKeyed(canvas.matches(":focus-visible")));
    canvas.addEventListener("blur", () => {
      setKeyed(false);
      handlers.current.onMark(null);
    });
    // A finger leaves whenever it is lifted; the cell that it has touched stays.
    canvas.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && handlers.current.onMark(null));

    let recovery: ReturnType<typeof setTimeout>;
    const recover = () => {
      if (document.hidden) document.addEventListener("visibilitychange", recover, { once: true, signal: end.signal });
      else setAttempt((count) => count + 1);
    };
    // Browsers take the context away, above all from pages in the background. deck.gl does not draw again in a restored one.
    box.current!.addEventListener("webglcontextlost", () => {
      setProblem("The map has lost its graphics and is drawn anew.");
      clearTimeout(recovery);
      recovery = setTimeout(recover, RECOVERY);
    }, { capture: true, signal: end.signal });
    return () => {
      end.abort();
      clearTimeout(recovery);
      setReady(false);
      delete window.voteMap;
      shown.current = null;
      base.remove();
    };
  }, [attempt]);

  useEffect(() => {
    const base = isReady && shown.current?.base;
    if (!base) return;
    const { sea, land, line } = TONES[theme];
    base.setPaintProperty("sea", "background-color", sea);
    if (!ground) return;
    if (!base.getLayer("land")) {
      base.addLayer({ id: "land", type: "fill", source: { type: "geojson", data: ground.land } });
      base.addLayer({ id: "lines", type: "line", source: { type: "geojson", data: ground.lines }, paint: { "line-width": 0.8 } });
    }
    base.setPaintProperty("land", "fill-color", land);
    base.setPaintProperty("lines", "line-color", line);
  }, [isReady, ground, theme]);

  useEffect(() => {
    if (!isReady || !shown.current) return;
    const now = shown.current;
    now.indexes = indexesOf(now.indexes, cells);
    now.overlay.setProps({ layers: [cellLayer(now.indexes, cells, palette), markLayer(marked, TONES[theme].mark)] });
    // Only the map below is for the keyboard.
    for (const canvas of box.current!.querySelectorAll<HTMLElement>("canvas:not(.maplibregl-canvas)")) canvas.tabIndex = -1;
  }, [isReady, cells, palette, theme, marked]);

  useEffect(() => {
    const base = isReady && isKeyed && shown.current?.base;
    if (!base) return;
    const markMiddle = () => {
      const { lng, lat } = base.getCenter().wrap();
      handlers.current.onMark(cellAt(shown.current!.indexes, lat, lng));
    };
    markMiddle();
    base.on("moveend", markMiddle);
    return () => void base.off("moveend", markMiddle);
  }, [isReady, isKeyed, cells]);

  return (
    <div className="map">
      <div key={attempt} ref={box} className="map-canvas" />
      {isKeyed && <div className="crosshair" aria-hidden="true" />}
      {problem && <p className="note map-note" role="alert">{problem}</p>}
    </div>
  );
}
