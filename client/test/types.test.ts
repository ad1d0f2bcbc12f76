// Compiled by tsc, which is the test.
import { expectTypeOf, test } from "vitest";
import {
  applyMessage, type AreaCells, type CellAggregate, type CountryAggregate, createVoteStore, type Choice, type LeadChange, type MatchState, type MatchStats, type Message, type MyVote, type Snapshot,
  topAggregates, type VoteError, type VoteOutcome, type VoteStore,
} from "vote-agg-client";
import type { FeatureCollection, MultiPolygon, Polygon } from "geojson";
import { type CellCollection, formatAggregateForMap, type Hexagon } from "vote-agg-client/geo";
import { useVoteSocket } from "vote-agg-client/react";

test("the public types", () => {
  type Socket = ReturnType<typeof useVoteSocket>;
  expectTypeOf<Parameters<typeof useVoteSocket>[0]>().toHaveProperty("matchId").toEqualTypeOf<string>();
  expectTypeOf<Socket["connected"]>().toEqualTypeOf<boolean>();
  expectTypeOf<Socket["connecting"]>().toEqualTypeOf<boolean>();
  expectTypeOf<Socket["connectionError"]>().toEqualTypeOf<VoteError | null>();
  expectTypeOf<Socket["stats"]>().toEqualTypeOf<MatchStats | null>();
  expectTypeOf<Socket["aggregates"]>().toEqualTypeOf<readonly CellAggregate[]>();
  expectTypeOf<Socket["countries"]>().toEqualTypeOf<readonly CountryAggregate[]>();
  expectTypeOf<Socket["flips"]>().toEqualTypeOf<readonly LeadChange[]>();
  expectTypeOf<Socket["at"]>().toEqualTypeOf<string | null>();
  expectTypeOf<Socket["staleSince"]>().toEqualTypeOf<string | null>();
  expectTypeOf<Socket["seq"]>().toEqualTypeOf<number>();
  expectTypeOf<Socket["myVote"]>().toEqualTypeOf<MyVote | null>();
  expectTypeOf<Socket["voting"]>().toEqualTypeOf<boolean>();
  expectTypeOf<Socket["voteError"]>().toEqualTypeOf<VoteError | null>();
  expectTypeOf<Socket["castVote"]>().toEqualTypeOf<(choice: Choice) => Promise<VoteOutcome>>();
  expectTypeOf<Socket["retractVote"]>().toEqualTypeOf<() => Promise<VoteOutcome>>();
  expectTypeOf<Socket["connect"]>().toEqualTypeOf<() => void>();
  expectTypeOf<Socket["disconnect"]>().toEqualTypeOf<() => void>();
  expectTypeOf(createVoteStore).returns.toEqualTypeOf<VoteStore>();
  expectTypeOf(applyMessage).parameters.toEqualTypeOf<[MatchState | undefined, Message | Snapshot | AreaCells]>();
  expectTypeOf(applyMessage).returns.toEqualTypeOf<MatchState | undefined>();
  expectTypeOf(formatAggregateForMap([])).toEqualTypeOf<Hexagon[]>();
  expectTypeOf(formatAggregateForMap([], "geojson")).toEqualTypeOf<CellCollection>();
  // Our own types of GeoJSON are those of others.
  expectTypeOf<CellCollection>().toExtend<FeatureCollection<Polygon | MultiPolygon>>();
  expectTypeOf(topAggregates([] as CountryAggregate[], 1)).toEqualTypeOf<CountryAggregate[]>();
});

/** Never called: each line must not compile. */
export function wrong(state: MatchState, store: VoteStore) {
  // @ts-expect-error no match
  createVoteStore({ url: "" });
  // @ts-expect-error a resolution is a number
  createVoteStore({ matchId: "final", resolution: "3" });
  // @ts-expect-error a token is text
  createVoteStore({ matchId: "final", token: () => 3 });
  // @ts-expect-error what is known is not changed from outside
  state.seq = 3;
  // @ts-expect-error nor are its lists
  state.aggregates.push(state.aggregates[0]!);
  // @ts-expect-error nor its counts
  state.stats.votes["home"] = 3;
  // @ts-expect-error an unknown format
  formatAggregateForMap([], "svg");
  // @ts-expect-error stats may not be there yet
  return store.getSnapshot().stats.totalVotes;
}
