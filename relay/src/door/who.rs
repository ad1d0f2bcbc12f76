//! Who votes. A token or a key says so, never the body, unless the token is one of a back end.

use crate::config::door::Voters;
use crate::guard::token::Access;
use axum::http::StatusCode;
use vote_agg_door::Problem;

/// The scope of a token that lets its subject vote.
const VOTE: &str = "vote";

/// The scope that lets its bearer name voters.
const VOTE_ANY: &str = "vote:any";

/// A key has as many characters as 128 bits of chance take in base64, and as a name may have bytes.
const KEY_LENGTHS: std::ops::RangeInclusive<usize> = 22..=200;

/// Who a request speaks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Who {
    /// The subject of a token.
    Subject { issuer: String, subject: String },
    /// Whomever the body names, of the token's issuer; else the token's subject.
    Anybody { issuer: String, subject: Option<String> },
    /// Somebody who drew this key.
    Key(String),
}

impl Who {
    /// Finds out for whom a request speaks.
    ///
    /// # Errors
    /// Why it may not vote.
    pub fn find(voters: Voters, access: &Access, key: Option<&str>) -> Result<Self, Problem> {
        if let (Voters::Anonymous, Some(key)) = (voters, key) {
            return parse_key(key).map(|key| Self::Key(key.to_owned()));
        }
        // All whose issuer writes an empty one would be one voter.
        let subject = access.subject().filter(|subject| !subject.is_empty()).map(str::to_owned);
        let issuer = access.issuer().unwrap_or_default().to_owned();
        if access.has_scope(VOTE_ANY) {
            return Ok(Self::Anybody { issuer, subject });
        }
        match subject {
            Some(subject) if access.has_scope(VOTE) => Ok(Self::Subject { issuer, subject }),
            None if access.has_scope(VOTE) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "no_subject",
                "the token names no subject to vote for: its claim sub is missing or empty",
            )),
            _ if voters == Voters::Anonymous => {
                let detail = "a vote without a token needs the header Idempotency-Key, or key in an event";
                Err(Problem::new(StatusCode::BAD_REQUEST, "key_missing", detail))
            }
            _ => Err(Problem::new(StatusCode::FORBIDDEN, "scope", "the token is not for voting (scope vote)")),
        }
    }
}

/// A key as the draft of its header writes it, in quotation marks or bare.
fn parse_key(text: &str) -> Result<&str, Problem> {
    let key = text.trim();
    let key = key.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(key);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if KEY_LENGTHS.contains(&key.len()) && key.chars().all(is_plain) {
        return Ok(key);
    }
    let detail = "a key has 22 to 200 letters, digits, - or _, and 128 bits of chance: a random UUID, for example";
    Err(Problem::new(StatusCode::BAD_REQUEST, "key_invalid", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

    fn found(voters: Voters, scope: &str, subject: Option<&str>, key: Option<&str>) -> Result<Who, &'static str> {
        Who::find(voters, &Access::of("us", subject, scope), key).map_err(|problem| problem.error)
    }

    #[test]
    fn a_scope_gives_the_right_to_vote() {
        let find = |scope, subject| found(Voters::Token, scope, subject, Some(KEY));
        let (issuer, subject) = ("us".to_owned(), "ann".to_owned());
        assert_eq!(find("vote", Some("ann")), Ok(Who::Subject { issuer: issuer.clone(), subject: subject.clone() }));
        assert_eq!(find("vote vote:any", Some("ann")), Ok(Who::Anybody { issuer: issuer.clone(), subject: Some(subject) }));
        assert_eq!(find("vote:any", None), Ok(Who::Anybody { issuer, subject: None }));
        assert_eq!(
            (find("vote", None), find("vote", Some("")), find("", Some("ann")), find("watch", None)),
            (Err("no_subject"), Err("no_subject"), Err("scope"), Err("scope"))
        );
        assert_eq!(find("vote:any", Some("")), Ok(Who::Anybody { issuer: "us".to_owned(), subject: None }));
    }

    #[test]
    fn a_key_votes_where_keys_may() {
        let find = |key: Option<&str>| found(Voters::Anonymous, "vote", Some("ann"), key);
        assert_eq!(find(Some(KEY)), Ok(Who::Key(KEY.to_owned())));
        assert_eq!(find(Some(&format!(" \"{KEY}\""))), Ok(Who::Key(KEY.to_owned())));
        assert!(matches!(find(None), Ok(Who::Subject { .. })));
        assert_eq!(found(Voters::Anonymous, "", Some("ann"), None), Err("key_missing"));
    }

    #[test]
    fn a_key_has_room_for_chance() {
        for (length, is_good) in [(21, false), (22, true), (200, true), (201, false)] {
            assert_eq!(parse_key(&"k".repeat(length)).is_ok(), is_good, "{length}");
        }
        for bad in ["", "\"\"", "é12345678901234567890123", "1234567890 1234567890123", "\"1234567890123456789012"] {
            assert_eq!(parse_key(bad).map_err(|problem| problem.status.as_u16()), Err(400), "{bad}");
        }
    }
}
