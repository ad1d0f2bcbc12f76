import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useVoteSocket } from "vote-agg-client/react";
import { type Address, type View, writeView } from "./address.js";
import { useTimeline } from "./api.js";
import { CellCard, Legend } from "./CellCard.js";
import { useServerNow } from "./clock.js";
import { Palette, type Theme } from "./colour.js";
import { Badge, Pulse, Trouble } from "./Connection.js";
import { Countries } from "./Countries.js";
import { Flips } from "./Flips.js";
import { rateAt } from "./minutes.js";
import { Momentum } from "./Momentum.js";
import { resolutionAt } from "./resolution.js";
import { Score } from "./Score.js";
import { formatPercent } from "./words.js";
import { WorldMap } from "./WorldMap.js";

export interface MatchPageProps extends Address {
  readonly match: string;
  readonly theme: Theme;
  readonly children: React.ReactNode;
}

/** A match: its map, and beside it the numbers. */
export function MatchPage({ match, view, token, theme, children }: MatchPageProps) {
  const [resolution, setResolution] = useState(() => resolutionAt(view?.zoom ?? Math.log2(Math.max(innerWidth, 512) / 512)));
  const votes = useVoteSocket({ matchId: match, resolution, token });
  const { stats, aggregates, countries, flips, at, connected, connectionError, staleSince } = votes;
  const palette = usePalette(stats?.votes, theme);
  const timeline = useTimeline(match, at, token);
  // No fold comes before its own time, whatever the clocks say.
  const now = Math.max(useServerNow(), at === null ? 0 : Date.parse(at));
  const rate = rateAt(now, stats?.votesPerMinute ?? 0, at, timeline.moment === at ? timeline.value : null);
  const [marked, setMarked] = useState<string | null>(null);
  const onView = useView(setResolution);
  const cell = marked === null ? undefined : aggregates.find(({ h3Index }) => h3Index === marked);

  useEffect(() => {
    const lead = stats?.leader ? `${stats.leader} +${formatPercent(stats.dominance, 1)} · ` : "";
    document.title = `${lead}${match}`;
  }, [match, stats?.leader, stats?.dominance]);

  return (
    <div className="page match" data-seq={votes.seq} data-resolution={votes.resolution ?? ""} data-cells={aggregates.length}>
      <main className="stage">
        <WorldMap cells={aggregates} palette={palette} theme={theme} view={view} onView={onView} marked={cell ? marked : null} onMark={setMarked} />
        <div className="over">
          {cell && <CellCard cell={cell} palette={palette} onClose={() => setMarked(null)} />}
          <Legend votes={stats?.votes ?? {}} palette={palette} />
        </div>
      </main>
      <div className="panel" role="complementary" aria-label="Numbers">
        <header>
          <nav aria-label="Site"><a href={`/${location.hash}`}>All matches</a>{children}</nav>
          <h1>{match}</h1>
          <p className="state"><Pulse connected={connected} connectionError={connectionError} staleSince={staleSince} />{stats && <Badge status={stats.status} />}</p>
        </header>
        <Trouble connectionError={connectionError} staleSince={staleSince} at={at} />
        {stats?.status === "unknown" && (
          <p className="note" role="alert">There is no match “{match}” yet. When its first vote comes in, it shows here. <a href={`/${location.hash}`}>All matches</a></p>
        )}
        {!stats && !connectionError && <p className="quiet">Getting the votes …</p>}
        {stats && stats.status !== "unknown" && (
          <>
            <Score stats={stats} rate={rate} palette={palette} />
            {at !== null && <Momentum minutes={timeline.value ?? []} now={now} palette={palette} problem={timeline.problem} />}
            <Flips flips={flips} palette={palette} />
            <Countries countries={countries} palette={palette} />
          </>
        )}
      </div>
    </div>
  );
}

/** The colours of all teams seen so far: one whose votes were taken back keeps its own. */
function usePalette(votes: Readonly<Record<string, number>> | undefined, theme: Theme): Palette {
  const seen = useRef<readonly string[]>([]);
  const fresh = Object.keys(votes ?? {}).filter((team) => !seen.current.includes(team));
  if (fresh.length) seen.current = [...seen.current, ...fresh];
  const teams = seen.current;
  return useMemo(() => new Palette(teams, theme), [teams, theme]);
}

/** Follows the map: the resolution at once, the address when it has come to rest. */
function useView(setResolution: (next: (current: number) => number) => void): (view: View) => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  return useCallback((view: View) => {
    setResolution((current) => resolutionAt(view.zoom, current));
    clearTimeout(timer.current);
    timer.current = setTimeout(() => history.replaceState(null, "", writeView(location.search, view) + location.hash), 300);
  }, [setResolution]);
}
