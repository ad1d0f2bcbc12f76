// @vitest-environment happy-dom
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { EventSource } from "eventsource";
import type { PropsWithChildren } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Buttons } from "../build/snippets/Buttons.js";
import { choose } from "../build/snippets/choose.js";
import { Cup } from "../build/snippets/Cup.js";
import { CupMap } from "../build/snippets/CupMap.js";
import { Paris } from "../build/snippets/Paris.js";
import { Protected } from "../build/snippets/Protected.js";
import { Score } from "../build/snippets/Score.js";
import { show } from "../build/snippets/show.js";
import { Status } from "../build/snippets/Status.js";
import { useMatchQuery } from "../build/snippets/useMatchQuery.js";
import { useMatchSubscription } from "../build/snippets/useMatchSubscription.js";
import { views } from "../build/snippets/views.js";
import { cellAggregate } from "../src/tally.js";
import { ScriptedRelay } from "./relay.js";

const PARIS = "871fb4662ffffff";
let relay: ScriptedRelay;

beforeEach(async () => {
  relay = await ScriptedRelay.start();
  relay.fold("final", [[PARIS, { home: 3, away: 1 }]]);
  vi.stubGlobal("EventSource", EventSource);
});

afterEach(async () => {
  cleanup();
  vi.unstubAllGlobals();
  await relay.stop();
});

const shown = (text: string) => waitFor(() => screen.getByText(text), { timeout: 60_000 });

test("every block of the READMEs and of docs is here", () => {
  expect(readdirSync(join(import.meta.dirname, "../build/snippets")).sort()).toEqual(
    ["Buttons", "Cup", "CupMap", "Paris", "Protected", "Score", "Status", "choose", "show", "useMatchQuery", "useMatchSubscription", "views"].map((name) => `${name}.tsx`));
});

test("five lines", async () => {
  render(<Score matchId="final" url={relay.url} />);
  await shown("home leads, 4 votes");
});

test("an area", async () => {
  render(<Paris url={relay.url} />);
  relay.fold("final", [["872a1072bffffff", { away: 5 }]]);
  await shown("1 cells in view");
});

test.each([["final", Cup], ["Votes of the cup", CupMap]])("a map, where it cannot be drawn: its peers are not here; %s", async (name, Cup) => {
  render(<Cup url={relay.url} />);
  await shown("The map could not be loaded. The numbers are all here.");
  await waitFor(() => expect(screen.getByRole("region", { name }).textContent).toContain("home leads by 2 votes"), { timeout: 5_000 });
});

test("buttons that vote", async () => {
  const votes: unknown[] = [];
  relay.onVote = ({ token, body }) => {
    votes.push([token, body]);
    return [200, { outcome: "counted", turn: 1 }];
  };
  render(<Buttons url={relay.url} token="t" />);
  fireEvent.click(screen.getByText("home"));
  expect(screen.getByText("home").getAttribute("aria-pressed")).toBe("true");
  await waitFor(() => expect(screen.getByText("home").parentElement!.getAttribute("aria-busy")).toBe("false"), { timeout: 60_000 });
  expect(votes).toEqual([["Bearer t", { teamChoice: "home", h3Index: undefined, turn: 1 }]]);
});

test("a token by function", async () => {
  vi.stubGlobal("fetch", async (path: string) => new Response(`token from ${path}`));
  render(<Status url={relay.url} />);
  await shown("live");
  await waitFor(() => expect(relay.tokens).toEqual(["token from /vote-token"]), { timeout: 60_000 });
});

test("a token by function, on the page", async () => {
  vi.stubGlobal("fetch", async (path: string) => new Response(`token from ${path}`));
  render(<Protected url={relay.url} />);
  await shown("4 votes");
  expect(relay.tokens).toEqual(["token from /vote-token"]);
});

test("no token", async () => {
  vi.stubGlobal("fetch", async () => new Response("", { status: 401 }));
  render(<Protected url={relay.url} />);
  await shown("no token: the server answers 401");
});

test("without React", async () => {
  const element = document.createElement("p");
  const end = show(element, relay.url);
  await waitFor(() => expect(element.textContent).toBe("4 votes from 1 cells"), { timeout: 60_000 });
  end();
});

test.each([
  ["SWR", useMatchSubscription],
  ["TanStack Query", useMatchQuery],
])("%s", async (_, useMatch) => {
  function Total() {
    const { data } = useMatch(relay.url, "final");
    return <p>{data ? `${data.stats.totalVotes} at ${data.seq}` : "…"}</p>;
  }
  const client = new QueryClient();
  const wrapper = ({ children }: PropsWithChildren) => <QueryClientProvider client={client}>{children}</QueryClientProvider>;
  render(<Total />, { wrapper });
  await shown("4 at 1");
  relay.fold("final", [[PARIS, { home: 3, away: 9 }]]);
  await shown("12 at 2");
});

test("a vote", async () => {
  vi.stubGlobal("fetch", async () => Response.json({ outcome: "counted", turn: 1 }));
  expect(await choose("home", relay.url, "token")).toBe("counted");
  vi.stubGlobal("fetch", async () => Response.json({ error: "closed", detail: "it is closed" }, { status: 409 }));
  expect(await choose("home", relay.url, "token")).toBe("it is closed");
});

test("maps and lists", () => {
  const { layer, world, biggest } = views([cellAggregate(PARIS, { home: 1 })]);
  expect([layer[0]!.hexagon, world.features[0]!.id, biggest[0]!.h3Index]).toEqual([PARIS, "821fb7fffffffff", PARIS]);
});
