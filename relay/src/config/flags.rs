//! All flags but those of votes.

#[cfg(feature = "door")]
use crate::config::door::DoorConfig;
use crate::config::parse::{frame_ancestor, network, path_prefix, seconds};
use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How tokens are asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Auth {
    /// Nobody needs a token, and none is looked at.
    Off,
    /// A token that is sent must be valid; without one everything may be joined.
    Optional,
    /// Without a valid token nobody gets in.
    Required,
}

/// The algorithm that tokens are signed with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    Eddsa,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    Pretty,
    Json,
}

/// Forwards the feed of vote_agg to Socket.IO clients, Server-Sent Events and HTTP.
///
/// The relay keeps no state of its own: several may run beside each other on the same database, each with its own clients.
/// Every flag has a twin in the environment, shown in brackets. The level of the logs is taken from RUST_LOG.
#[derive(Clone, Debug, Parser)]
#[command(name = "vote-agg-relay", version)]
pub struct Config {
    /// Where the database is: a URL or a list of key=value. Directly, not through a transaction pooler, which loses LISTEN.
    /// The role needs what `SELECT vote_agg.grant_reader(role)` gives
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, required_unless_present = "database_url_file")]
    pub database_url: Option<String>,

    /// A file that holds it instead, such as a mounted secret
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// A file of certificates (PEM) to trust for TLS to the database, instead of the system's
    #[arg(long, env = "DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,

    /// Sessions for snapshots and HTTP reads, beside the one that listens
    #[arg(long, env = "DATABASE_SESSIONS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub database_sessions: u16,

    /// The channel that folds notify [default: the database's setting vote_agg.channel]
    #[arg(long, env = "CHANNEL")]
    pub channel: Option<String>,

    /// Fold pending votes from here while no worker does; the role needs EXECUTE on vote_agg.fold()
    #[arg(long, env = "FOLD", action = clap::ArgAction::Set, num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    pub fold: bool,

    /// The address to listen on
    #[arg(long, env = "WS_HOST", default_value = "0.0.0.0")]
    pub host: IpAddr,

    /// The port to listen on; 0 takes a free one, which the log names
    #[arg(long, env = "WS_PORT", default_value_t = 3001)]
    pub port: u16,

    /// The path that the relay is served below, such as /live, where a proxy passes it on; one that takes it off needs no setting
    #[arg(long, env = "PATH_PREFIX", value_name = "PATH", default_value = "", value_parser = path_prefix)]
    pub path_prefix: String,

    /// An address of its own for /metrics, /cache and the probes, such as 127.0.0.1:9001: the first two are served there alone then. There
    /// alone is DELETE /clients
    #[arg(long, env = "ADMIN", value_name = "ADDRESS:PORT")]
    pub admin: Option<SocketAddr>,

    /// Origins that pages may connect from, separated by commas: `https://example.org`, or `capacitor://localhost` for an app;
    /// `*` stands for any. Requests without an Origin don't come from a page and pass
    #[arg(long, env = "ORIGINS", value_delimiter = ',', default_value = "*")]
    pub origins: Vec<String>,

    /// Proxies in front of the relay, as addresses or networks (10.0.0.0/8), separated by commas: where a request comes from one
    /// of these, the last other address in X-Forwarded-For counts as the client's
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,

    /// Whether clients need a token (JWT)
    #[arg(long, env = "AUTH", value_enum, default_value_t = Auth::Off)]
    pub auth: Auth,

    /// The one algorithm that tokens are signed with; in a JWKS each key says its own
    #[arg(long, env = "JWT_ALGORITHM", value_enum, ignore_case = true, default_value_t = Algorithm::Hs256)]
    pub jwt_algorithm: Algorithm,

    /// The key that tokens are checked with: the secret for hs256 (at least 32 bytes), else the public key in PEM
    #[arg(long, env = "JWT_KEY", hide_env_values = true)]
    pub jwt_key: Option<String>,

    /// A file with that key
    #[arg(long, env = "JWT_KEY_FILE", value_name = "FILE", conflicts_with = "jwt_key")]
    pub jwt_key_file: Option<PathBuf>,

    /// A file with several public keys instead (JWKS, RFC 7517). A token names its key (kid). SIGHUP reads the file again
    #[arg(long, env = "JWT_JWKS_FILE", value_name = "FILE", conflicts_with_all = ["jwt_key", "jwt_key_file"])]
    pub jwt_jwks_file: Option<PathBuf>,

    /// A token without the claim `matches` covers no match, instead of all
    #[arg(long, env = "JWT_REQUIRE_MATCHES", action = clap::ArgAction::Set, num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    pub jwt_require_matches: bool,

    /// Who must have issued a token (claim iss)
    #[arg(long, env = "JWT_ISSUER")]
    pub jwt_issuer: Option<String>,

    /// Whom a token must be meant for (claim aud)
    #[arg(long, env = "JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,

    /// HTTP requests a second from one address, twice as many at once; from all addresses ten times as many
    #[arg(long, env = "MAX_REQUESTS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_requests: u32,

    /// Clients connected at the same time
    #[arg(long, env = "MAX_CLIENTS", default_value_t = 50_000)]
    pub max_clients: usize,

    /// Clients connected at the same time from one address (IPv6: from one /64)
    #[arg(long, env = "MAX_CLIENTS_PER_IP", default_value_t = 2_000)]
    pub max_clients_per_ip: usize,

    /// Matches one client may follow at the same time
    #[arg(long, env = "MAX_ROOMS", default_value_t = 50)]
    pub max_rooms: usize,

    /// Joins a second and client, twice as many at once
    #[arg(long, env = "MAX_JOINS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_joins: u32,

    /// Events a second that a client may send, twice as many at once; who sends more is disconnected
    #[arg(long, env = "MAX_EVENTS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_events: u32,

    /// The longest message from a client, in bytes
    #[arg(long, env = "MAX_MESSAGE_BYTES", default_value_t = 65_536)]
    pub max_message_bytes: usize,

    /// Seconds a new connection has to say what it wants, and then to join the namespace
    #[arg(long, env = "HANDSHAKE_TIMEOUT", default_value = "10", value_parser = seconds)]
    pub handshake_timeout: Duration,

    /// Messages kept for a client that reads slowly; when they are full it gets no more until it has read, then a snapshot
    #[arg(long, env = "CLIENT_BUFFER", default_value_t = 96, value_parser = clap::value_parser!(u16).range(32..=1024))]
    pub client_buffer: u16,

    /// Seconds after which a client that stays behind is disconnected
    #[arg(long, env = "SLOW_TIMEOUT", default_value = "30", value_parser = seconds)]
    pub slow_timeout: Duration,

    /// Seconds without the database after which clients are sent to another relay, and new ones refused
    #[arg(long, env = "STALE_TIMEOUT", default_value = "120", value_parser = seconds)]
    pub stale_timeout: Duration,

    /// Seconds from SIGTERM to the end of the last connection: /ready says 503 at once, clients are sent to another relay one
    /// after the other
    #[arg(long, env = "DRAIN", default_value = "5", value_parser = seconds)]
    pub drain: Duration,

    /// Seconds a match stays in memory after its last follower has left
    #[arg(long, env = "LINGER", default_value = "60", value_parser = seconds)]
    pub linger: Duration,

    #[cfg(feature = "door")]
    #[command(flatten)]
    pub door: DoorConfig,

    /// The folder of the live map, served at `/`: what `make map` builds in client/map/dist
    #[arg(long, env = "MAP_DIR", value_name = "FOLDER")]
    pub map_dir: Option<PathBuf>,

    /// Pages that may show the live map in a frame, separated by commas: origins, `self`, `none`, or `*` for any
    #[arg(long, env = "FRAME_ANCESTORS", value_delimiter = ',', default_value = "self", value_parser = frame_ancestor)]
    pub frame_ancestors: Vec<String>,

    /// How logs are written
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub log_format: LogFormat,
}

impl Config {
    /// The header in which a trusted proxy says from which country a request comes.
    #[cfg(feature = "door")]
    #[must_use]
    pub const fn country_header(&self) -> Option<&axum::http::HeaderName> {
        self.door.country_header.as_ref()
    }

    /// Without votes there is none.
    #[cfg(not(feature = "door"))]
    #[must_use]
    pub const fn country_header(&self) -> Option<&axum::http::HeaderName> {
        None
    }

    /// The word of the setting for those who may vote. None: votes are not taken.
    #[cfg(feature = "door")]
    #[must_use]
    pub fn voters(&self) -> Option<&'static str> {
        let takes_votes = self.door.votes_url.is_some() || self.door.votes_url_file.is_some();
        takes_votes.then(|| self.door.votes.word())
    }

    /// Without votes nobody.
    #[cfg(not(feature = "door"))]
    #[must_use]
    pub const fn voters(&self) -> Option<&'static str> {
        None
    }

    /// Votes a second that one address may send: none where votes are not taken.
    #[cfg(feature = "door")]
    #[must_use]
    pub fn votes_of_one_address(&self) -> u32 {
        self.voters().map_or(0, |_| self.door.max_votes_per_ip)
    }

    /// Without votes there are none.
    #[cfg(not(feature = "door"))]
    #[must_use]
    pub const fn votes_of_one_address(&self) -> u32 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_sound() {
        Config::command().debug_assert();
        assert!(seconds("0.5").is_ok() && seconds("0").is_err() && seconds("NaN").is_err() && seconds("x").is_err());
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        for good in ["10.0.0.1", " 10.0.0.0/8", "2001:db8::/32", "::ffff:10.0.0.1 "] {
            assert!(network(good).is_ok(), "{good}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0", "proxy.example"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_is_a_path() {
        for (given, meant) in [("", ""), ("/", ""), ("/live", "/live"), ("/a/b.c/", "/a/b.c")] {
            assert_eq!(path_prefix(given).as_deref(), Ok(meant));
        }
        for bad in ["live", "/live?x", "/a b", "/a//b", "/%2e", "https://example.org/live"] {
            assert!(path_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frames_are_of_origins() {
        assert_eq!(frame_ancestor(" self").as_deref(), Ok("'self'"));
        assert_eq!(frame_ancestor("https://*.example.org:8443").as_deref(), Ok("https://*.example.org:8443"));
        for bad in ["", "'self'", "example.org", "https://a; script-src *", "https://a b", "https://", "https://a/path"] {
            assert!(frame_ancestor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_flag_has_a_twin_and_a_text() {
        for arg in Config::command().get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
            assert!(arg.get_env().is_some() && arg.get_help().is_some(), "{}", arg.get_id());
        }
    }
}
