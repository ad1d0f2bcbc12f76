import { useState } from "react";
import { type CountryAggregate, topAggregates } from "vote-agg-client";
import { Bar, Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { countryName, formatCount, formatPercent } from "./words.js";

const SHOWN = 8;

/** Countries, biggest first: what the map says, in words. */
export function Countries({ countries, palette }: { countries: readonly CountryAggregate[]; palette: Palette }) {
  const [isOpen, setOpen] = useState(false);
  if (countries.length === 0) return null;
  const rows = topAggregates(countries, isOpen ? Infinity : SHOWN);
  return (
    <section aria-label="Countries">
      <table className="countries">
        <caption>Countries</caption>
        <thead>
          <tr><th scope="col">Country</th><th scope="col">Votes</th><th scope="col">Leader</th></tr>
        </thead>
        <tbody>
          {rows.map(({ countryCode, totalVotes, votes, leader, dominance }) => (
            <tr key={countryCode} data-country={countryCode}>
              <th scope="row">{countryName(countryCode)}<Bar votes={votes} palette={palette} /></th>
              <td className="number" data-votes={totalVotes}>{formatCount(totalVotes)}</td>
              <td><Swatch team={leader} palette={palette} />{leader === null ? "level" : <>{leader} <span className="share">+{formatPercent(dominance)}</span></>}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {countries.length > SHOWN && (
        <button type="button" className="more" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? "Show fewer" : `Show all ${countries.length}`}
        </button>
      )}
    </section>
  );
}
