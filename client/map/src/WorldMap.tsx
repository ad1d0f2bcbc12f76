import { MapLibreOverlay } from "@deck.gl/maplibre";
import { type GeoJSONSource, Map as Base, NavigationControl, type StyleSpecification } from "maplibre-gl";
import { useEffect, useRef, useState } from "react";
import type { CellAggregate } from "vote-agg-client";
import { areaAt } from "./area.js";
import type { Palette, Theme } from "./colour.js";
import { FINE_FROM, type Ground, loadGround } from "./ground.js";
import { tellShown } from "./host.js";
import { Labels } from "./labels.js";
import { say } from "./language.js";
import { cellAt, cellLayer, type Colour, indexesOf, markLayer } from "./layer.js";
import type { OnView } from "./look.js";
import type { Bounds, Places } from "./places.js";
import type { Shown } from "./shown.js";
import type { View } from "./view.js";
import { type Own, ownLayer } from "./voting/own.js";

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

/** What MapLibre says, in the reader's language. */
function localeOf() {
  return {
    "Map.Title": say("mapName"), "NavigationControl.ZoomIn": say("zoomIn"), "NavigationControl.ZoomOut": say("zoomOut"),
    "CooperativeGesturesHandler.MobileHelpText": say("twoFingers"),
    "CooperativeGesturesHandler.WindowsHelpText": say("toZoom"), "CooperativeGesturesHandler.MacHelpText": say("toZoom"),
  };
}

/** Metres of a pixel at the equator at zoom 0, where the world is 512 pixels wide. */
const PIXEL = 78_271.5;

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
  readonly onView: OnView;
  /** The cell that is marked. */
  readonly marked: string | null;
  /** The cell under the pointer, or in the middle of the map when it is moved by keyboard. */
  readonly onMark: (marked: string | null) => void;
  /** The one team that is shown; null: who leads. */
  readonly team: string | null;
  /** One finger scrolls the page, two move the map. */
  readonly isNarrow: boolean;
  /** Names for the map; null: none yet. */
  readonly places: Places | null;
  /** Where to go; a new object for each time. */
  readonly bounds: Bounds | null;
  /** The visitor's own hexagon. */
  readonly own: Own | null;
  /** The map cannot be drawn here: why. */
  readonly onFail: (problem: string) => void;
}

/** Milliseconds after which a map that has lost its drawing context is made anew: the browser needs a moment to have one. */
const RECOVERY = 500;

export function WorldMap({ cells, palette, theme, view, onView, marked, onMark, team, isNarrow, places, bounds, own, onFail }: WorldMapProps) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useRef<Shown | null>(null);
  const handlers = useRef({ onView, onMark, onFail });
  handlers.current = { onView, onMark, onFail };
  /** Where the map was: a new one begins there. */
  const last = useRef(view);
  const [attempt, setAttempt] = useState(0);
  const [isReady, setReady] = useState(false);
  const [ground, setGround] = useState<Ground | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isKeyed, setKeyed] = useState(false);

  const [isFine, setFine] = useState((view?.zoom ?? 0) >= FINE_FROM);

  useEffect(() => {
    const end = new AbortController();
    loadGround(isFine, end.signal).then(setGround, () => end.signal.aborted || setProblem(say("noOutlines")));
    return () => end.abort();
  }, [isFine]);

  useEffect(() => {
    const end = new AbortController();
    let base: Base;
    try {
      base = new Base({ ...OPTIONS, locale: localeOf(), cooperativeGestures: isNarrow, container: box.current!, style: styleOf(theme), ...placeOf(last.current) });
    } catch {
      handlers.current.onFail(say(attempt ? "mapGone" : "noWebgl"));
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
    tellShown((shown.current = { base, overlay, indexes: [], names: [] }));

    const look = () => {
      const { lng, lat } = base.getCenter();
      last.current = { zoom: base.getZoom(), latitude: lat, longitude: lng };
      if (last.current.zoom >= FINE_FROM) setFine(true);
      const { clientWidth, clientHeight } = base.getCanvas();
      handlers.current.onView(last.current, areaAt.bind(null, clientWidth, clientHeight, 2 ** last.current.zoom / PIXEL, (x, y) => base.unproject([x, y])));
    };
    base.on("load", () => {
      setReady(true);
      look();
    });
    for (const event of ["move", "resize"] as const) base.on(event, look);
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
      setProblem(say("mapLost"));
      clearTimeout(recovery);
      recovery = setTimeout(recover, RECOVERY);
    }, { capture: true, signal: end.signal });
    return () => {
      end.abort();
      clearTimeout(recovery);
      setReady(false);
      tellShown();
      shown.current = null;
      base.remove();
    };
  }, [attempt]);

  useEffect(() => {
    const gestures = shown.current?.base.cooperativeGestures;
    if (isNarrow) gestures?.enable();
    else gestures?.disable();
  }, [isReady, isNarrow]);

  useEffect(() => {
    const base = isReady && shown.current?.base;
    if (!base) return;
    const { sea, land, line } = TONES[theme];
    base.setPaintProperty("sea", "background-color", sea);
    if (!ground) return;
    for (const id of ["land", "lines"] as const) {
      const source = base.getSource<GeoJSONSource>(id);
      if (source) {
        source.setData(ground[id]);
        continue;
      }
      base.addSource(id, { type: "geojson", data: ground[id] });
      base.addLayer(id === "land" ? { id, type: "fill", source: id } : { id, type: "line", source: id, paint: { "line-width": 0.8 } });
    }
    base.setPaintProperty("land", "fill-color", land);
    base.setPaintProperty("lines", "line-color", line);
  }, [isReady, ground, theme]);

  useEffect(() => {
    if (!isReady || !shown.current) return;
    const now = shown.current;
    now.indexes = indexesOf(now.indexes, cells);
    now.overlay.setProps({ layers: [cellLayer(now.indexes, cells, palette, team), markLayer(marked, TONES[theme].mark), ownLayer(own, TONES[theme].mark)] });
    // Only the map below is for the keyboard.
    for (const canvas of box.current!.querySelectorAll<HTMLElement>("canvas:not(.maplibregl-canvas)")) canvas.tabIndex = -1;
  }, [isReady, cells, palette, theme, marked, team, own?.cell, own?.isGlowing]);

  useEffect(() => {
    const now = isReady && shown.current;
    if (!now || !places) return;
    const labels = new Labels(now.base);
    const draw = () => void (now.names = labels.draw(places));
    draw();
    for (const event of ["move", "resize"] as const) now.base.on(event, draw);
    return () => {
      for (const event of ["move", "resize"] as const) now.base.off(event, draw);
      labels.remove();
    };
  }, [isReady, places]);

  useEffect(() => {
    const base = isReady && shown.current?.base;
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (base && bounds) base.fitBounds(bounds, { padding: 24, maxZoom: 9, animate: !isCalm, duration: 900 });
  }, [isReady, bounds]);

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
