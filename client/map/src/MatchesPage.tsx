import { matchAddress } from "./address.js";
import { type MatchLine, useMatches } from "./api.js";
import { Bar } from "./Bar.js";
import { Palette, type Theme } from "./colour.js";
import { Badge } from "./Connection.js";
import { formatCount, formatPercent, formatShort } from "./words.js";

/** The list of matches. */
export function MatchesPage({ token, theme, children }: { token: string | undefined; theme: Theme; children: React.ReactNode }) {
  const { value, problem } = useMatches(token);
  return (
    <div className="page matches">
      <main>
        <header>
          <nav aria-label="Site"><span className="brand">vote_agg</span>{children}</nav>
          <h1>Matches</h1>
        </header>
        {problem && <p className="note" role="alert">{problem} Trying again by itself.</p>}
        {value === null && !problem && <p className="quiet">Getting the list …</p>}
        {value?.length === 0 && <p className="quiet">No match yet. The first vote opens one.</p>}
        <ul className="cards">{value?.map((line) => <li key={line.match}><Card line={line} theme={theme} /></li>)}</ul>
      </main>
    </div>
  );
}

function Card({ line, theme }: { line: MatchLine; theme: Theme }) {
  const { match, status, total, votes, leader, dominance, per_minute } = line;
  return (
    <a className="card" href={matchAddress(match, location.hash)}>
      <span className="title">{match}</span>
      <Badge status={status} />
      <Bar votes={votes} palette={new Palette(Object.keys(votes), theme)} />
      <span className="quiet">
        {leader === null ? (total ? "level" : "no votes yet") : `${leader} leads by ${formatPercent(dominance, 1)}`} · {formatCount(total)} votes
        {status === "open" && ` · ${formatShort(per_minute)} a minute`}
      </span>
    </a>
  );
}
