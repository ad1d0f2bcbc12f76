import { useMemo, useRef } from "react";
import type { CountryAggregate, Votes } from "vote-agg-client";
import { Palette, type Theme } from "./colour.js";
import { claims, colourTeams } from "./hues.js";

/** The colours of all teams seen so far: one whose votes were taken back keeps its own. */
export function usePalette(votes: Votes | undefined, countries: readonly Pick<CountryAggregate, "leader">[], theme: Theme): Palette {
  const seen = useRef<readonly string[]>([]);
  const hues = useRef<ReadonlyMap<string, number>>(new Map());
  const fresh = Object.keys(votes ?? {}).filter((team) => !seen.current.includes(team));
  if (fresh.length) seen.current = [...seen.current, ...fresh];
  const teams = seen.current;
  hues.current = useMemo(() => colourTeams(hues.current, teams, claims(votes ?? {}, countries)), [teams, votes, countries]);
  return useMemo(() => new Palette(teams, theme, hues.current), [teams, theme, hues.current]);
}
