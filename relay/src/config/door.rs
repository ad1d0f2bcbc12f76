//! What can be set about votes.

use crate::config::parse::seconds;
use axum::http::HeaderName;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of bodies that one address, and all, may have under way at a time.
pub const BODIES_EACH: usize = 8 << 20;
pub const BODIES_ALL: usize = 64 << 20;

/// The part of the queue that one address may fill.
pub const SHARE: usize = 4;

/// Who may vote.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Voters {
    /// The subjects of tokens with scope vote.
    Token,
    /// And anybody who draws a key. That counts clicks, not people.
    Anonymous,
}

impl Voters {
    /// The word for them, as in the setting.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Anonymous => "anonymous",
        }
    }
}

#[derive(Args, Clone, Debug)]
pub struct DoorConfig {
    /// Take votes, and send them to this database: directly, with a role that has `SELECT vote_agg.grant_writer(role)` and
    /// vote_agg.auto_open off
    #[arg(long, env = "VOTES_URL", hide_env_values = true)]
    pub votes_url: Option<String>,

    /// A file that holds it instead, such as a mounted secret
    #[arg(long, env = "VOTES_URL_FILE", value_name = "FILE", conflicts_with = "votes_url")]
    pub votes_url_file: Option<PathBuf>,

    /// Who may vote
    #[arg(long, env = "VOTES", value_enum, default_value_t = Voters::Token)]
    pub votes: Voters,

    /// A file with the secret that makes the names of voters in ballots: at least 32 bytes, the same for all relays of a database
    #[arg(long, env = "VOTER_KEY_FILE", value_name = "FILE")]
    pub voter_key_file: Option<PathBuf>,

    /// Calls with votes on their way to the database at the same time
    #[arg(long, env = "VOTES_SESSIONS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=8))]
    pub votes_sessions: u16,

    /// Votes that may wait or be on their way; above that votes are refused. Their memory is bounded too, to 512 bytes each
    #[arg(long, env = "VOTES_QUEUE", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub votes_queue: u32,

    /// Seconds after which a vote without an answer is told so
    #[arg(long, env = "VOTES_TIMEOUT", default_value = "10", value_parser = seconds)]
    pub votes_timeout: Duration,

    /// Votes a second, twice as many at once
    #[arg(long, env = "MAX_VOTES", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub max_votes: u32,

    /// Votes a second from one address, twice as many at once
    #[arg(long, env = "MAX_VOTES_PER_IP", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub max_votes_per_ip: u32,

    /// Votes a second of one voter in a match, twice as many at once
    #[arg(long, env = "MAX_VOTES_PER_VOTER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_votes_per_voter: u32,

    /// The header in which a trusted proxy says from which country a request comes, such as cf-ipcountry
    #[arg(long, env = "COUNTRY_HEADER", value_name = "HEADER")]
    pub country_header: Option<HeaderName>,

    /// The finest resolution of a cell that is stored with a vote: 0 (coarsest) to 15 (a square metre). A cell with few people in
    /// it tells where one of them is
    #[arg(long, env = "MAX_RESOLUTION", default_value_t = 7, value_parser = clap::value_parser!(u8).range(0..=15))]
    pub max_resolution: u8,
}
