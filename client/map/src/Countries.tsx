import { useId, useState } from "react";
import type { CountryAggregate } from "vote-agg-client";
import { Bar, Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { type Key, say } from "./language.js";
import { byName, isFound } from "./teams.js";
import { countryName, formatCount, formatLead } from "./words.js";

const SHOWN = 8;

type Order = "votes" | "country" | "leader";

const HEADS: readonly (readonly [Order, Key])[] = [["country", "country"], ["votes", "votesHead"], ["leader", "leader"]];

function sorted(countries: readonly CountryAggregate[], order: Order): CountryAggregate[] {
  const name = ({ countryCode }: CountryAggregate) => countryName(countryCode);
  const compare = {
    votes: () => 0,
    country: (a: CountryAggregate, b: CountryAggregate) => byName(name(a), name(b)),
    leader: (a: CountryAggregate, b: CountryAggregate) => Number(a.leader === null) - Number(b.leader === null) || byName(a.leader ?? "", b.leader ?? ""),
  }[order];
  // Level ones as SQL has them: the biggest first, then by code.
  return [...countries].sort((a, b) => compare(a, b) || b.totalVotes - a.totalVotes || (a.countryCode < b.countryCode ? -1 : 1));
}

export interface CountriesProps {
  readonly countries: readonly CountryAggregate[];
  readonly palette: Palette;
  /** Shows a country on the map; undefined: there is no map. */
  readonly onShow: ((code: string) => void) | undefined;
}

/** Countries, biggest first: what the map says, in words. */
export function Countries({ countries, palette, onShow }: CountriesProps) {
  const [isOpen, setOpen] = useState(false);
  const [order, setOrder] = useState<Order>("votes");
  const [sought, setSought] = useState("");
  const list = useId();
  if (countries.length === 0) return null;
  const isLong = countries.length > SHOWN;
  const found = sorted(sought.trim() ? countries.filter(({ countryCode }) => isFound(countryName(countryCode), sought)) : countries, order);
  const rows = isOpen || sought.trim() ? found : found.slice(0, SHOWN);
  return (
    <section aria-label={say("countries")}>
      <h2>{say("countries")}</h2>
      {isLong && (
        <input type="search" className="find" value={sought} placeholder={say("findCountry")} aria-label={say("findCountry")} aria-controls={list} onChange={({ target }) => setSought(target.value)} />
      )}
      <table className="countries" id={list} aria-label={say("countries")}>
        <thead>
          <tr>
            {HEADS.map(([each, key]) => (
              <th key={each} scope="col" aria-sort={each !== order ? "none" : each === "votes" ? "descending" : "ascending"}>
                <button type="button" title={say("sortBy", { column: say(key) })} onClick={() => setOrder(each)}>{say(key)}</button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((country) => {
            const { countryCode, totalVotes, votes, leader } = country;
            const name = countryName(countryCode);
            return (
              <tr key={countryCode} data-country={countryCode}>
                <th scope="row">
                  {onShow && countryCode !== "ZZ" ? <button type="button" className="go" title={say("showOnMap", { place: name })} onClick={() => onShow(countryCode)}>{name}</button> : name}
                  <Bar votes={votes} palette={palette} />
                </th>
                <td className="number" data-votes={totalVotes}>{formatCount(totalVotes)}</td>
                <td><Swatch team={leader} palette={palette} />{leader === null ? say("levelLow") : <><bdi>{leader}</bdi> <span className="share">{formatLead(country)}</span></>}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {found.length === 0 && <p className="quiet" role="status">{say("noCountry")}</p>}
      {isLong && !sought.trim() && (
        <button type="button" className="more" aria-expanded={isOpen} aria-controls={list} onClick={() => setOpen(!isOpen)}>
          {isOpen ? say("showFewer") : say("showAll", { n: countries.length })}
        </button>
      )}
    </section>
  );
}
