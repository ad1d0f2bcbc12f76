// The server's time. A visitor's clock may be wrong by minutes, and minutes are what the page counts in.
import { useEffect, useState } from "react";

/** Milliseconds that the server's clock is ahead of this one. */
let ahead = 0;

/** Learns from the headers of an answer; one that came out of a cache says how old it is. */
export function learnTime(headers: Headers, now = Date.now()): void {
  const date = Date.parse(headers.get("date") ?? "");
  if (Number.isNaN(date)) return;
  // The header leaves out parts of seconds: half of one on average.
  ahead = date + (Number(headers.get("age")) || 0) * 1_000 + 500 - now;
}

export function serverNow(now = Date.now()): number {
  return now + ahead;
}

/** The server's time, anew every few seconds. */
export function useServerNow(pause = 2_000): number {
  const [now, setNow] = useState(() => serverNow());
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), pause);
    return () => clearInterval(timer);
  }, [pause]);
  return now;
}
