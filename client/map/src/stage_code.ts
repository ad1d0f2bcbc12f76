import { type ComponentType, useCallback, useEffect, useState } from "react";
import type { StageProps } from "./Stage.js";

/** The code of the map: it comes after the numbers, and where it does not come they stand alone. Null: it is on its way. */
export function useStage(isWanted: boolean): { Stage: ComponentType<StageProps> | null; hasFailed: boolean; retry: () => void } {
  const [Stage, setStage] = useState<ComponentType<StageProps> | null>(null);
  const [hasFailed, setFailed] = useState(false);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    if (!isWanted) return;
    let isOver = false;
    import("./Stage.js").then(
      (code) => isOver || setStage(() => code.default),
      // A browser keeps in mind that a module did not come: only a reload asks for it again.
      () => isOver || (attempt ? location.reload() : setFailed(true)),
    );
    return () => void (isOver = true);
  }, [attempt, isWanted]);
  return { Stage, hasFailed, retry: useCallback(() => setAttempt((count) => count + 1), []) };
}
