// The part of `<VoteMap>` that loads deck.gl and MapLibre.
import { useMemo } from "react";
import { type Language, speak } from "../language.js";
import Stage, { type StageProps } from "../Stage.js";

export interface PackedStageProps extends StageProps {
  readonly language: Language;
}

/** The stage in a language: an application in CommonJS has the words twice, there and here. */
export default function PackedStage({ language, ...props }: PackedStageProps) {
  useMemo(() => speak(language), [language]);
  return <Stage {...props} />;
}
