import { useSyncExternalStore } from "react";

const narrow = matchMedia("(max-width: 820px)");

function listen(listener: () => void): () => void {
  narrow.addEventListener("change", listener);
  return () => narrow.removeEventListener("change", listener);
}

/** Whether the page has room for one column only, as `style.css` has it. */
export const useNarrow = () => useSyncExternalStore(listen, () => narrow.matches);
