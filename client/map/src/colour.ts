// A cell's colour: its leader's, the stronger the clearer the lead.

export type Rgb = readonly [red: number, green: number, blue: number];
export type Theme = "light" | "dark";

interface Tones {
  /** Teams in order: Okabe and Ito's colours, which people with any kind of colour vision can tell apart; lighter on dark ground. */
  readonly teams: readonly string[];
  /** Teams past those. */
  readonly others: string;
  readonly tie: string;
  /** What a colour fades towards as the lead gets smaller. */
  readonly pale: string;
}

const TONES: Record<Theme, Tones> = {
  light: { teams: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"], others: "#6b5b95", tie: "#8f949c", pale: "#f4f1ea" },
  dark: { teams: ["#4ea8e8", "#ff8a3d", "#2fc79a", "#e59ac4", "#f2c94c", "#9fdcff"], others: "#a99bd6", tie: "#7d8590", pale: "#1d2530" },
};

/** How many shades there are from a narrow lead to a clear one. */
const SHADES = 16;

/** How much of the leader's colour the narrowest lead has. */
const FAINTEST = 0.3;

export function parseHex(hex: string): Rgb {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

export function mix(from: Rgb, to: Rgb, share: number): Rgb {
  return [0, 1, 2].map((i) => Math.round(from[i]! + (to[i]! - from[i]!) * share)) as unknown as Rgb;
}

/**
 * Teams in the order that colours go by: the six biggest when first seen, by name; those that come later after them. Nobody
 * changes colours while the page is open.
 */
export function orderTeams(known: readonly string[], votes: Readonly<Record<string, number>>): readonly string[] {
  const fresh = Object.keys(votes).filter((team) => !known.includes(team));
  if (!fresh.length) return known;
  const { teams } = TONES.light;
  const biggest = fresh.sort((a, b) => votes[b]! - votes[a]! || (a < b ? -1 : 1)).slice(0, Math.max(0, teams.length - known.length));
  return [...known, ...biggest.sort(), ...fresh.filter((team) => !biggest.includes(team)).sort()];
}

/** What is drawn in which colour. */
export class Palette {
  private readonly shades = new Map<string, readonly Rgb[]>();
  readonly tie: Rgb;

  constructor(
    readonly teams: readonly string[],
    readonly theme: Theme,
  ) {
    const { pale, tie } = TONES[theme];
    this.tie = parseHex(tie);
    for (const team of teams) {
      const full = parseHex(this.of(team));
      const shades = Array.from({ length: SHADES }, (_, i) => mix(parseHex(pale), full, FAINTEST + ((1 - FAINTEST) * i) / (SHADES - 1)));
      this.shades.set(team, shades);
    }
  }

  /** A team's colour. */
  of(team: string | null): string {
    const { teams, others, tie } = TONES[this.theme];
    return team === null ? tie : (teams[this.teams.indexOf(team)] ?? others);
  }

  /** The colour of a place where `leader` leads by `dominance` (0 to 1). The same array for the same shade. */
  shade(leader: string | null, dominance: number): Rgb {
    const shades = leader === null ? undefined : this.shades.get(leader);
    // A root, for most leads are small and must be told apart.
    return shades ? shades[Math.round(Math.sqrt(dominance) * (SHADES - 1))]! : this.tie;
  }
}
