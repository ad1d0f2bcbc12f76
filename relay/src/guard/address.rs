//! The client's address, behind proxies too.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address, as the HTTP side puts it into a request.
#[derive(Clone, Copy, Debug)]
pub struct ClientIp(pub IpAddr);

/// What counts as one address: with IPv6 a /64, which is what one subscriber gets.
#[must_use]
pub fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

/// The client's address: the peer's, unless that is a proxy of ours; then the last one in X-Forwarded-For that is none.
#[must_use]
pub fn client_ip(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_proxy = |ip: &IpAddr| proxies.iter().any(|net| net.contains(ip));
    if !is_proxy(&peer) {
        return peer;
    }
    let lists: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut last = peer;
    for text in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        match parse(text) {
            Some(ip) if is_proxy(&ip) => last = ip,
            Some(ip) => return ip,
            // What stands further left was not written by a proxy of ours.
            None => return last,
        }
    }
    last
}

/// Whether the request came through a proxy that no setting names: all of its clients count as one address then.
#[must_use]
pub fn is_from_unknown_proxy(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> bool {
    headers.contains_key(FORWARDED_FOR) && !proxies.iter().any(|net| net.contains(&peer.to_canonical()))
}

/// An entry of X-Forwarded-For. Some proxies write the port too, and IPv6 in brackets or quotation marks.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.parse().expect("name"), HeaderValue::from_str(value).expect("value"))).collect()
    }

    #[test]
    fn a_subscriber_counts_once() {
        let counted = |text: &str| prefix(text.parse().expect("address")).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("2001:db8:1:3::6"), "2001:db8:1:3::");
        assert_eq!((counted("192.0.2.1"), counted("::ffff:192.0.2.1")), ("192.0.2.1".to_owned(), "192.0.2.1".to_owned()));
    }

    #[test]
    fn addresses_are_believed_to_proxies_only() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("address");
        let proxies: Vec<IpNet> = ["10.0.0.0/30", "fd00::/8"].iter().map(|net| net.parse().expect("network")).collect();
        let seen = |peer: &str, lists: &[&str]| client_ip(ip(peer), &headers("x-forwarded-for", lists), &proxies).to_string();
        assert_eq!(seen("1.1.1.1", &["2.2.2.2"]), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &["2.2.2.2"]), "2.2.2.2");
        assert_eq!(seen("::ffff:10.0.0.1", &["2.2.2.2"]), "2.2.2.2");
        assert_eq!(seen("10.0.0.1", &["9.9.9.9, 2.2.2.2, 10.0.0.2"]), "2.2.2.2");
        assert_eq!(seen("10.0.0.1", &["9.9.9.9", "2.2.2.2"]), "2.2.2.2");
        assert_eq!(seen("10.0.0.1", &["9.9.9.9, garbage"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7:51432"]), "203.0.113.7");
        assert_eq!(seen("10.0.0.3", &["2.2.2.2, 10.0.0.2:80"]), "2.2.2.2");
        assert_eq!(seen("10.0.0.4", &["2.2.2.2"]), "10.0.0.4");
        assert_eq!(seen("fd00::1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(seen("fd00::1", &["\"[2001:db8::1]\", fd00::2"]), "2001:db8::1");
    }

    #[test]
    fn a_proxy_that_no_setting_names_is_noticed() {
        let (ip, proxies) = (IpAddr::from([10, 0, 0, 1]), ["10.0.0.0/30".parse::<IpNet>().expect("network")]);
        let forwarded = headers(FORWARDED_FOR, &["2.2.2.2"]);
        assert!(is_from_unknown_proxy(ip, &forwarded, &[]));
        assert!(!is_from_unknown_proxy(ip, &forwarded, &proxies) && !is_from_unknown_proxy(ip, &HeaderMap::new(), &[]));
    }
}
