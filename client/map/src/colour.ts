// A cell's colour: its leader's, the stronger the clearer the lead.

export type Rgb = readonly [red: number, green: number, blue: number];
export type Theme = "light" | "dark";

interface Tones {
  /**
   * The colours of teams: first Okabe and Ito's, which people with any kind of colour vision can tell apart, then others for
   * matches of more than six teams; lighter on dark ground.
   */
  readonly hues: readonly string[];
  readonly tie: string;
  /** A colour fades towards this one as the lead gets smaller. */
  readonly pale: string;
}

const TONES: Record<Theme, Tones> = {
  light: {
    hues: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b5b95", "#882255", "#8a8a00", "#332288", "#44aa99", "#8c510a"],
    tie: "#8f949c",
    pale: "#f4f1ea",
  },
  dark: {
    hues: ["#4ea8e8", "#ff8a3d", "#2fc79a", "#e59ac4", "#f2c94c", "#9fdcff", "#a99bd6", "#e8799f", "#c9c95a", "#8f8cf0", "#7fd6c8", "#d8a15c"],
    tie: "#7d8590",
    pale: "#1d2530",
  },
};

/** The hues that teams get as long as there are no more of them. */
const FEW = 6;

/** Names of colours, taken at their word: the nearest of the hues. */
const WORDS = new Map(Object.entries({
  blue: 0, navy: 0, red: 1, vermilion: 1, scarlet: 1, crimson: 1, green: 2, pink: 3, rose: 3, magenta: 3, orange: 4, amber: 4, yellow: 4, gold: 4,
  sky: 5, cyan: 5, aqua: 5, azure: 5, purple: 6, violet: 6, maroon: 7, wine: 7, olive: 8, lime: 8, indigo: 9, teal: 10, turquoise: 10, brown: 11,
}));

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

/** A number that goes by the name alone (FNV-1a). */
function hash(name: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) value = Math.imul(value ^ name.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/**
 * The hue of each team, by its place among the hues. It follows from the names alone, so all visitors see the same colours,
 * whenever they came. A team gets the hue that it is called by, else one that its name chooses; where that is taken, the next
 * free one. Teams past the last hue share.
 */
export function huesOf(teams: readonly string[]): ReadonlyMap<string, number> {
  const hues = new Map<string, number>();
  const taken = new Set<number>();
  const take = (team: string, hue: number) => {
    hues.set(team, hue);
    taken.add(hue);
  };
  const sorted = [...teams].sort();
  for (const team of sorted) {
    const hue = WORDS.get(team.toLowerCase());
    if (hue !== undefined && !taken.has(hue)) take(team, hue);
  }
  const all = TONES.light.hues.length;
  for (const team of sorted) {
    if (hues.has(team)) continue;
    const first = hash(team) % FEW;
    const wanted = [...Array.from({ length: FEW }, (_, i) => (first + i) % FEW), ...Array.from({ length: all - FEW }, (_, i) => FEW + i)];
    take(team, wanted.find((hue) => !taken.has(hue)) ?? hash(team) % all);
  }
  return hues;
}

/** The colours of teams and of places. */
export class Palette {
  private readonly hues: ReadonlyMap<string, number>;
  private readonly shades = new Map<string, readonly Rgb[]>();
  readonly tie: Rgb;
  /** By name. */
  readonly teams: readonly string[];

  constructor(
    teams: readonly string[],
    readonly theme: Theme,
  ) {
    const { pale, tie } = TONES[theme];
    this.tie = parseHex(tie);
    this.teams = [...teams].sort();
    this.hues = huesOf(teams);
    for (const team of teams) {
      const full = parseHex(this.of(team));
      const shades = Array.from({ length: SHADES }, (_, i) => mix(parseHex(pale), full, FAINTEST + ((1 - FAINTEST) * i) / (SHADES - 1)));
      this.shades.set(team, shades);
    }
  }

  /** A team's colour. */
  of(team: string | null): string {
    const { hues, tie } = TONES[this.theme];
    return team === null ? tie : hues[this.hues.get(team) ?? hash(team) % hues.length]!;
  }

  /** The colour of a place where `leader` leads by `dominance` (0 to 1). The same array for the same shade. */
  shade(leader: string | null, dominance: number): Rgb {
    const shades = leader === null ? undefined : this.shades.get(leader);
    // A root, for most leads are small and must be distinguished.
    return shades ? shades[Math.round(Math.sqrt(dominance) * (SHADES - 1))]! : this.tie;
  }
}
