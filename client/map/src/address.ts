// The page's address: /?match=final&z=3&lat=48.9&lng=2.4#token=…
import type { View } from "./view.js";

export interface Address {
  readonly match: string | null;
  /** Null: the whole world. */
  readonly view: View | null;
  /** The one team that the map shows; null: who leads. */
  readonly team: string | null;
  /** In the fragment, which browsers send nowhere. */
  readonly token: string | undefined;
}

export function readAddress(search: string, hash: string): Address {
  const query = new URLSearchParams(search);
  const number = (name: string, low: number, high: number) => {
    const value = Number.parseFloat(query.get(name) ?? "");
    return value >= low && value <= high ? value : null;
  };
  const [zoom, latitude, longitude] = [number("z", 0, 22), number("lat", -85, 85), number("lng", -180, 180)];
  return {
    match: query.get("match"),
    view: zoom === null ? null : { zoom, latitude: latitude ?? 20, longitude: longitude ?? 10 },
    team: query.get("team"),
    token: new URLSearchParams(hash.replace(/^#/, "")).get("token") ?? undefined,
  };
}

/** The address with another view; what else it says stays. */
export function writeView(search: string, { zoom, latitude, longitude }: View): string {
  const query = new URLSearchParams(search);
  query.set("z", zoom.toFixed(2));
  query.set("lat", latitude.toFixed(3));
  query.set("lng", (((((longitude + 180) % 360) + 360) % 360) - 180).toFixed(3));
  return `?${query}`;
}

/** The address with another team shown. */
export function writeTeam(search: string, team: string | null): string {
  const query = new URLSearchParams(search);
  if (team === null) query.delete("team");
  else query.set("team", team);
  return `?${query}`;
}

// Addresses are relative: the page may be served below a path.

/** The address of a match, from the list. A language that was asked for stays. */
export function matchAddress(match: string, search: string, hash: string): string {
  const lang = new URLSearchParams(search).get("lang");
  return `./?${new URLSearchParams({ match, ...(lang !== null && { lang }) })}${hash}`;
}

export function listAddress(hash: string): string {
  return `./${hash}`;
}

/** Where the relay is: beside the page. */
export function relayAddress(page: string): string {
  return new URL(".", page).pathname;
}
