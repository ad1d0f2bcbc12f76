import type { Palette } from "./colour.js";
import { say } from "./language.js";
import { columnsOf, type Minute, MINUTES } from "./minutes.js";
import { byName } from "./teams.js";
import { formatCount, formatMinute, formatShort } from "./words.js";

const HEIGHT = 56;
const PITCH = 12;

/** How many minutes the chart shows: as many as the match is old, within reason. */
const LEAST = 5;

/** Votes by minute, a column each, the current one on the right. */
export function Momentum({ minutes, now, palette, problem }: { minutes: readonly Minute[]; now: number; palette: Palette; problem: string | null }) {
  const columns = columnsOf(minutes, now);
  const sum = (column: ReadonlyMap<string, number>) => [...column.values()].reduce((total, votes) => total + votes, 0);
  const most = Math.max(1, ...[...columns.values()].map(sum));
  const oldest = Math.min(MINUTES - LEAST, ...columns.keys());
  const shown = MINUTES - oldest;
  const timeOf = (slot: number) => formatMinute(now - (MINUTES - 1 - slot) * 60_000);
  return (
    <section aria-label={say("momentum")}>
      <h2>{say("lastMinutes", { n: shown })}</h2>
      <div className="chart">
        <span className="most" aria-hidden="true">{formatShort(most)}</span>
        <svg className="momentum" viewBox={`0 0 ${shown * PITCH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={say("chart", { votes: formatCount(most) })}>
          {Array.from({ length: shown }, (_, i) => {
            const slot = oldest + i;
            let top = HEIGHT;
            const column = columns.get(slot) ?? new Map<string, number>();
            const told = `${timeOf(slot)}: ${say("votes", { n: sum(column) })}`;
            return (
              <g key={slot} data-column={column.size ? slot : undefined} transform={`translate(${i * PITCH + 1} 0)`}>
                <title>{told}</title>
                <rect className="room" width={PITCH - 2} height={HEIGHT} />
                <rect className="slot" y={HEIGHT - 1} width={PITCH - 2} height={1} />
                {[...column.keys()].sort((a, b) => Number(palette.has(b)) - Number(palette.has(a)) || byName(a, b)).map((team) => {
                  const height = (column.get(team)! / most) * (HEIGHT - 2);
                  return <rect key={team} y={(top -= height)} width={PITCH - 2} height={height} fill={palette.of(team)} />;
                })}
              </g>
            );
          })}
        </svg>
        <span className="axis" aria-hidden="true"><span>{timeOf(oldest)}</span><span>{timeOf(MINUTES - 1)}</span></span>
      </div>
      {problem && <p className="note" role="alert">{say("noTimeline", { problem })}</p>}
    </section>
  );
}
