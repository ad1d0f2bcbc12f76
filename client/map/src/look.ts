// What a map asks its votes for, by what is in view.
import { useCallback, useRef, useState } from "react";
import { resolutionAt } from "./resolution.js";
import type { View } from "./view.js";

/** What cells the map needs at a resolution, if it has those of an area already; null: all. */
export type AreaAt = (resolution: number, current: readonly string[] | null) => readonly string[] | null;

/** The map has come to another place. */
export type OnView = (view: View, areaAt: AreaAt) => void;

/** The cells that are asked for. */
export interface Look {
  readonly resolution: number;
  readonly area: readonly string[] | null;
}

/** Before there is a map, nobody looks at cells: they are few at this resolution, and all of them are asked for. */
const UNSEEN = 2;

/** Where a server renders the page, it has no width. */
const widthOf = () => (typeof innerWidth === "undefined" ? 512 : Math.max(innerWidth, 512));

/** Follows the map: resolution and area at once, and `onRest` when it has come to rest. */
export function useLook(view: View | null, onRest: (view: View) => void): [Look, OnView] {
  const [look, setLook] = useState<Look>(() => ({ resolution: Math.min(UNSEEN, resolutionAt(view?.zoom ?? Math.log2(widthOf() / 512))), area: null }));
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const onView = useCallback<OnView>((view, areaAt) => {
    setLook((current) => {
      const resolution = resolutionAt(view.zoom, current.resolution);
      const area = areaAt(resolution, current.area);
      return resolution === current.resolution && area === current.area ? current : { resolution, area };
    });
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onRest(view), 300);
  }, [onRest]);
  return [look, onView];
}
