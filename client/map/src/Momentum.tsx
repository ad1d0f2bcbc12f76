import type { Palette } from "./colour.js";
import { columnsOf, type Minute, MINUTES } from "./minutes.js";
import { formatCount } from "./words.js";

const HEIGHT = 56;
const PITCH = 12;

/** Votes by minute, a column each, the current one on the right. */
export function Momentum({ minutes, now, palette, problem }: { minutes: readonly Minute[]; now: number; palette: Palette; problem: string | null }) {
  const columns = columnsOf(minutes, now);
  const sum = (column: Map<string, number>) => [...column.values()].reduce((total, votes) => total + votes, 0);
  const most = Math.max(1, ...[...columns.values()].map(sum));
  return (
    <section aria-label="Momentum">
      <h2>Last {MINUTES} minutes</h2>
      <svg className="momentum" viewBox={`0 0 ${MINUTES * PITCH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`Votes by minute; at most ${formatCount(most)} in one`}>
        {Array.from({ length: MINUTES }, (_, slot) => {
          let top = HEIGHT;
          const column = columns.get(slot);
          return (
            <g key={slot} data-column={column ? slot : undefined} transform={`translate(${slot * PITCH + 1} 0)`}>
              <rect className="slot" y={HEIGHT - 1} width={PITCH - 2} height={1} />
              {column && palette.teams.filter((team) => column.has(team)).map((team) => {
                const height = (column.get(team)! / most) * (HEIGHT - 2);
                return <rect key={team} y={(top -= height)} width={PITCH - 2} height={height} fill={palette.of(team)} />;
              })}
            </g>
          );
        })}
      </svg>
      {problem && <p className="note" role="alert">No new timeline: {problem}</p>}
    </section>
  );
}
