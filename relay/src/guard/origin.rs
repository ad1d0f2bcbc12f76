//! The origins of pages that may connect.

use crate::error::{Error, Result};
use axum::http::{HeaderMap, HeaderValue, header};

/// The origins that pages may connect from.
#[derive(Clone, Debug)]
pub struct Origins(Option<Vec<HeaderValue>>);

impl Origins {
    /// `*` among them stands for any.
    ///
    /// # Errors
    /// [`Error::Config`] for what no browser sends as an origin.
    pub fn new(origins: &[String]) -> Result<Self> {
        if origins.iter().any(|origin| origin == "*") {
            return Ok(Self(None));
        }
        let checked = |origin: &String| {
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let is_origin = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ', '*']));
            let value = HeaderValue::from_str(&origin.to_ascii_lowercase()).ok().filter(|_| is_origin);
            value.ok_or_else(|| Error::Config(format!("ORIGINS: {origin:?} is no origin; write it as https://example.org")))
        };
        origins.iter().map(checked).collect::<Result<_>>().map(|list| Self(Some(list)))
    }

    /// Whether a request may pass. One without an origin comes from no page.
    #[must_use]
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let mut sent = headers.get_all(header::ORIGIN).iter();
        match (&self.0, sent.next(), sent.next()) {
            (_, None, _) | (None, Some(_), None) => true,
            (Some(list), Some(origin), None) => list.contains(origin),
            (_, Some(_), Some(_)) => false,
        }
    }

    /// What a browser is told: the list, or None for any.
    #[must_use]
    pub fn list(&self) -> Option<Vec<HeaderValue>> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.parse().expect("name"), HeaderValue::from_str(value).expect("value"))).collect()
    }

    #[test]
    fn only_the_very_origin_passes() {
        let origins = Origins::new(&["https://vote.example.org".into(), "http://localhost:5173".into()]).expect("origins");
        let allows = |value: &str| origins.allow(&headers("origin", &[value]));
        assert!(origins.allow(&HeaderMap::new()) && allows("https://vote.example.org") && allows("http://localhost:5173"));
        for bad in [
            "null",
            "",
            "*",
            "https://example.org",
            "http://vote.example.org",
            "https://vote.example.org:8443",
            "https://vote.example.org/",
            "https://vote.example.org.evil.org",
            "https://evilvote.example.org",
            "https://vote.example.org@evil.org",
            "https://vote.example.org, https://evil.org",
            "https://VOTE.example.org.",
            "file://",
            "http://localhost",
            "http://localhost:51730",
            "http://127.0.0.1:5173",
            "https://localhost:5173",
            "https://sub.vote.example.org",
            "vote.example.org",
            "//vote.example.org",
        ] {
            assert!(!allows(bad), "{bad}");
        }
        assert!(!origins.allow(&headers("origin", &["https://vote.example.org", "https://evil.org"])));
        assert!(Origins::new(&["*".into()]).expect("any").allow(&headers("origin", &["https://evil.org"])));
        for bad in ["example.org", "https://", "https://a/b", "https://*.a"] {
            assert!(Origins::new(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
