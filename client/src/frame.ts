/** Milliseconds after which a page without frames is notified: a hidden one has none, and its title should go on. */
const HIDDEN = 1_000;

/** Once a frame where there are frames. */
export function onNextFrame(run: () => void): () => void {
  const frame = typeof requestAnimationFrame === "function" ? requestAnimationFrame(() => once()) : undefined;
  const timer = setTimeout(() => once(), frame === undefined ? 16 : HIDDEN);
  const cancel = () => {
    if (frame !== undefined) cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  const once = () => {
    cancel();
    run();
  };
  return cancel;
}
