// The map and what stands on it: the part of the page that takes long to load.
import { memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { CellAggregate, Votes } from "vote-agg-client";
import { CellCard } from "./CellCard.js";
import type { Palette, Theme } from "./colour.js";
import { Legend } from "./Legend.js";
import type { OnView } from "./look.js";
import { type Bounds, loadPlaces, type Places } from "./places.js";
import { PlaceSearch } from "./PlaceSearch.js";
import type { Own } from "./voting/own.js";
import type { View } from "./view.js";
import { WorldMap } from "./WorldMap.js";

export interface StageProps {
  readonly cells: readonly CellAggregate[];
  readonly votes: Votes;
  readonly palette: Palette;
  readonly theme: Theme;
  readonly view: View | null;
  readonly onView: OnView;
  readonly team: string | null;
  readonly onTeam: (team: string | null) => void;
  readonly isNarrow: boolean;
  /** A country to show; a new object for each time that it is asked for. */
  readonly country: { readonly code: string } | null;
  /** The visitor's own hexagon. */
  readonly own: Own | null;
  /** The map cannot be drawn here: why. */
  readonly onFail: (problem: string) => void;
  /** Hears of the cell that is looked at, and of its votes; null: none is. */
  readonly onCell?: (cell: CellAggregate | null) => void;
  /** Without a search for places. */
  readonly isPlain?: boolean;
}

export default memo(function Stage({ cells, votes, palette, theme, view, onView, team, onTeam, isNarrow, country, own, onFail, onCell, isPlain }: StageProps) {
  const [marked, setMarked] = useState<string | null>(null);
  const cell = marked === null ? undefined : cells.find(({ h3Index }) => h3Index === marked);
  const over = useRef<HTMLDivElement>(null);
  const places = usePlaces();
  const [bounds, setBounds] = useState<Bounds | null>(null);
  const go = useCallback((bounds: Bounds) => setBounds([...bounds]), []);
  useEffect(() => {
    const wanted = country && places?.country(country.code);
    if (wanted) go(wanted.bounds);
  }, [country, places, go]);
  const near = useMemo(() => (cell && places ? places.near(cell.h3Index) : null), [cell?.h3Index, places]);
  useEffect(() => {
    // Below the map of a small screen the card may be out of sight.
    if (isNarrow && cell) over.current!.firstElementChild!.scrollIntoView({ block: "nearest" });
  }, [isNarrow, cell?.h3Index]);
  useEffect(() => onCell?.(cell ?? null), [cell]);
  return (
    <>
      <WorldMap
        cells={cells} palette={palette} theme={theme} view={view} onView={onView} team={team} isNarrow={isNarrow}
        marked={cell ? marked : null} onMark={setMarked} onFail={onFail} own={own} places={places} bounds={bounds}
      />
      {places && !isPlain && <PlaceSearch places={places} onGo={go} />}
      <div ref={over} className="over">
        {cell && <CellCard cell={cell} palette={palette} near={near} onClose={() => setMarked(null)} />}
        <Legend votes={votes} palette={palette} team={team} onTeam={onTeam} isNarrow={isNarrow} />
      </div>
    </>
  );
});

/** Names of places come last: the map does without. */
function usePlaces(): Places | null {
  const [places, setPlaces] = useState<Places | null>(null);
  useEffect(() => {
    const end = new AbortController();
    loadPlaces(end.signal).then(setPlaces, () => {});
    return () => end.abort();
  }, []);
  return places;
}
