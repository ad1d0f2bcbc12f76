// Colours of teams, and of places: its leader's, the stronger the clearer the lead.
import { HUES, huesOf } from "./hues.js";

export type Rgb = readonly [red: number, green: number, blue: number];
export type Theme = "light" | "dark";

interface Tones {
  /**
   * Eight colours that people with any kind of colour vision tell apart, each at 3 : 1 or more against the land. A search over
   * simulations of colour vision found them (Machado and others, 2009); `test/colour.test.ts` repeats the simulations.
   */
  readonly hues: readonly string[];
  /** All teams without a colour of their own. */
  readonly others: string;
  readonly tie: string;
  /** A colour fades towards this one as the lead gets smaller. */
  readonly pale: string;
}

export const TONES: Record<Theme, Tones> = {
  light: {
    hues: ["#1421b9", "#b44a03", "#107d68", "#b78a05", "#810c6e", "#0697dc", "#871afb", "#4d3e1c"],
    others: "#a9aeb6",
    tie: "#d9d5cc",
    pale: "#f4f1ea",
  },
  dark: {
    hues: ["#146afe", "#ee0301", "#31cd9b", "#fa920c", "#c610af", "#93f2fe", "#bba4fe", "#fedf50"],
    others: "#5a636e",
    tie: "#343d47",
    pale: "#1d2530",
  },
};

/** How many shades there are from a narrow lead to a clear one: so few that one team's are not taken for another's. */
const SHADES = 5;

/** How much of the leader's colour the narrowest lead has. */
const FAINTEST = 0.4;

export function parseHex(hex: string): Rgb {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

export function mix(from: Rgb, to: Rgb, share: number): Rgb {
  return [0, 1, 2].map((i) => Math.round(from[i]! + (to[i]! - from[i]!) * share)) as unknown as Rgb;
}

/** The colours of teams and of places. */
export class Palette {
  private readonly shades = new Map<string | null, readonly Rgb[]>();
  readonly tie: Rgb;
  readonly none: Rgb;

  /** `hues`: the teams that have a colour of their own; the first eight by name, unless they are named. */
  constructor(
    teams: readonly string[],
    readonly theme: Theme,
    readonly hues: ReadonlyMap<string, number> = huesOf([...teams].sort().slice(0, HUES)),
  ) {
    const { pale, tie } = TONES[theme];
    this.tie = parseHex(tie);
    this.none = parseHex(pale);
  }

  /** From a narrow lead to a clear one. */
  private shadesOf(team: string): readonly Rgb[] {
    const own = this.has(team) ? team : null;
    let shades = this.shades.get(own);
    if (!shades) {
      const full = parseHex(own === null ? this.others : this.of(own));
      this.shades.set(own, (shades = Array.from({ length: SHADES }, (_, i) => mix(this.none, full, FAINTEST + ((1 - FAINTEST) * i) / (SHADES - 1)))));
    }
    return shades;
  }

  /** Whether a team has a colour of its own. */
  has(team: string): boolean {
    return this.hues.has(team);
  }

  /** A team's colour. */
  of(team: string | null): string {
    const { hues, others, tie } = TONES[this.theme];
    if (team === null) return tie;
    const hue = this.hues.get(team);
    return hue === undefined ? others : hues[hue]!;
  }

  get others(): string {
    return TONES[this.theme].others;
  }

  /** The colour of a place where `leader` leads by `dominance` (0 to 1). The same array for the same shade. */
  shade(leader: string | null, dominance: number): Rgb {
    if (leader === null) return this.tie;
    // A root, for most leads are small and must be distinguished.
    return this.shadesOf(leader)[Math.round(Math.sqrt(dominance) * (SHADES - 1))]!;
  }

  /** The colour of a place where a team has `share` (0 to 1) of the votes. The same array for the same shade. */
  share(team: string, share: number): Rgb {
    if (share <= 0) return this.tie;
    return this.shadesOf(team)[Math.min(SHADES - 1, Math.floor(share * SHADES))]!;
  }
}
