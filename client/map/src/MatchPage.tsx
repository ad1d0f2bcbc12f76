import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";
import { useVoteSocket } from "vote-agg-client/react";
import { type Address, listAddress, relayAddress, writeTeam, writeView } from "./address.js";
import { useEarlier, useFlips, useHistory, useTimeline } from "./api.js";
import { useServerNow } from "./clock.js";
import type { Theme } from "./colour.js";
import { Badge, Pulse, Trouble, useLastLive } from "./Connection.js";
import { Countries } from "./Countries.js";
import { Flips } from "./Flips.js";
import { earlierOf } from "./history.js";
import { History, Moment } from "./TimeLine.js";
import type { Embed } from "./embed.js";
import { say } from "./language.js";
import { useLook } from "./look.js";
import { rateAt } from "./minutes.js";
import { Momentum } from "./Momentum.js";
import { useNarrow } from "./narrow.js";
import { usePalette } from "./palette.js";
import { Headline, Score } from "./Score.js";
import { useStage } from "./stage_code.js";
import type { Own } from "./voting/own.js";
import type { View } from "./view.js";
import { mayVote } from "./voting/right.js";
import { formatLead } from "./words.js";

export interface MatchPageProps extends Address {
  readonly match: string;
  readonly theme: Theme;
  /** What is shown. */
  readonly parts: Embed["parts"];
  /** In a frame of another page: without the way around. */
  readonly isEmbedded?: boolean;
  readonly children?: React.ReactNode;
}

const Ballot = lazy(() => import("./voting/Ballot.js"));

const loadStage = () => import("./Stage.js");

const keepView = (view: View) => history.replaceState(null, "", writeView(location.search, view) + location.hash);

/** No votes: the same object each time. */
const NONE = {};

export const WHOLE: Embed["parts"] = new Set(["score", "map", "numbers"]);

/** A match: its map, and beside it the numbers. */
export function MatchPage({ match, view, team: asked, token, theme, parts, isEmbedded = false, children }: MatchPageProps) {
  const [{ resolution, area }, onView] = useLook(view, keepView);
  const votes = useVoteSocket({ matchId: match, url: relayAddress(location.href), resolution, area, token });
  const { stats, aggregates, countries, flips, at } = votes;
  const palette = usePalette(stats?.votes, countries, theme);
  const [hasMap, hasNumbers] = [parts.has("map"), parts.has("numbers")];
  const timeline = useTimeline(match, hasNumbers ? at : null, token);
  // No fold comes before its own time, whatever the clocks say.
  const now = Math.max(useServerNow(), at === null ? 0 : Date.parse(at));
  const rate = rateAt(now, stats?.votesPerMinute ?? 0, at, timeline.moment === at ? timeline.value : null);
  const history = useHistory(match, hasNumbers ? at : null, Object.keys(stats?.votes ?? {}).length, token);
  const earlier = useFlips(match, hasNumbers ? at : null, token);
  const [moment, setMoment] = useState<number | null>(null);
  const then = useEarlier(match, moment, token);
  const shown = useMemo(() => (then.value && stats ? earlierOf(then.value, stats) : null), [then.value, stats]);
  useLiveKey(setMoment);
  const lastLive = useLastLive(votes, stats !== null);
  const [team, setTeam] = useTeam(asked);
  const { Stage, hasFailed, retry } = useStage(hasMap, loadStage);
  const [problem, setProblem] = useState<string | null>(null);
  const [country, setCountry] = useState<{ code: string } | null>(null);
  const isNarrow = useNarrow();
  const [own, setOwn] = useState<Own | null>(null);

  const showCountry = useCallback((code: string) => {
    setCountry({ code });
    document.querySelector(".stage")?.scrollIntoView({ block: "nearest" });
  }, []);

  useEffect(() => {
    document.title = `${stats?.leader ? `${stats.leader} ${formatLead(stats, 1)} · ` : ""}${match}`;
  }, [match, stats]);

  const hasVotes = stats !== null && stats.status !== "unknown";
  return (
    <div
      className={`page match${problem === null && hasMap ? "" : " no-map"}${isEmbedded ? " embed" : ""}${lastLive === null ? "" : " stale"}`}
      data-seq={votes.seq} data-resolution={votes.resolution ?? ""} data-cells={aggregates.length} data-area={votes.area?.length ?? ""}
    >
      <header className="head">
        {!isEmbedded && <nav aria-label={say("site")}><a href={listAddress(location.hash)}>{say("allMatches")}</a>{children}</nav>}
        <h1><bdi>{match}</bdi></h1>
        <p className="state">{moment === null && <Pulse {...votes} />}{stats && <Badge status={stats.status} at={at} />}</p>
        {hasVotes && parts.has("score") && <Headline stats={shown?.stats ?? stats} palette={palette} />}
        {moment !== null && <Moment moment={moment} problem={then.problem} onLive={() => setMoment(null)} />}
        {!stats && !votes.connectionError && <p className="quiet">{say("getting")}</p>}
        {stats?.status === "unknown" && (
          <p className="note" role="alert">{say("noMatch", { match })} {!isEmbedded && <a href={listAddress(location.hash)}>{say("allMatches")}</a>}</p>
        )}
        <Trouble {...votes} lastLive={lastLive} onRetry={() => { votes.disconnect(); votes.connect(); }} />
      </header>
      <main className="stage">
        {problem !== null && <p className="note" role="alert">{problem}</p>}
        {hasMap && problem === null && Stage && (
          <Stage
            cells={aggregates} votes={stats?.votes ?? NONE} palette={palette} theme={theme} view={view} onView={onView}
            team={team} onTeam={setTeam} isNarrow={isNarrow} country={country} own={own} onFail={setProblem}
          />
        )}
        {hasMap && problem === null && !Stage && (
          <div className="map coming">
            {hasFailed ? <p className="note map-note" role="alert">{say("mapFailed")} <button type="button" onClick={retry}>{say("tryNow")}</button></p> : <p className="quiet">{say("mapComing")}</p>}
          </div>
        )}
      </main>
      {hasNumbers && <div className="panel" role="complementary" aria-label={say("numbers")}>
        {hasVotes && (
          <>
            {mayVote(votes.door, token) && <Suspense fallback={null}><Ballot votes={votes} token={token} palette={palette} onOwn={setOwn} /></Suspense>}
            <Score stats={shown?.stats ?? stats} rate={rate} palette={palette} team={team} onTeam={setTeam} />
            {at !== null && <Momentum minutes={timeline.value ?? []} now={now} palette={palette} problem={timeline.problem} />}
            <History {...history} moment={moment} onMoment={setMoment} palette={palette} />
            <Flips flips={flips} earlier={earlier} palette={palette} />
            <Countries countries={shown?.countries ?? countries} palette={palette} onShow={Stage && problem === null ? showCountry : undefined} />
          </>
        )}
      </div>}
    </div>
  );
}

/** Escape goes back to the present. */
function useLiveKey(setMoment: (moment: null) => void): void {
  useEffect(() => {
    const onKey = ({ key }: KeyboardEvent) => key === "Escape" && setMoment(null);
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [setMoment]);
}

/** The one team that the map shows; null: who leads. The address says it too. */
function useTeam(asked: string | null): [string | null, (team: string | null) => void] {
  const [team, setTeam] = useState(asked);
  const choose = useCallback((next: string | null) => {
    setTeam(next);
    history.replaceState(null, "", writeTeam(location.search, next) + location.hash);
  }, []);
  return [team, choose];
}
