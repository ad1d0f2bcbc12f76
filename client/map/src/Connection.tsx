import { useEffect, useState, useSyncExternalStore } from "react";
import type { MatchStatus, VoteError } from "vote-agg-client";
import { useServerNow } from "./clock.js";
import { type Key, say } from "./language.js";
import { formatAge, formatTime } from "./words.js";

interface ConnectionProps {
  readonly connected: boolean;
  readonly connectionError: VoteError | null;
  /** Since when the relay is cut off from its database. */
  readonly staleSince: string | null;
}

export const isLive = ({ connected, connectionError, staleSince }: ConnectionProps) => connected && connectionError === null && staleSince === null;

function onNetwork(listener: () => void): () => void {
  for (const event of ["online", "offline"]) addEventListener(event, listener);
  return () => {
    for (const event of ["online", "offline"]) removeEventListener(event, listener);
  };
}

const useOffline = () => useSyncExternalStore(onNetwork, () => !navigator.onLine);

/** When the page was last live, by the server's clock; null: it is, or it never was. */
export function useLastLive(connection: ConnectionProps, hasVotes: boolean): number | null {
  const live = isLive(connection);
  const now = useServerNow(1_000);
  const [last, setLast] = useState<number | null>(null);
  useEffect(() => {
    if (live && hasVotes) setLast(now);
  }, [live, hasVotes, now]);
  return live || !hasVotes ? null : last;
}

/** Whether the page is live, in a word. */
export function Pulse(connection: ConnectionProps) {
  const isOffline = useOffline();
  const live = isLive(connection);
  const word = live ? "live" : isOffline ? "offlineBadge" : connection.connected ? "waiting" : connection.connectionError ? "reconnecting" : "connecting";
  return <span className={`pulse ${live ? "live" : "waiting"}`} role="status">{say(word)}</span>;
}

function trouble({ code, message }: VoteError): string {
  if (code === "unavailable") return say("noDatabase");
  if (code === "unreachable" || code === "disconnected" || code === "no_answer") return say("lost");
  if (code === "behind") return say("catchingUp");
  if (code === "slow") return say("tooSlow");
  if (code.startsWith("too_many")) return say("noRoom");
  if (code === "invalid") return say("refusesMatch", { message });
  if (code === "forbidden" || code.startsWith("token")) return say("refusesPage", { message });
  return say("wrong", { message });
}

interface TroubleProps extends ConnectionProps {
  /** When the page was last live: what is shown is of then. */
  readonly lastLive: number | null;
  readonly onRetry: () => void;
}

/** The trouble there is, how old what is shown is, and the remedy. */
export function Trouble(props: TroubleProps) {
  const { connectionError, staleSince, lastLive, onRetry } = props;
  const isOffline = useOffline();
  const now = useServerNow(1_000);
  if (isLive(props) || (!connectionError && staleSince === null && !isOffline)) return null;
  const cause = isOffline ? say("offline") : connectionError ? trouble(connectionError) : say("noNews", { time: formatTime(staleSince!) });
  const isLasting = !isOffline && connectionError?.code === "invalid";
  const age = staleSince !== null && !connectionError ? Date.parse(staleSince) : lastLive;
  return (
    <div className="note trouble">
      <p role="alert">{cause}{!isLasting && ` ${say("again")}`}</p>
      {age !== null && <p className="age">{say("asOf", { time: formatTime(age), age: formatAge(now - age) })}</p>}
      {!isLasting && connectionError && <button type="button" onClick={onRetry}>{say("tryNow")}</button>}
    </div>
  );
}

const BADGES: Partial<Record<MatchStatus, Key>> = { scheduled: "scheduled", closed: "closed", final: "final" };

/** `at`: when the last votes were counted. */
export function Badge({ status, at = null }: { status: MatchStatus; at?: string | null }) {
  const key = BADGES[status];
  if (!key) return null;
  return <span className={`badge ${status}`}>{status === "final" && at !== null ? say("finalAt", { time: formatTime(at) }) : say(key)}</span>;
}
