//! A vote's values, checked at the edge, and what a set of votes adds up to.

pub mod arrivals; // votes for one match, with one sum for all that are alike
pub mod ballot; // what a vote, a retraction or a retry does to a voter's ballot
pub mod cell; // H3 cells, from text and from numbers
pub mod change; // what was added by team, without the teams that got nothing
pub mod country; // ISO 3166-1 alpha-2 codes
pub mod counts; // votes by team as lists, and their sums
pub mod dominance; // the leader, and by how much
pub mod element; // an element of a bulk call's JSON
pub mod name; // match_id, team_choice, voter_id
pub mod placement; // which of many shards has a voter's ballot
pub mod tally; // votes by team, cell, country and minute
