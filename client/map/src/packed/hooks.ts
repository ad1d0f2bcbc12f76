import { type RefObject, useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { CellAggregate } from "vote-agg-client";
import type { Palette, Theme } from "../colour.js";
import { type Look, type OnView, useLook } from "../look.js";
import type { View } from "../view.js";
import { coloursOf, OwnPalette } from "./colours.js";

const never = () => () => {};

/** Whether this is a browser after the first render, which is the server's too. */
export const useMounted = () => useSyncExternalStore(never, () => true, () => false);

const darkness = () => matchMedia("(prefers-color-scheme: dark)");

function onSystem(listener: () => void): () => void {
  const system = darkness();
  system.addEventListener("change", listener);
  return () => system.removeEventListener("change", listener);
}

/** The theme that is asked for, or the visitor's. */
export function useWantedTheme(asked: Theme | "auto"): Theme {
  const system = useSyncExternalStore<Theme>(onSystem, () => (darkness().matches ? "dark" : "light"), () => "light");
  return asked === "auto" ? system : asked;
}

/** Whether an element is narrower than so many pixels. */
export function useNarrowBox(box: RefObject<HTMLElement | null>, width: number): boolean {
  const [isNarrow, setNarrow] = useState(false);
  useEffect(() => {
    const observer = new ResizeObserver(() => box.current && setNarrow(box.current.clientWidth < width));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, [box, width]);
  return isNarrow;
}

/** The palette, with the colours that the application names in place of its own. */
export function useOwnColours(palette: Palette, colors: Readonly<Record<string, string>> | undefined): Palette {
  // An object that is written in place is a new one each time.
  const own = useMemo(() => coloursOf(colors), [JSON.stringify(colors)]);
  return useMemo(() => (own.size ? new OwnPalette(palette, own) : palette), [palette, own]);
}

/** What the application asks for, until the visitor chooses otherwise, or it asks for something else. */
export function useAsked<T>(asked: T): [T, (value: T) => void] {
  const [value, setValue] = useState(asked);
  useEffect(() => setValue(asked), [asked]);
  return [value, setValue];
}

/** What the map asks for; at the resolution that the application asks for, once it is known what is in view: of the rest of the world that may be much. */
export function usePlacedLook(view: View | null, onRest: ((view: View) => void) | undefined, fixed: number | undefined): Look & { onView: OnView } {
  const handler = useRef(onRest);
  handler.current = onRest;
  const [look, follow] = useLook(view, useCallback((at) => handler.current?.(at), []));
  const [isPlaced, setPlaced] = useState(false);
  const onView = useCallback<OnView>((at, areaAt) => {
    follow(at, areaAt);
    setPlaced(true);
  }, [follow]);
  return { resolution: isPlaced ? fixed ?? look.resolution : look.resolution, area: look.area, onView };
}

type OnCell = (cell: CellAggregate | null) => void;

/** The application's function, the same one always, called for what differs from the last time alone. */
export function useOnCell(onCell: OnCell | undefined): OnCell {
  const told = useRef<CellAggregate | null>(null);
  const handler = useRef(onCell);
  handler.current = onCell;
  return useCallback((cell) => {
    if (cell === told.current) return;
    told.current = cell;
    handler.current?.(cell);
  }, []);
}
