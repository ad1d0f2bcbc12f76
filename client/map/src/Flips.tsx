import type { LeadChange } from "vote-agg-client";
import { Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { formatTime, countryName } from "./words.js";

const SHOWN = 6;

const sentence = ({ scope, place, after }: LeadChange) =>
  `${scope === "match" ? "The match" : countryName(place!)}: ${after === null ? "nobody leads" : `${after} takes the lead`}`;

/** Announced changes of leader, newest first. Those of cells are too many to list. */
export function Flips({ flips, palette }: { flips: readonly LeadChange[]; palette: Palette }) {
  const announced = flips.filter(({ scope, before }) => scope === "match" || (scope === "country" && before !== null)).slice(0, SHOWN);
  const match = flips.find(({ scope }) => scope === "match");
  return (
    <section aria-label="Changes of leader">
      <h2>Changes of leader</h2>
      {announced.length === 0 && <p className="quiet">None since this page was opened.</p>}
      <ol className="flips">
        {announced.map((flip) => (
          <li key={`${flip.seq} ${flip.scope} ${flip.place}`} className={flip.scope}>
            <Swatch team={flip.after} palette={palette} />
            <span>{sentence(flip)}</span>
            <time dateTime={flip.at}>{formatTime(flip.at)}</time>
          </li>
        ))}
      </ol>
      <p className="unseen" aria-live="polite">{match && sentence(match)}</p>
    </section>
  );
}
