import { type KeyboardEvent, useId, useMemo, useState } from "react";
import { say } from "./language.js";
import type { Bounds, Found, Places } from "./places.js";
import { countryName } from "./words.js";

/** Finds a city or a country by name and shows it; and the reader's own country. */
export function PlaceSearch({ places, onGo }: { places: Places; onGo: (bounds: Bounds) => void }) {
  const [sought, setSought] = useState("");
  const [active, setActive] = useState(0);
  const list = useId();
  const found = useMemo(() => places.find(sought), [places, sought]);
  const home = useMemo(() => places.home(Intl.DateTimeFormat().resolvedOptions().timeZone, navigator.languages), [places]);
  const choose = (place: Found | undefined) => {
    if (!place) return;
    setSought("");
    onGo(place.bounds);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter") choose(found[active]);
    else if (event.key === "Escape") setSought("");
    else if (event.key === "ArrowDown") setActive(Math.min(active + 1, found.length - 1));
    else if (event.key === "ArrowUp") setActive(Math.max(active - 1, 0));
    else return;
    event.preventDefault();
  };
  const isOpen = found.length > 0;
  return (
    <div className="places">
      <input
        type="search" className="find" role="combobox" value={sought} placeholder={say("findPlace")} aria-label={say("findPlace")} autoComplete="off"
        aria-expanded={isOpen} aria-controls={list} aria-autocomplete="list" aria-activedescendant={isOpen ? `${list}-${active}` : undefined}
        onChange={({ target }) => { setSought(target.value); setActive(0); }} onKeyDown={onKeyDown}
      />
      {home !== null && (
        <button type="button" className="home" title={say("showOnMap", { place: countryName(home) })} onClick={() => onGo(places.country(home)!.bounds)}><span aria-hidden="true">◎ </span>{countryName(home)}</button>
      )}
      {sought.trim() !== "" && !isOpen && <p className="found quiet" role="status">{say("noPlace")}</p>}
      <ul className="found" id={list} role="listbox" aria-label={say("findPlace")} hidden={!isOpen}>
        {found.map((place, i) => (
          <li key={place.name} id={`${list}-${i}`} role="option" aria-selected={i === active} onPointerDown={(event) => { event.preventDefault(); choose(place); }}>{place.name}</li>
        ))}
      </ul>
    </div>
  );
}
