//! Refusals as clients see them: problem details (RFC 9457).

use crate::answer::Answer;
use crate::entrance::Unreadable;
use crate::queue::Refusal;
use http::StatusCode;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::time::Duration;

/// How long a client waits before it sends a vote again that was not sent.
const RETRY: Duration = Duration::from_secs(1);

/// A refusal. `about:blank` is its type, so its title is that of the status; `error` is the word for programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub status: StatusCode,
    pub error: &'static str,
    pub detail: String,
    pub hint: Option<String>,
    pub sqlstate: Option<String>,
    /// When the same may work.
    pub retry_after: Option<Duration>,
}

impl Problem {
    #[must_use]
    pub fn new(status: StatusCode, error: &'static str, detail: impl Into<String>) -> Self {
        Self { status, error, detail: detail.into(), hint: None, sqlstate: None, retry_after: None }
    }

    /// A value that can never be right.
    #[must_use]
    pub fn of_value(error: &vote_agg_core::Error) -> Self {
        let detail = [Some(error.to_string()), error.detail()].into_iter().flatten().collect::<Vec<_>>().join(". ");
        let hint = Some(error.hint().to_owned());
        Self { hint, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) }
    }

    /// Says when the same may work.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The same in whole seconds, one at least.
    #[must_use]
    pub fn retry_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).map(|seconds| seconds.max(1))
    }

    /// Of an answer that is none of success.
    #[must_use]
    pub fn of_answer(answer: &Answer) -> Option<Self> {
        match answer {
            Answer::Done { .. } => None,
            Answer::NotSent => {
                let detail = "the vote was not counted: it could not be sent in time";
                Some(Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_sent", detail).after(RETRY))
            }
            Answer::Unknown => {
                let detail = "nobody knows yet whether the vote counts: send it again with the same turn";
                Some(Self::new(StatusCode::GATEWAY_TIMEOUT, "unknown_outcome", detail).after(RETRY))
            }
            Answer::Refused { sqlstate, message, hint } => {
                let (status, error) = match (sqlstate.as_str(), sqlstate.get(..2)) {
                    ("42704", _) => (StatusCode::NOT_FOUND, "unknown"),
                    ("55000", _) => (StatusCode::CONFLICT, "closed"),
                    ("23505", _) => (StatusCode::CONFLICT, "voted"),
                    ("54000", _) | (_, Some("22")) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
                    _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
                };
                // What went wrong inside is for the server's log.
                let is_ours = error == "failed";
                let detail = match error {
                    "failed" => "the vote was not counted: the database failed",
                    // The database's own words name the voter as the ballot does.
                    "voted" => "another vote of this voter stands, and this one may not take its place",
                    _ => message.as_str(),
                };
                let hint = hint.clone().filter(|_| !is_ours);
                Some(Self { hint, sqlstate: Some(sqlstate.clone()), ..Self::new(status, error, detail) })
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (error, detail) = match refusal {
            Refusal::Full => ("queue_full", "the vote was not counted: too many votes wait".to_owned()),
            Refusal::ShareFull(share) => {
                ("queue_full", format!("the vote was not counted: more than {share} votes from your address would wait"))
            }
            Refusal::Closed => ("shutting_down", "the vote was not counted: this relay is shutting down".to_owned()),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, detail).after(RETRY)
    }
}

impl From<Unreadable> for Problem {
    fn from(_: Unreadable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the vote cannot be read at the moment").after(RETRY)
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "about:blank")?;
        map.serialize_entry("title", self.status.canonical_reason().unwrap_or_default())?;
        map.serialize_entry("status", &self.status.as_u16())?;
        map.serialize_entry("detail", &self.detail)?;
        map.serialize_entry("error", self.error)?;
        for (name, value) in [("hint", &self.hint), ("sqlstate", &self.sqlstate)] {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        if let Some(seconds) = self.retry_seconds() {
            map.serialize_entry("retry_after", &seconds)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vote_agg_core::vote::ballot::Outcome;

    fn refused(sqlstate: &str) -> Problem {
        let answer = Answer::Refused { sqlstate: sqlstate.into(), message: "why".into(), hint: Some("do".into()) };
        Problem::of_answer(&answer).expect("a problem")
    }

    #[test]
    fn every_refusal_has_its_status() {
        let of = |sqlstate| (refused(sqlstate).status.as_u16(), refused(sqlstate).error);
        assert_eq!((of("42704"), of("55000"), of("23505")), ((404, "unknown"), (409, "closed"), (409, "voted")));
        assert_eq!((of("22023"), of("54000"), of("XX000")), ((422, "invalid"), (422, "invalid"), (500, "failed")));
        assert_eq!(refused("XX000").detail, "the vote was not counted: the database failed");
        assert_eq!(refused("XX000").hint, None);
        let status = |answer| Problem::of_answer(&answer).map(|problem| problem.status.as_u16());
        assert_eq!((status(Answer::NotSent), status(Answer::Unknown)), (Some(503), Some(504)));
        assert_eq!(status(Answer::Done { outcome: Outcome::Counted, standing: None }), None);
        assert_eq!((Problem::from(Refusal::Full).error, Problem::from(Refusal::Closed).error), ("queue_full", "shutting_down"));
    }

    #[test]
    fn it_is_written_as_the_rfc_says() {
        let written = serde_json::to_value(refused("55000").after(Duration::from_millis(1))).expect("json");
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Conflict", "status": 409, "detail": "why", "error": "closed", "hint": "do",
            "sqlstate": "55000", "retry_after": 1,
        });
        assert_eq!(written, expected);
        let plain = serde_json::to_value(Problem::new(StatusCode::FORBIDDEN, "forbidden", "no")).expect("json");
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "no", "error": "forbidden",
        });
        assert_eq!(plain, expected);
    }

    #[test]
    fn a_bad_value_comes_with_its_remedy() {
        let problem = Problem::of_value(&vote_agg_core::parse_cell(b"x").expect_err("no cell"));
        assert_eq!((problem.status.as_u16(), problem.error), (422, "invalid"));
        assert!(problem.detail.starts_with("invalid H3 cell: \"x\". It is not"), "{}", problem.detail);
        assert!(problem.hint.is_some_and(|hint| hint.contains("15 hexadecimal digits")));
    }
}
