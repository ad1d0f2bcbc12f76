"use client";
// The live map of a match, for any page. The code that draws it comes later, and in browsers alone.
import { type ReactElement, useMemo, useRef, useState } from "react";
import { useVoteSocket } from "vote-agg-client/react";
import { Badge } from "../Connection.js";
import { chooseLanguage, marksOf, say, speak } from "../language.js";
import { usePalette } from "../palette.js";
import { useStage } from "../stage_code.js";
import { useAsked, useMounted, useNarrowBox, useOnCell, useOwnColours, usePlacedLook, useWantedTheme } from "./hooks.js";
import { Connection, isStale, Numbers } from "./Numbers.js";
import type { VoteMapProps } from "./props.js";

export type { View } from "../view.js";
export type { VoteMapProps } from "./props.js";

const loadStage = () => import("./PackedStage.js");

/** No votes: the same object each time. */
const NONE = {};

/** Pixels below which the legend is folded, and one finger scrolls the page. */
const NARROW = 480;

/** A match on a map: hexagons in the colour of their leader, and what the colours mean. */
export function VoteMap(props: VoteMapProps): ReactElement {
  const { matchId, url, path, transports, withCredentials, token, theme: asked = "auto", resolution: fixed, colors, lang, search = false, label, className, style } = props;
  const isMounted = useMounted();
  const language = useMemo(() => {
    const chosen = chooseLanguage(lang ?? null, isMounted ? navigator.languages : []);
    speak(chosen);
    return chosen;
  }, [lang, isMounted]);
  const theme = useWantedTheme(asked);
  const [view] = useState(props.view ?? null);
  const { resolution, area, onView } = usePlacedLook(view, props.onView, fixed);
  const votes = useVoteSocket({ matchId, url, path, transports, withCredentials, token, resolution, area });
  const { stats, aggregates, countries } = votes;
  const palette = useOwnColours(usePalette(stats?.votes, countries, theme), colors);
  const [team, setTeam] = useAsked(props.team ?? null);
  const onCell = useOnCell(props.onCell);
  const { Stage, hasFailed } = useStage(isMounted, loadStage);
  const [problem, setProblem] = useState<string | null>(null);
  const box = useRef<HTMLElement>(null);
  const isNarrow = useNarrowBox(box, NARROW);
  const fault = problem ?? (hasFailed ? say("mapFailed") : null);
  const isComing = stats === null || (Stage === null && fault === null);
  return (
    <section
      ref={box} className={className === undefined ? "vote-map" : `vote-map ${className}`} style={style} data-theme={theme}
      aria-label={label ?? matchId} data-seq={votes.seq} data-resolution={votes.resolution ?? ""} data-cells={aggregates.length}
    >
      {isMounted && (
        <div className={isStale(votes) ? "inside stale" : "inside"} {...marksOf(language)}>
          {fault === null && Stage && (
            <Stage
              language={language} cells={aggregates} votes={stats?.votes ?? NONE} palette={palette} theme={theme} view={view} onView={onView}
              team={team} onTeam={setTeam} isNarrow={isNarrow} country={null} own={null} onFail={setProblem} onCell={onCell} isPlain={!search}
            />
          )}
          <div className="state">
            {stats && <Badge status={stats.status} at={votes.at} />}
            {fault !== null && <p className="note" role="alert">{fault}</p>}
            <Connection votes={votes} />
            {isComing && !votes.connectionError && <p className="quiet" role="status">{say(stats ? "mapComing" : "getting")}</p>}
            {stats?.status === "unknown" && <p className="note" role="alert">{say("noMatch", { match: matchId })}</p>}
            {stats && <Numbers stats={stats} palette={palette} isSeen={fault !== null} />}
          </div>
        </div>
      )}
    </section>
  );
}
