export type { VoteSnapshot } from "./follow.js";
export type { Token, VoteError } from "./link.js";
export type { Flip, MatchStatus, Message, NewVotes, PlaceVotes, Snapshot, Votes, WireStats } from "./message.js";
export { applyMessage, type LeadChange, type MatchState, type MatchStats, type Stale } from "./state.js";
export { createVoteStore, type VoteStore, type VoteStoreOptions } from "./store.js";
export { calculateDominance, type CellAggregate, type CountryAggregate, filterByThreshold, type Tally, topAggregates } from "./tally.js";
