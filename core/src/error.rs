//! What can be wrong with a vote's values. Each variant carries the value, so that the text can name it.

use std::fmt;

/// The class of a mistake, which the caller maps to its own codes (SQLSTATE, HTTP status).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A value that can never be right.
    Invalid,
    /// A number outside what can be counted.
    OutOfRange,
}

/// A refused value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// A required value is missing.
    Null { what: &'static str },
    /// A name is empty.
    EmptyName { what: &'static str },
    /// A name is longer than [`crate::vote::name::MAX_BYTES`].
    LongName { what: &'static str, bytes: usize },
    /// A name holds a control character or is not UTF-8.
    UnprintableName { what: &'static str, at: usize },
    /// Text or number that is no H3 cell.
    Cell { value: String, reason: String },
    /// A resolution outside 0 to 15.
    Resolution { value: i64 },
    /// A cell was asked to be coarsened to a finer resolution.
    FinerResolution { cell: String, own: u8, asked: u8 },
    /// Not an ISO 3166-1 alpha-2 code.
    Country { value: String },
    /// A number of votes below one.
    NoVotes { votes: i64 },
    /// A voter has one vote.
    BallotVotes { votes: i64 },
    /// A number of votes above [`crate::vote::tally::MAX_VOTES`], or a sum that leaves 64 bits.
    ManyVotes { votes: i128 },
    /// A JSON value has another shape than it should.
    Shape { what: &'static str },
    /// An element of a bulk call has a key that means nothing.
    Key { key: String },
    /// An element of a bulk call has a key in both of its spellings.
    Spellings { key: &'static str },
    /// A key's value has the wrong type.
    Type { key: &'static str, value: String, expected: &'static str },
    /// A number outside its range, a latitude say.
    Range { what: &'static str, value: String, range: &'static str },
    /// A bounding box that is no four degrees, or whose south lies north of its north.
    Bbox { value: String },
    /// An array of a bulk call is longer or shorter than the array of teams.
    Length { what: &'static str, length: usize, expected: usize },
}

impl Error {
    /// The class of the mistake.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::ManyVotes { .. } => Kind::OutOfRange,
            _ => Kind::Invalid,
        }
    }

    /// Why the value is refused.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Cell { reason, .. } => Some(reason.clone()),
            Self::FinerResolution { cell, own, .. } => {
                Some(format!("Cell {cell} has resolution {own}; a cell can only be coarsened."))
            }
            Self::LongName { bytes, .. } => Some(format!("It has {bytes} bytes.")),
            Self::UnprintableName { at, .. } => Some(format!("The byte at position {at} is not allowed.")),
            Self::Shape { what } => Some(format!("It is {what}.")),
            _ => None,
        }
    }

    /// What to do instead.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Null { .. } => "Pass a value.",
            Self::EmptyName { .. } | Self::LongName { .. } | Self::UnprintableName { .. } => {
                "Names have 1 to 200 bytes of UTF-8 without control characters."
            }
            Self::Cell { .. } => {
                "A cell is written as 15 hexadecimal digits, such as 872a1072bffffff; one given as a number needs a cast to bigint."
            }
            Self::Resolution { .. } => "Resolutions run from 0 (coarsest) to 15 (finest).",
            Self::FinerResolution { .. } => "Pass a resolution not finer than the cell's own.",
            Self::Country { .. } => "Use an ISO 3166-1 alpha-2 code such as FR; XK (Kosovo) and ZZ (unknown) are allowed.",
            Self::Shape { .. } => "Pass an array of objects such as {\"match_id\": \"final\", \"team_choice\": \"home\"}.",
            Self::Key { .. } => "The keys are match_id, team_choice, h3_index, resolution, country_code, votes and voter_id.",
            Self::Spellings { .. } => "Write it in snake_case or in camelCase, not in both.",
            Self::Type { .. } => "Leave the key out, or pass null, for none.",
            Self::Length { .. } => "Pass arrays of the same length, or NULL for none.",
            Self::BallotVotes { .. } => "Leave votes out where voter_id is given.",
            Self::Range { .. } => "Pass a value in that range.",
            Self::Bbox { .. } => {
                "Pass {west, south, east, north} in degrees, south not above north; west above east crosses the antimeridian."
            }
            Self::NoVotes { .. } | Self::ManyVotes { .. } => "One call counts 1 to 1000000000000 votes.",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null { what } => write!(f, "{what} must not be null"),
            Self::EmptyName { what } => write!(f, "{what} must not be empty"),
            Self::LongName { what, .. } => write!(f, "{what} is longer than 200 bytes"),
            Self::UnprintableName { what, .. } => write!(f, "{what} holds a control character or is not valid UTF-8"),
            Self::Cell { value, .. } => write!(f, "invalid H3 cell: \"{value}\""),
            Self::Resolution { value } => write!(f, "resolution {value} is outside the valid range 0 to 15"),
            Self::FinerResolution { own, asked, .. } => {
                write!(f, "resolution {asked} is finer than the cell's own resolution {own}")
            }
            Self::Country { value } => write!(f, "unknown country code: \"{value}\""),
            Self::NoVotes { votes } => write!(f, "votes must be at least 1, not {votes}"),
            Self::BallotVotes { votes } => write!(f, "votes of one voter must be 1, not {votes}"),
            Self::ManyVotes { votes } => write!(f, "votes out of range: {votes}"),
            Self::Shape { .. } => f.write_str("votes must be a JSON array of objects"),
            Self::Key { key } => write!(f, "unknown key \"{key}\""),
            Self::Spellings { key } => write!(f, "{key} is given twice, in both of its spellings"),
            Self::Type { key, value, expected } => write!(f, "{key} must be {expected}, not {value}"),
            Self::Range { what, value, range } => write!(f, "{what} must be {range}, not {value}"),
            Self::Bbox { value } => write!(f, "invalid bounding box: {value}"),
            Self::Length { what, length, expected } => write!(f, "{what} has {length} elements, not {expected}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Callers see these words: a value, its reason, its remedy.
    #[test]
    fn each_mistake_says_what_why_and_what_to_do() {
        let text = |text: &str| text.to_owned();
        let names = "Names have 1 to 200 bytes of UTF-8 without control characters.";
        let votes = "One call counts 1 to 1000000000000 votes.";
        let cell =
            "A cell is written as 15 hexadecimal digits, such as 872a1072bffffff; one given as a number needs a cast to bigint.";
        let keys = "The keys are match_id, team_choice, h3_index, resolution, country_code, votes and voter_id.";
        let shape = "Pass an array of objects such as {\"match_id\": \"final\", \"team_choice\": \"home\"}.";
        let bbox = "Pass {west, south, east, north} in degrees, south not above north; west above east crosses the antimeridian.";
        for (error, message, detail, hint) in [
            (Error::Null { what: "votes" }, "votes must not be null", None, "Pass a value."),
            (Error::EmptyName { what: "match_id" }, "match_id must not be empty", None, names),
            (
                Error::LongName { what: "match_id", bytes: 201 },
                "match_id is longer than 200 bytes",
                Some("It has 201 bytes."),
                names,
            ),
            (
                Error::UnprintableName { what: "match_id", at: 3 },
                "match_id holds a control character or is not valid UTF-8",
                Some("The byte at position 3 is not allowed."),
                names,
            ),
            (Error::Cell { value: text("x"), reason: text("Why.") }, "invalid H3 cell: \"x\"", Some("Why."), cell),
            (
                Error::Resolution { value: 16 },
                "resolution 16 is outside the valid range 0 to 15",
                None,
                "Resolutions run from 0 (coarsest) to 15 (finest).",
            ),
            (
                Error::FinerResolution { cell: text("8009fffffffffff"), own: 0, asked: 1 },
                "resolution 1 is finer than the cell's own resolution 0",
                Some("Cell 8009fffffffffff has resolution 0; a cell can only be coarsened."),
                "Pass a resolution not finer than the cell's own.",
            ),
            (
                Error::Country { value: text("QQ") },
                "unknown country code: \"QQ\"",
                None,
                "Use an ISO 3166-1 alpha-2 code such as FR; XK (Kosovo) and ZZ (unknown) are allowed.",
            ),
            (Error::NoVotes { votes: 0 }, "votes must be at least 1, not 0", None, votes),
            (
                Error::BallotVotes { votes: 2 },
                "votes of one voter must be 1, not 2",
                None,
                "Leave votes out where voter_id is given.",
            ),
            (Error::ManyVotes { votes: 1 << 64 }, "votes out of range: 18446744073709551616", None, votes),
            (Error::Shape { what: "a number" }, "votes must be a JSON array of objects", Some("It is a number."), shape),
            (Error::Key { key: text("k") }, "unknown key \"k\"", None, keys),
            (
                Error::Spellings { key: "match_id" },
                "match_id is given twice, in both of its spellings",
                None,
                "Write it in snake_case or in camelCase, not in both.",
            ),
            (
                Error::Type { key: "votes", value: text("[]"), expected: "an integer" },
                "votes must be an integer, not []",
                None,
                "Leave the key out, or pass null, for none.",
            ),
            (
                Error::Range { what: "k", value: text("-1"), range: "0 to 500" },
                "k must be 0 to 500, not -1",
                None,
                "Pass a value in that range.",
            ),
            (Error::Bbox { value: text("{}") }, "invalid bounding box: {}", None, bbox),
            (
                Error::Length { what: "votes", length: 1, expected: 2 },
                "votes has 1 elements, not 2",
                None,
                "Pass arrays of the same length, or NULL for none.",
            ),
        ] {
            assert_eq!((error.to_string().as_str(), error.detail().as_deref(), error.hint()), (message, detail, hint));
            let is_out_of_range = matches!(error, Error::ManyVotes { .. });
            assert_eq!(error.kind(), if is_out_of_range { Kind::OutOfRange } else { Kind::Invalid });
        }
    }
}
