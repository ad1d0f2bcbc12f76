import type { MatchStatus, VoteError } from "vote-agg-client";
import { formatTime } from "./words.js";

interface ConnectionProps {
  readonly connected: boolean;
  readonly connectionError: VoteError | null;
  /** Since when the relay is cut off from its database. */
  readonly staleSince: string | null;
  /** When what is shown was so; null: nothing is shown yet. */
  readonly at: string | null;
}

/** Whether the page is live, in a word. */
export function Pulse({ connected, connectionError, staleSince }: Omit<ConnectionProps, "at">) {
  const isLive = connected && connectionError === null && staleSince === null;
  const word = isLive ? "Live" : connected ? "Waiting" : connectionError ? "Reconnecting" : "Connecting";
  return <span className={`pulse ${isLive ? "live" : "waiting"}`} role="status">{word}</span>;
}

function trouble({ code, message }: VoteError): string {
  if (code === "unavailable") return "The relay cannot reach its database.";
  if (code === "unreachable" || code === "disconnected" || code === "no_answer") return "The relay does not answer.";
  if (code === "behind") return "The relay is catching up.";
  if (code === "slow") return "This page reads more slowly than votes come in.";
  if (code.startsWith("too_many")) return "The relay has no room for another page.";
  if (code === "invalid") return `The relay refuses this match: ${message}.`;
  if (code === "forbidden" || code.startsWith("token")) return `The relay refuses this page: ${message}. Open it with #token=… at the end of its address.`;
  return `Something is wrong: ${message}.`;
}

/** The trouble there is, and the remedy. */
export function Trouble({ connectionError, staleSince, at }: Omit<ConnectionProps, "connected">) {
  if (!connectionError) {
    return staleSince === null ? null : <p className="note trouble" role="alert">No news since {formatTime(staleSince)}: the relay cannot reach its database. Trying again by itself.</p>;
  }
  const isLasting = connectionError.code === "invalid";
  return (
    <p className="note trouble" role="alert">
      {trouble(connectionError)}{!isLasting && " Trying again by itself."}{at !== null && ` What you see is from ${formatTime(at)}.`}
    </p>
  );
}

const BADGES: Partial<Record<MatchStatus, string>> = { scheduled: "Not open yet", closed: "Closed, last votes being counted", final: "Final" };

export function Badge({ status }: { status: MatchStatus }) {
  return BADGES[status] ? <span className={`badge ${status}`}>{BADGES[status]}</span> : null;
}
