import { type ComponentType, useCallback, useEffect, useState } from "react";

/** The code of the map: it comes after the numbers, and where it does not come they stand alone. Null: it is on its way. */
export function useStage<P>(isWanted: boolean, load: () => Promise<{ default: ComponentType<P> }>): { Stage: ComponentType<P> | null; hasFailed: boolean; retry: () => void } {
  const [Stage, setStage] = useState<ComponentType<P> | null>(null);
  const [hasFailed, setFailed] = useState(false);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    if (!isWanted) return;
    let isOver = false;
    load().then(
      (code) => isOver || setStage(() => code.default),
      // A browser keeps in mind that a module did not come: only a reload asks for it again.
      () => isOver || (attempt ? location.reload() : setFailed(true)),
    );
    return () => void (isOver = true);
  }, [attempt, isWanted]);
  return { Stage, hasFailed, retry: useCallback(() => setAttempt((count) => count + 1), []) };
}
