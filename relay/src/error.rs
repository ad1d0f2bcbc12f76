//! What can go wrong.

use tokio_postgres::error::SqlState;

/// Why an operation failed. Clients see [`Error::code`] and a text without internals.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be right: the relay does not start.
    #[error("{0}")]
    Config(String),
    /// The database refused, or is out of reach.
    #[error("database: {}", explain(.0))]
    Database(#[from] tokio_postgres::Error),
    /// No answer from the database within its time.
    #[error("database: no answer in time")]
    Timeout,
    /// The database is known to be out of reach at the moment.
    #[error("database: out of reach")]
    Unavailable,
    /// A client knows more of a match than this relay does yet.
    #[error("this relay has not yet seen what the client knows")]
    Behind,
    /// The token does not cover the match.
    #[error("the token does not cover this match")]
    Forbidden,
    /// The client follows as many matches as it may.
    #[error("at most {0} matches at the same time")]
    TooManyRooms(usize),
    /// The client left the match before it had joined it.
    #[error("this match was left before it was joined")]
    Left,
    /// Nobody has opened the match or voted in it.
    #[error("there is no such match yet")]
    Unknown,
    /// The answer would be too long.
    #[error("{0}")]
    TooMuch(String),
    /// The address has used its share of processor and database time.
    #[error("your address has asked for too much work: try again in {} s", .0.as_secs().saturating_add(1))]
    Busy(std::time::Duration),
    /// The address follows too many matches that do not exist.
    #[error("your address follows too many matches that nobody has voted in")]
    TooManyUnknown,
    /// The client has not read what was sent to it: there is no room for a snapshot.
    #[error("this client has not yet read what was sent to it")]
    Slow,
    /// A function of the extension that this database does not have.
    #[error("this database has no function {0}: update the extension")]
    Missing(&'static str),
    /// The database has no extension vote_agg.
    #[error("this database has no extension vote_agg (CREATE EXTENSION vote_agg)")]
    NoExtension,
    /// The role may not call what the relay calls.
    #[error("role {0} may not read votes: SELECT vote_agg.grant_reader('{0}')")]
    NoRights(String),
    /// The session does not hear notifications.
    #[error("the database session lost its LISTEN: connect to the server itself, not through a transaction pooler")]
    NotListening,
    /// The database sent neither a message nor a snapshot.
    #[error("the database sent an unknown format: {0}")]
    Format(#[from] serde_json::Error),
    /// A message does not follow what is known: read a snapshot.
    #[error("a message does not follow what is known")]
    Gap,
    /// An address that cannot be listened on.
    #[error("{0}: {1}{remedy}", remedy = remedy(.1))]
    Listen(std::net::SocketAddr, std::io::Error),
    /// Another matter of the system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "not_implemented",
            Self::Behind => "behind",
            Self::Forbidden => "forbidden",
            Self::TooManyRooms(_) => "too_many_rooms",
            Self::Left => "left",
            Self::Slow => "slow",
            Self::Busy(_) => "busy",
            Self::Unknown => "unknown",
            Self::TooMuch(_) => "invalid",
            Self::TooManyUnknown => "too_many_unknown",
            _ => "unavailable",
        }
    }

    /// Whether the same may work a while later, without anybody's doing.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self.code(), "unavailable" | "behind") && self.is_about_a_value().is_none()
    }

    /// The database has no such function.
    #[must_use]
    pub fn is_undefined_function(&self) -> bool {
        matches!(self, Self::Database(e) if e.code() == Some(&SqlState::UNDEFINED_FUNCTION))
    }

    /// The database's message about a value that was passed to it (SQLSTATE class 22), or about a read of too much (54000).
    #[must_use]
    pub fn is_about_a_value(&self) -> Option<&str> {
        match self {
            Self::Database(e) => e
                .as_db_error()
                .filter(|e| e.code().code().starts_with("22") || *e.code() == SqlState::PROGRAM_LIMIT_EXCEEDED)
                .map(|e| e.message()),
            _ => None,
        }
    }
}

fn explain(e: &tokio_postgres::Error) -> String {
    if let Some(e) = e.as_db_error() {
        return format!("{}: {}", e.code().code(), e.message());
    }
    match std::error::Error::source(e) {
        Some(source) if is_about_a_certificate(source) => {
            format!("{e}: {source} (DATABASE_CA names a file of certificates to trust; sslmode=disable does without TLS)")
        }
        Some(source) => format!("{e}: {source}"),
        None => e.to_string(),
    }
}

fn remedy(e: &std::io::Error) -> &'static str {
    match e.kind() {
        std::io::ErrorKind::AddrInUse => ". Another process has this port: end it, or choose another one (--port, --admin)",
        std::io::ErrorKind::AddrNotAvailable => ". This machine has no such address (--host, --admin)",
        std::io::ErrorKind::PermissionDenied => ". Ports below 1024 take a right: choose a higher one (--port, --admin)",
        _ => "",
    }
}

fn is_about_a_certificate(source: &(dyn std::error::Error + 'static)) -> bool {
    let inner = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    matches!(inner.and_then(|inner| inner.downcast_ref()), Some(rustls::Error::InvalidCertificate(_)))
}
