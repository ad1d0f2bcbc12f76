//! The country that a request comes from.

use crate::config::Config;
use axum::http::HeaderMap;
use std::net::IpAddr;
use vote_agg_core::Country;

/// The country of a connection, as the HTTP side puts it into a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientCountry(pub Option<Country>);

/// The country that a trusted proxy has put into a request. One that is none, such as Cloudflare's T1 for Tor, is no country. Nor are
/// two: the proxy has let one of the client's through, and nobody can tell which one that is.
#[must_use]
pub fn country(config: &Config, peer: IpAddr, headers: &HeaderMap) -> Option<Country> {
    let mut values = headers.get_all(config.country_header()?).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let is_proxy = config.trusted_proxies.iter().any(|net| net.contains(&peer.to_canonical()));
    is_proxy.then(|| Country::parse(value.as_bytes()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use clap::Parser;

    #[test]
    fn a_country_comes_from_a_proxy_alone_and_once() {
        let told = |flags: &[&str], peer: &str, values: &[&'static str]| {
            let always = ["relay", "--database-url=postgres://here", "--trusted-proxies=10.0.0.0/8"];
            let config = Config::parse_from(always.iter().chain(flags));
            let headers = values.iter().map(|value| ("cf-ipcountry".parse().expect("header"), HeaderValue::from_static(value)));
            country(&config, peer.parse().expect("address"), &headers.collect()).map(|country| country.to_string())
        };
        let flags = ["--country-header=cf-ipcountry"];
        assert_eq!(told(&flags, "10.1.2.3", &["FR"]).as_deref(), Some("FR"));
        assert_eq!(told(&flags, "::ffff:10.1.2.3", &["fr"]).as_deref(), Some("FR"));
        assert_eq!(told(&flags, "192.0.2.1", &["FR"]), None);
        assert_eq!(told(&[], "10.1.2.3", &["FR"]), None);
        for values in [&[][..], &["T1"], &["FR", "FR"], &["FR", "DE"]] {
            assert_eq!(told(&flags, "10.1.2.3", values), None, "{values:?}");
        }
    }
}
