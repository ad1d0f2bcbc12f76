//! The origins of pages that may connect.

use crate::error::{Error, Result};
use axum::http::{HeaderMap, HeaderValue, header};
use url::{Origin, Url};

/// The origins that pages may connect from.
#[derive(Clone, Debug)]
pub struct Origins(Option<Vec<HeaderValue>>);

impl Origins {
    /// `*` among them stands for any.
    ///
    /// # Errors
    /// [`Error::Config`] for what no browser sends as an origin.
    pub fn new(origins: &[String]) -> Result<Self> {
        let origins: Vec<&str> = origins.iter().map(|origin| origin.trim()).collect();
        if origins.contains(&"*") {
            return Ok(Self(None));
        }
        origins.into_iter().map(as_sent).collect::<Result<_>>().map(|list| Self(Some(list)))
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

/// An origin as browsers send it (RFC 6454, section 6.2): in lower case, punycode for other letters, no default port.
fn as_sent(origin: &str) -> Result<HeaderValue> {
    let refuse = || Error::Config(format!("ORIGINS: {origin:?} is no origin; write it as https://example.org"));
    let url = Url::parse(origin).map_err(|_| refuse())?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let host = url.host_str().filter(|host| !host.is_empty() && !host.contains('*')).ok_or_else(refuse)?;
    if !is_bare || origin.ends_with('/') || !matches!(url.path(), "" | "/") {
        return Err(refuse());
    }
    let sent = match url.origin() {
        known @ Origin::Tuple(..) => known.ascii_serialization(),
        // Apps have schemes of their own, such as capacitor://localhost; their web views send them as they are.
        Origin::Opaque(_) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}", url.scheme()).to_ascii_lowercase()
        }
    };
    HeaderValue::from_str(&sent).map_err(|_| refuse())
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

    #[test]
    fn a_browser_is_told_the_list_or_any() {
        let list = |origins: &[&str]| {
            let origins: Vec<_> = origins.iter().map(|origin| (*origin).to_owned()).collect();
            Origins::new(&origins).expect("sound").list()
        };
        let both = ["https://a.example", "http://b.example"];
        assert_eq!(list(&both), Some(both.map(HeaderValue::from_static).to_vec()));
        assert_eq!(list(&["https://a.example", "*"]), None);
    }

    #[test]
    fn origins_are_compared_as_browsers_send_them() {
        for (written, sent) in [
            ("https://a.example:443", "https://a.example"),
            ("http://B.example:80", "http://b.example"),
            (" https://c.example:8443 ", "https://c.example:8443"),
            ("https://m\u{fc}nchen.example", "https://xn--mnchen-3ya.example"),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("tauri://localhost:1420", "tauri://localhost:1420"),
        ] {
            let origins = Origins::new(&[written.into()]).expect(written);
            assert!(origins.allow(&headers("origin", &[sent])), "{written}");
        }
        for bad in ["https://a.example/", "https://u@a.example", "https://a.example?x", "file://", "about:blank", "capacitor://*"]
        {
            assert!(Origins::new(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
