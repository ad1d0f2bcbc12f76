//! The client's address, behind proxies too.

use axum::http::HeaderMap;
use std::net::IpAddr;

/// The client's address, as the HTTP side puts it into a request.
#[derive(Clone, Copy, Debug)]
pub struct ClientIp(pub IpAddr);

/// The client's address: the peer's, unless that is a proxy of ours; then the last one in X-Forwarded-For that is none.
#[must_use]
pub fn client_ip(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_proxy = |ip: &IpAddr| proxies.iter().any(|proxy| proxy.to_canonical() == *ip);
    if !is_proxy(&peer) {
        return peer;
    }
    let lists: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let mut last = peer;
    for text in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        match text.trim().parse::<IpAddr>() {
            Ok(ip) if is_proxy(&ip.to_canonical()) => last = ip.to_canonical(),
            Ok(ip) => return ip.to_canonical(),
            // What stands further left was not written by a proxy of ours.
            Err(_) => return last,
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.parse().expect("name"), HeaderValue::from_str(value).expect("value"))).collect()
    }

    #[test]
    fn addresses_are_believed_to_proxies_only() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("address");
        let proxies = [ip("10.0.0.1"), ip("10.0.0.2")];
        let seen = |peer: &str, lists: &[&str]| client_ip(ip(peer), &headers("x-forwarded-for", lists), &proxies).to_string();
        assert_eq!(seen("1.1.1.1", &["2.2.2.2"]), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &["2.2.2.2"]), "2.2.2.2");
        assert_eq!(seen("::ffff:10.0.0.1", &["2.2.2.2"]), "2.2.2.2");
        assert_eq!(seen("10.0.0.1", &["9.9.9.9, 2.2.2.2, 10.0.0.2"]), "2.2.2.2");
        assert_eq!(seen("10.0.0.1", &["9.9.9.9", "2.2.2.2"]), "2.2.2.2");
        assert_eq!(seen("10.0.0.1", &["9.9.9.9, garbage"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }
}
