/** Being away for longer than this may have cost the connection without a word. */
const LONG = 30_000;

/**
 * Calls `wake` when the page may have come back to a network: it is online again, shown again, or taken out of the browser's
 * cache. `isLong` says that it was away for long. Returns what ends it. Without a page it does nothing.
 */
export function onWake(wake: (isLong: boolean) => void): () => void {
  if (typeof document === "undefined") return () => {};
  const end = new AbortController();
  const on = (target: EventTarget, event: string, listener: () => void) => target.addEventListener(event, listener, end);
  let hiddenAt = Date.now();
  on(document, "visibilitychange", () => {
    if (document.hidden) hiddenAt = Date.now();
    else wake(Date.now() - hiddenAt > LONG);
  });
  for (const event of ["online", "pageshow"]) on(window, event, () => wake(true));
  return () => end.abort();
}
