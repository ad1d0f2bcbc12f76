// The page in a frame of another one: /embed?match=final&theme=dark&parts=map,score&accent=ff0000
import type { Theme } from "./colour.js";

const PARTS = ["score", "map", "numbers"] as const;

type Part = (typeof PARTS)[number];

/** Colours of the page that the address may set: names of its style sheet. */
const COLOURS = ["ground", "card", "ink", "soft", "line", "accent"] as const;

export interface Embed {
  /** Null: the system's. */
  readonly theme: Theme | null;
  readonly parts: ReadonlySet<Part>;
  readonly colours: ReadonlyMap<(typeof COLOURS)[number], string>;
}

/** What the address asks for; null: this is the whole page. What is nonsense is left out. */
export function readEmbed(path: string, search: string): Embed | null {
  if (!/\/embed$/.test(path)) return null;
  const query = new URLSearchParams(search);
  const theme = query.get("theme");
  const asked = query.get("parts")?.split(",").map((part) => part.trim());
  const parts = PARTS.filter((part) => asked?.includes(part));
  const colours = COLOURS.flatMap((name) => {
    const value = /^#?([0-9a-f]{6})$/i.exec(query.get(name) ?? "")?.[1];
    return value === undefined ? [] : [[name, `#${value.toLowerCase()}`] as const];
  });
  return { theme: theme === "light" || theme === "dark" ? theme : null, parts: new Set(parts.length ? parts : ["score", "map"]), colours: new Map(colours) };
}
