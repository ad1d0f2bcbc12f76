//! What can go wrong with a session, and what that says of the votes of a call.

use std::fmt;
use tokio_postgres::error::SqlState;

/// What an error says of the votes of its call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// Nobody knows: ask again over a new connection.
    Lost,
    /// They were rolled back, by a matter that passes: ask again.
    Passing,
    /// They were rolled back, and the session knows the functions of another library: ask again over a new connection.
    Stale,
    /// They were rolled back, and a right, a table or a function is missing.
    Broken,
    /// They were rolled back. One of them may be to blame.
    Poison,
}

/// The SQLSTATE of a write on a standby. Only another session may find the primary.
pub const READ_ONLY: &str = "25006";

/// What a call's error says. Without a SQLSTATE the connection is gone.
#[must_use]
pub fn judge(code: Option<&SqlState>) -> Failure {
    let Some(code) = code else { return Failure::Lost };
    match (code.code(), &code.code()[..2]) {
        ("57P01" | "57P02" | "57P03" | "57P05", _) | (_, "08") => Failure::Lost,
        ("57014" | "55P03", _) | (_, "40" | "53") => Failure::Passing,
        // A server that is no primary any more.
        (READ_ONLY, _) => Failure::Passing,
        // A function was made anew, or the library of this session is an older one.
        ("0A000" | "42883" | "26000" | "42P05", _) => Failure::Stale,
        (_, "42" | "28" | "3D" | "3F") => Failure::Broken,
        _ => Failure::Poison,
    }
}

/// Why there is no session.
#[derive(Debug)]
pub enum OpenError {
    /// Somebody has to change something.
    Refused(String),
    /// It may work a while later.
    Passing(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) | Self::Passing(text) => f.write_str(text),
        }
    }
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = match (error.as_db_error(), std::error::Error::source(&error)) {
            (Some(e), _) => format!("{}: {}", e.code().code(), e.message()),
            (None, Some(source)) => format!("{error}: {source}"),
            (None, None) => error.to_string(),
        };
        match judge(error.code()) {
            // A wrong password or a missing right stays so.
            Failure::Broken | Failure::Stale => Self::Refused(text),
            _ => Self::Passing(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_became_of_the_votes() {
        assert_eq!(judge(None), Failure::Lost);
        for (codes, failure) in [
            (&["57P01", "57P02", "57P03", "57P05", "08006", "08P01"][..], Failure::Lost),
            (&["40001", "40P01", "55P03", "57014", "53100", "53200", "53300", "25006"], Failure::Passing),
            (&["0A000", "42883", "26000", "42P05"], Failure::Stale),
            (&["42501", "42P01", "3F000", "28000", "28P01", "3D000"], Failure::Broken),
            (&["XX000", "22023", "22021", "54000", "55000", "23505", "P0001"], Failure::Poison),
        ] {
            for code in codes {
                assert_eq!(judge(Some(&SqlState::from_code(code))), failure, "{code}");
            }
        }
    }
}
