import { MapLibreOverlay } from "@deck.gl/maplibre";
import { Map as Base, NavigationControl, setWorkerUrl, type StyleSpecification } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import "maplibre-gl/dist/maplibre-gl.css";
import { useEffect, useRef, useState } from "react";
import type { CellAggregate } from "vote-agg-client";
import type { View } from "./address.js";
import type { Palette, Theme } from "./colour.js";
import { type Ground, loadGround } from "./ground.js";
import { cellLayer, type Colour, markLayer, indexesOf } from "./layer.js";

setWorkerUrl(workerUrl);

const TONES: Record<Theme, { sea: string; land: string; line: string; mark: Colour }> = {
  light: { sea: "#e4eaee", land: "#fbfaf7", line: "#aeb8c0", mark: [20, 24, 31, 255] },
  dark: { sea: "#0b1016", land: "#1a222c", line: "#46535f", mark: [255, 255, 255, 255] },
};

/** What the world is fitted to: all land but Antarctica. */
const WORLD: [[number, number], [number, number]] = [[-168, -54], [178, 74]];

/** Without a source: the land is added when it has come. */
function styleOf(theme: Theme): StyleSpecification {
  return { version: 8, transition: { duration: 0 }, sources: {}, layers: [{ id: "sea", type: "background", paint: { "background-color": TONES[theme].sea } }] };
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

/** What scripts on the page, such as tests, may look at. */
declare global {
  interface Window {
    voteMap?: Shown;
  }
}

export function WorldMap({ cells, palette, theme, view, onView, marked, onMark }: WorldMapProps) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useRef<Shown | null>(null);
  const handlers = useRef({ onView, onMark });
  handlers.current = { onView, onMark };
  const [isReady, setReady] = useState(false);
  const [ground, setGround] = useState<Ground | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isKeyed, setKeyed] = useState(false);

  useEffect(() => {
    const end = new AbortController();
    let base: Base;
    try {
      base = new Base({
        container: box.current!,
        style: styleOf(theme),
        attributionControl: false,
        dragRotate: false,
        pitchWithRotate: false,
        maxPitch: 0,
        maxZoom: 14,
        fadeDuration: 0,
        ...(view ? { zoom: view.zoom, center: [view.longitude, view.latitude] } : { bounds: WORLD, fitBoundsOptions: { padding: 16 } }),
      });
    } catch {
      setProblem("This browser cannot draw the map: it has no WebGL. The numbers are all here.");
      return;
    }
    base.touchZoomRotate.disableRotation();
    base.keyboard.disableRotation();
    const pick = (index: number) => handlers.current.onMark(shown.current?.indexes[index] ?? null);
    const overlay = new MapLibreOverlay({
      // On a canvas of its own: new votes draw hexagons anew and not the ground below them.
      interleaved: false,
      layers: [],
      onHover: ({ index }) => pick(index),
      onClick: ({ index }) => pick(index),
      onError: (error) => setProblem(error.message),
    });
    base.addControl(overlay);
    base.addControl(new NavigationControl({ showCompass: false }), "top-left");
    shown.current = window.voteMap = { base, overlay, indexes: [] };

    const look = () => {
      const { lng, lat } = base.getCenter();
      handlers.current.onView({ zoom: base.getZoom(), latitude: lat, longitude: lng });
    };
    base.on("load", () => {
      setReady(true);
      look();
    });
    base.on("move", look);
    const canvas = base.getCanvas();
    const pickMiddle = () => {
      const { clientWidth: width, clientHeight: height } = canvas;
      pick(overlay.pickObject({ x: width / 2, y: height / 2, layerIds: ["cells"] })?.index ?? -1);
    };
    canvas.addEventListener("focus", () => {
      if (!canvas.matches(":focus-visible")) return;
      setKeyed(true);
      pickMiddle();
      base.on("moveend", pickMiddle);
    });
    canvas.addEventListener("blur", () => {
      setKeyed(false);
      base.off("moveend", pickMiddle);
      handlers.current.onMark(null);
    });
    // A finger leaves whenever it is lifted; what it has touched stays.
    canvas.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && handlers.current.onMark(null));

    loadGround(end.signal).then(setGround, () => end.signal.aborted || setProblem("The outlines of countries could not be loaded."));
    return () => {
      end.abort();
      delete window.voteMap;
      shown.current = null;
      base.remove();
    };
  }, []);

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
  }, [isReady, cells, palette, theme, marked]);

  return (
    <div className="map">
      <div ref={box} className="map-canvas" />
      {isKeyed && <div className="crosshair" aria-hidden="true" />}
      {problem && <p className="note map-note" role="alert">{problem}</p>}
    </div>
  );
}
