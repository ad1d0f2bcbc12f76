import type { CSSProperties } from "react";
import type { CellAggregate, RelayOptions, Token } from "vote-agg-client";
import type { View } from "../view.js";

export interface VoteMapProps extends RelayOptions {
  readonly matchId: string;
  readonly token?: Token | undefined;
  /** The visitor's, unless it is named. */
  readonly theme?: "light" | "dark" | "auto" | undefined;
  /** Where the map begins; the whole world, unless it is said. */
  readonly view?: View | undefined;
  /** Cells of this resolution, 0 to 15; those that fit the zoom, unless it is said. */
  readonly resolution?: number | undefined;
  /** The one team that is shown, by its share; null: who leads. */
  readonly team?: string | null | undefined;
  /** Colours of teams, such as `{ home: "#0b62a4" }`. The others have those of the live map. */
  readonly colors?: Readonly<Record<string, string>> | undefined;
  /** The language of the words, `en` or `de`; the visitor's, unless it is named. All maps of a page speak one. */
  readonly lang?: string | undefined;
  /** A search for cities and countries. */
  readonly search?: boolean | undefined;
  /** What the map is called for those who do not see it. */
  readonly label?: string | undefined;
  /** Hears of the cell that the visitor looks at, and again when its votes move; null: of none any more. */
  readonly onCell?: ((cell: CellAggregate | null) => void) | undefined;
  /** Hears where the map has come to rest. */
  readonly onView?: ((view: View) => void) | undefined;
  readonly className?: string | undefined;
  readonly style?: CSSProperties | undefined;
}
