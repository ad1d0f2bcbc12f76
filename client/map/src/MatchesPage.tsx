import { useState } from "react";
import { matchAddress } from "./address.js";
import { type MatchLine, useMatches } from "./api.js";
import { Bar } from "./Bar.js";
import { Palette, type Theme } from "./colour.js";
import { Badge } from "./Connection.js";
import { claims, colourTeams } from "./hues.js";
import { say, tell } from "./language.js";
import { isFound } from "./teams.js";
import { formatShort, marginOf } from "./words.js";

/** A list that is longer can be searched. */
const LONG = 6;

/** The list of matches. */
export function MatchesPage({ token, theme, children }: { token: string | undefined; theme: Theme; children: React.ReactNode }) {
  const { value, problem } = useMatches(token);
  const [sought, setSought] = useState("");
  const found = value?.filter(({ match }) => !sought.trim() || isFound(match, sought));
  return (
    <div className="page matches">
      <main>
        <header>
          <nav aria-label={say("site")}><span className="brand">vote_agg</span>{children}</nav>
          <h1>{say("matches")}</h1>
        </header>
        {problem && <p className="note" role="alert">{problem} {say("again")}</p>}
        {value === null && !problem && <p className="quiet">{say("gettingList")}</p>}
        {value?.length === 0 && <p className="quiet">{say("noMatches")}</p>}
        {value && value.length > LONG && <input type="search" className="find" value={sought} placeholder={say("findMatch")} aria-label={say("findMatch")} onChange={({ target }) => setSought(target.value)} />}
        <ul className="cards">{found?.map((line) => <li key={line.match}><Card line={line} theme={theme} /></li>)}</ul>
        {value !== null && value.length > 0 && found?.length === 0 && <p className="quiet" role="status">{say("noMatchFound")}</p>}
      </main>
    </div>
  );
}

function Card({ line, theme }: { line: MatchLine; theme: Theme }) {
  const { match, status, total, votes, leader, per_minute } = line;
  const teams = Object.keys(votes);
  const palette = new Palette(teams, theme, colourTeams(new Map(), teams, claims(votes, [])));
  return (
    <a className="card" href={matchAddress(match, location.search, location.hash)}>
      <bdi className="title">{match}</bdi>
      <Badge status={status} />
      <Bar votes={votes} palette={palette} most={6} />
      <span className="quiet">
        {leader === null ? say(total ? "levelLow" : "noVotes") : tell("leadsBy", { team: <bdi>{leader}</bdi>, votes: say("votes", { n: marginOf(line) }) })}
        {total > 0 && ` · ${say("votes", { n: total })}`}
        {status === "open" && per_minute > 0 && ` · ${say("aMinute", { n: formatShort(per_minute) })}`}
      </span>
    </a>
  );
}
