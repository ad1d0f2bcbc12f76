import type { LeadChange } from "vote-agg-client";
import { Swatch } from "./Bar.js";
import type { Palette } from "./colour.js";
import { say, tell } from "./language.js";
import { countryName, formatTime } from "./words.js";

const SHOWN = 6;

const placeOf = ({ scope, place }: LeadChange) => (scope === "match" ? say("theMatch") : countryName(place!));

const sentence = (flip: LeadChange) =>
  flip.after === null ? say("nobodyLeads", { place: placeOf(flip) }) : say("takesLead", { place: placeOf(flip), team: flip.after });

/** Announced changes of leader, newest first. Those of cells are too many to list. `earlier`: those that the database keeps. */
export function Flips({ flips, earlier, palette }: { flips: readonly LeadChange[]; earlier: readonly LeadChange[]; palette: Palette }) {
  // What came while the page asked is in both.
  const all = [...flips, ...earlier.filter(({ seq }) => flips.every((flip) => flip.seq !== seq))]
    .filter(({ scope, before }) => scope === "match" || (scope === "country" && before !== null)).slice(0, SHOWN);
  const match = flips.find(({ scope }) => scope === "match");
  return (
    <section aria-label={say("flips")}>
      <h2>{say("flips")}</h2>
      {all.length === 0 && <p className="quiet">{say("noFlips")}</p>}
      <ol className="flips">
        {all.map((flip) => (
          <li key={`${flip.at} ${flip.scope} ${flip.place}`} className={flip.scope}>
            <Swatch team={flip.after} palette={palette} />
            <span>{flip.after === null ? sentence(flip) : tell("takesLead", { place: placeOf(flip), team: <bdi>{flip.after}</bdi> })}</span>
            <time dateTime={flip.at}>{formatTime(flip.at)}</time>
          </li>
        ))}
      </ol>
      <p className="unseen" aria-live="polite">{match && sentence(match)}</p>
    </section>
  );
}
