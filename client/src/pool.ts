import { type Area, isSameArea } from "./area.js";
import { type Endpoint, isSameEndpoint } from "./endpoint.js";
import { FollowedMatch } from "./followed_match.js";
import { Link } from "./link.js";
import type { MatchState } from "./state.js";
import type { Token } from "./token.js";

/** The match that a store follows, and the way to it. */
export interface MatchRequest {
  readonly endpoint: Endpoint;
  readonly token: Token | undefined;
  readonly matchId: string;
  readonly resolution: number | null;
  readonly area: Area;
}

/** Every socket that is open. The relay gives a socket each match at one resolution and of one area, so a second one takes a second socket. */
const links: Link[] = [];

/** Finds or makes the match of a request, and adds the listener to it. `seed` is the state that the listener has already. */
export function acquire({ endpoint, token, matchId, resolution, area }: MatchRequest, seed: MatchState | undefined, listener: () => void): FollowedMatch {
  const own = links.filter((link) => isSameEndpoint(link.endpoint, endpoint) && link.token === token);
  const followed = own.flatMap((link) => (link.matches.get(matchId) as FollowedMatch | undefined) ?? []);
  let match = followed.find((each) => each.resolution === resolution && isSameArea(each.area, area)) ?? followed.find((each) => each.isUnused);
  if (!match) {
    let link = own.find((each) => !each.matches.has(matchId));
    if (!link) links.push((link = new Link(endpoint, token)));
    link.matches.set(matchId, (match = new FollowedMatch(link, matchId, resolution, area, seed, release)));
  }
  match.addListener(listener);
  match.setView(resolution, area);
  return match;
}

/** Leaves a match that has no listener, and closes the link after its last match. */
function release(match: FollowedMatch): void {
  const { link, matchId } = match;
  match.close();
  link.matches.delete(matchId);
  if (link.matches.size) return link.leave(matchId);
  links.splice(links.indexOf(link), 1);
  link.close();
}

/** The sockets that are open, to one relay or to all: for tests. */
export function openLinks(origin?: string): Link[] {
  return links.filter((link) => origin === undefined || link.endpoint.origin === origin);
}
