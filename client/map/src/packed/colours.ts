import { Palette } from "../colour.js";

/** The colours that an application names, as text. Throws a TypeError for what is no colour of six digits. */
export function coloursOf(colors: Readonly<Record<string, string>> = {}): ReadonlyMap<string, string> {
  for (const [team, colour] of Object.entries(colors)) {
    if (!/^#[0-9a-f]{6}$/i.test(colour)) throw new TypeError(`the colour of "${team}" must be six hexadecimal digits such as #0b62a4, not "${colour}"`);
  }
  return new Map(Object.entries(colors));
}

/** A palette in which some teams have the colours that an application names. */
export class OwnPalette extends Palette {
  constructor(palette: Palette, private readonly own: ReadonlyMap<string, string>) {
    super([], palette.theme, palette.hues);
  }

  override has(team: string): boolean {
    return this.own.has(team) || super.has(team);
  }

  override of(team: string | null): string {
    return (team === null ? undefined : this.own.get(team)) ?? super.of(team);
  }
}
