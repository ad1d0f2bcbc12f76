export type { RelayOptions, Transport } from "./endpoint.js";
export type { VoteError } from "./error.js";
export type { Flip, MatchStatus, Message, NewVotes, PlaceVotes, Snapshot, Votes, WireStats } from "./message.js";
export type { VoteSnapshot } from "./snapshot.js";
export { applyMessage, type LeadChange, type MatchState, type MatchStats, type Stale } from "./state.js";
export { createVoteStore, type VoteStore, type VoteStoreOptions } from "./store.js";
export { calculateDominance, type CellAggregate, type CountryAggregate, filterByThreshold, type Tally, topAggregates } from "./tally.js";
export type { Token } from "./token.js";
