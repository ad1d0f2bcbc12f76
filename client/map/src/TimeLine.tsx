import type { History as Known } from "./api.js";
import type { Palette } from "./colour.js";
import { say } from "./language.js";
import { formatMoment } from "./words.js";

const HEIGHT = 40;

export interface HistoryProps extends Known {
  /** The moment that is shown; null: the present. */
  readonly moment: number | null;
  readonly onMoment: (moment: number | null) => void;
  readonly palette: Palette;
}

/** The whole match, a column for each part of it in the colour of who led then, with a cursor. At its end the page is live. */
export function History({ columns, width, moment, onMoment, palette }: HistoryProps) {
  if (columns.length < 2) return null;
  const most = Math.max(1, ...columns.map(({ votes }) => votes));
  const step = width * 60_000;
  const [first, last] = [columns[0]!.start, columns.at(-1)!.start];
  // The first moment is the end of the first column: before it there were no votes.
  const count = Math.round((last - first) / step);
  const place = moment === null ? count + 1 : Math.round((moment - first) / step);
  const choose = (place: number) => onMoment(place > count ? null : first + place * step);
  const told = moment === null ? say("live") : formatMoment(moment);
  return (
    <section aria-label={say("history")} className="history">
      <h2>{say("history")}</h2>
      <svg className="momentum" viewBox={`0 0 ${count + 1} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {columns.map(({ start, votes, leader }) => {
          const height = (Math.max(0, votes) / most) * (HEIGHT - 2);
          const isPast = moment !== null && start >= moment;
          return <rect key={start} className={isPast ? "past" : undefined} x={(start - first) / step} y={HEIGHT - height} width={0.9} height={height} fill={palette.of(leader)} />;
        })}
      </svg>
      <input type="range" min={1} max={count + 1} value={place} aria-label={say("cursor")} aria-valuetext={told} onChange={({ target }) => choose(target.valueAsNumber)} />
      <span className="axis" aria-hidden="true"><span>{formatMoment(first)}</span><span>{say("live")}</span></span>
    </section>
  );
}

/** Says that the page shows an earlier moment, and leads back. */
export function Moment({ moment, problem, onLive }: { moment: number; problem: string | null; onLive: () => void }) {
  return (
    <p className="note moment" role="status">
      {problem === null ? say("showing", { time: formatMoment(moment) }) : say("noEarlier", { problem })} <button type="button" onClick={onLive}>{say("backToLive")}</button>
    </p>
  );
}
