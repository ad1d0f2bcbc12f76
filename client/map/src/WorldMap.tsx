import { MapboxOverlay } from "@deck.gl/mapbox";
import type { FeatureCollection, MultiLineString } from "geojson";
import { type GeoJSONSource, Map as Base, NavigationControl, setWorkerUrl, type StyleSpecification } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import "maplibre-gl/dist/maplibre-gl.css";
import { useEffect, useRef, useState } from "react";
import { feature, mesh } from "topojson-client";
import type { CellAggregate } from "vote-agg-client";
import atlasUrl from "world-atlas/countries-50m.json?url";
import type { View } from "./address.js";
import type { Palette, Theme } from "./colour.js";
import { cellLayer, markLayer, placesOf } from "./layer.js";

setWorkerUrl(workerUrl);

const GROUND: Record<Theme, { sea: string; land: string; border: string; mark: [number, number, number] }> = {
  light: { sea: "#e4eaee", land: "#fbfaf7", border: "#b9c1c8", mark: [20, 24, 31] },
  dark: { sea: "#0c1117", land: "#18202a", border: "#3a4654", mark: [255, 255, 255] },
};

/** What the world is fitted to: all land but Antarctica. */
const WORLD: [[number, number], [number, number]] = [[-168, -54], [178, 74]];

const EMPTY: FeatureCollection = { type: "FeatureCollection", features: [] };

function styleOf(theme: Theme): StyleSpecification {
  const { sea, land, border } = GROUND[theme];
  return {
    version: 8,
    sources: { land: { type: "geojson", data: EMPTY, tolerance: 0.2 }, borders: { type: "geojson", data: EMPTY, tolerance: 0.2 } },
    layers: [
      { id: "sea", type: "background", paint: { "background-color": sea } },
      { id: "land", type: "fill", source: "land", paint: { "fill-color": land } },
      { id: "borders", type: "line", source: "borders", paint: { "line-color": border, "line-width": ["interpolate", ["linear"], ["zoom"], 1, 0.5, 6, 1.2] } },
    ],
  };
}

/** Land and the borders on it, from the outlines that the page ships with. */
async function loadGround(signal: AbortSignal): Promise<{ land: FeatureCollection; borders: MultiLineString }> {
  const atlas = await (await fetch(atlasUrl, { signal })).json();
  const land = feature(atlas, atlas.objects.land) as unknown as FeatureCollection;
  return { land, borders: mesh(atlas, atlas.objects.countries) };
}

export interface WorldMapProps {
  readonly cells: readonly CellAggregate[];
  readonly palette: Palette;
  readonly theme: Theme;
  /** Where the map begins; null: the whole world. */
  readonly view: View | null;
  readonly onView: (view: View) => void;
  /** The cell that is marked. */
  readonly place: string | null;
  /** The cell under the pointer, or in the middle of the map when it is moved by keyboard. */
  readonly onPlace: (place: string | null) => void;
}

/** What scripts on the page may look at. */
declare global {
  interface Window {
    voteMap?: { base: Base; overlay: MapboxOverlay };
  }
}

export function WorldMap({ cells, palette, theme, view, onView, place, onPlace }: WorldMapProps) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useRef<{ base: Base; overlay: MapboxOverlay; places: readonly string[] } | null>(null);
  const handlers = useRef({ onView, onPlace });
  handlers.current = { onView, onPlace };
  const [isReady, setReady] = useState(false);
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
    const pick = (index: number) => handlers.current.onPlace(shown.current?.places[index] ?? null);
    const overlay = new MapboxOverlay({
      interleaved: true,
      layers: [],
      onHover: ({ index, layer }) => layer?.id !== "mark" && pick(index),
      onClick: ({ index }) => pick(index),
      onError: (error) => setProblem(error.message),
    });
    base.addControl(overlay);
    base.addControl(new NavigationControl({ showCompass: false }), "top-left");
    shown.current = { base, overlay, places: [] };
    window.voteMap = { base, overlay };

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
      handlers.current.onPlace(null);
    });
    canvas.addEventListener("pointerleave", () => handlers.current.onPlace(null));

    const styled = new Promise((done) => base.once("style.load", done));
    Promise.all([loadGround(end.signal), styled]).then(
      ([{ land, borders }]) => {
        void base.getSource<GeoJSONSource>("land")?.setData(land);
        void base.getSource<GeoJSONSource>("borders")?.setData(borders);
      },
      () => end.signal.aborted || setProblem("The outlines of countries could not be loaded."),
    );
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
    const { sea, land, border } = GROUND[theme];
    base.setPaintProperty("sea", "background-color", sea);
    base.setPaintProperty("land", "fill-color", land);
    base.setPaintProperty("borders", "line-color", border);
  }, [isReady, theme]);

  useEffect(() => {
    if (!isReady || !shown.current) return;
    const now = shown.current;
    now.places = placesOf(now.places, cells);
    now.overlay.setProps({ layers: [cellLayer(now.places, cells, palette, "borders"), markLayer(place, GROUND[theme].mark)] });
  }, [isReady, cells, palette, theme, place]);

  return (
    <div className="map">
      <div ref={box} className="map-canvas" />
      {isKeyed && <div className="crosshair" aria-hidden="true" />}
      {problem && <p className="note map-note" role="alert">{problem}</p>}
    </div>
  );
}
