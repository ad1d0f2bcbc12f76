//! What can go wrong.

use std::fmt;

/// Why an operation failed. Clients see [`Error::code`] and a text without inner matters.
#[derive(Debug)]
pub enum Error {
    /// A setting that cannot be right: the relay does not start.
    Config(String),
    /// The database refused, or is out of reach.
    Database(tokio_postgres::Error),
    /// No answer from the database within its time.
    Timeout,
    /// The database is known to be out of reach at the moment.
    Unavailable,
    /// A client knows more of a match than this relay does yet.
    Behind,
    /// A function of the extension that this database does not have.
    Missing(&'static str),
    /// The database has no extension vote_agg.
    NoExtension,
    /// The session does not hear notifications.
    NotListening,
    /// The database sent what is no message or snapshot.
    Format(serde_json::Error),
    /// A message does not follow what is known: read a snapshot.
    Gap,
    /// The port, or another matter of the system.
    Io(std::io::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What programs tell it by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "not_implemented",
            Self::Behind => "behind",
            _ => "unavailable",
        }
    }

    /// The database has no such function.
    #[must_use]
    pub fn is_undefined_function(&self) -> bool {
        matches!(self, Self::Database(e) if e.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_FUNCTION))
    }

    /// What the database has against a value that was passed to it (SQLSTATE class 22).
    #[must_use]
    pub fn is_about_a_value(&self) -> Option<&str> {
        match self {
            Self::Database(e) => e.as_db_error().filter(|e| e.code().code().starts_with("22")).map(|e| e.message()),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(what) => f.write_str(what),
            Self::Database(e) => match e.as_db_error() {
                Some(e) => write!(f, "database: {}: {}", e.code().code(), e.message()),
                None => match std::error::Error::source(e) {
                    Some(source) if is_about_a_certificate(source) => write!(
                        f,
                        "database: {e}: {source} (DATABASE_CA names a file of certificates to trust; sslmode=disable does without TLS)"
                    ),
                    Some(source) => write!(f, "database: {e}: {source}"),
                    None => write!(f, "database: {e}"),
                },
            },
            Self::Timeout => f.write_str("database: no answer in time"),
            Self::Unavailable => f.write_str("database: out of reach"),
            Self::Behind => f.write_str("this relay has not yet seen what the client knows"),
            Self::Missing(function) => write!(f, "this database has no function {function}: update the extension"),
            Self::NoExtension => f.write_str("this database has no extension vote_agg (CREATE EXTENSION vote_agg)"),
            Self::NotListening => f.write_str(
                "the database session lost its LISTEN: connect to the server itself, not through a transaction pooler",
            ),
            Self::Format(e) => write!(f, "the database sent an unknown format: {e}"),
            Self::Gap => f.write_str("a message does not follow what is known"),
            Self::Io(e) => write!(f, "{e}"),
        }
    }
}

fn is_about_a_certificate(source: &(dyn std::error::Error + 'static)) -> bool {
    let inner = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    matches!(inner.and_then(|inner| inner.downcast_ref()), Some(rustls::Error::InvalidCertificate(_)))
}

impl std::error::Error for Error {}

impl From<tokio_postgres::Error> for Error {
    fn from(e: tokio_postgres::Error) -> Self {
        Self::Database(e)
    }
}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Self::Format(e)
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self::Io(e)
    }
}
