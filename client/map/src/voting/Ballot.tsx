import { useEffect } from "react";
import type { VoteSocket } from "vote-agg-client/react";
import { Name, Swatch } from "../Bar.js";
import type { Palette } from "../colour.js";
import { say } from "../language.js";
import type { Own } from "./own.js";
import { teamsOf } from "./right.js";
import { useVoting } from "./useVoting.js";
import "./ballot.css";

/** What the relay says, in words for a visitor; the rest is told in its own words. */
const REASONS = {
  closed: "refusedClosed", voted: "refusedVoted", too_many_votes: "refusedFast", token_expired: "refusedToken", unknown_outcome: "refusedUnknown",
} as const;

export interface BallotProps {
  readonly votes: VoteSocket;
  readonly token: string | undefined;
  readonly palette: Palette;
  /** Hears which hexagon is the visitor's own. */
  readonly onOwn: (own: Own | null) => void;
}

/** The visitor's own vote: a button a team, and where it comes from. Loaded only where the relay takes votes. */
export default function Ballot({ votes, token, palette, onOwn }: BallotProps) {
  const { stats, myVote, voting: isSending, voteError } = votes;
  const { cell, isGlowing, glows, place, placeError, isSearching, togglePlace, vote, takeBack } = useVoting(votes, token);
  useEffect(() => {
    onOwn(cell === null ? null : { cell, isGlowing });
    return () => onOwn(null);
  }, [onOwn, cell, isGlowing]);
  const status = stats?.status ?? "unknown";
  const isOpen = status === "open";
  const teams = teamsOf(location.search, Object.keys(stats?.votes ?? {}));
  // Without a token a vote is a click, which stands.
  const isSettled = token === undefined && myVote !== null && !isSending;
  const reason = voteError && REASONS[voteError.code as keyof typeof REASONS];
  const problem = placeError !== null ? say(placeError) : voteError && (reason ? say(reason) : voteError.message);
  return (
    <section aria-label={say("yourVote")} className="ballot" data-sending={isSending} data-own={cell ?? ""} data-glows={glows}>
      <h2>{say("yourVote")}</h2>
      {teams.length > 0 && (
        <div role="group" aria-label={say("teamsToChoose")} className="choices">
          {teams.map((team) => (
            <button key={team} type="button" aria-pressed={myVote?.teamChoice === team} disabled={!isOpen || isSettled} onClick={() => vote(team)}>
              <Swatch team={team} palette={palette} />
              <Name>{team}</Name>
            </button>
          ))}
        </div>
      )}
      <p role="status" className="quiet">{sentence(status, teams, myVote?.teamChoice ?? null, isSending)}</p>
      {problem && <p className="note" role="alert">{problem}</p>}
      {isOpen && !isSettled && (
        <p className="also">
          <button type="button" aria-pressed={place !== null} disabled={isSearching} onClick={togglePlace}>{say(isSearching ? "searchingPlace" : "usePlace")}</button>
          {myVote && <button type="button" onClick={takeBack}>{say("takeBack")}</button>}
        </p>
      )}
      {isOpen && place !== null && <p className="quiet">{say("placeUsed")}</p>}
    </section>
  );
}

function sentence(status: string, teams: readonly string[], team: string | null, isSending: boolean): string {
  if (isSending) return team === null ? say("takingBack") : say("sendingVote", { team });
  if (status === "scheduled") return say("votingLater");
  if (status === "closed" || status === "final") return team === null ? say("votingOver") : say("youVotedOver", { team });
  if (status !== "open") return say("votingNotOpen");
  if (team !== null) return say("youVoted", { team });
  return say(teams.length ? "chooseTeam" : "noTeams");
}
