//! Mutated inputs on everything that reads what strangers send: packets, queries, headers, tokens, cursors.
//!
//! `FUZZ_CASES` sets how many for each test; `PROPTEST_RNG_SEED` draws others.

use crate::config::Config;
use crate::guard::address::client_ip;
use crate::guard::origin::Origins;
use crate::guard::token::{Checker, bearer};
use crate::http::events::since;
use crate::http::query::{Kind, MatchQuery, params};
use crate::http::sockets::is_upgrade;
use crate::live::subscription::{Subscription, parse_match};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Version, header};
use clap::Parser;
use engineioxide_core::{Packet, ProtocolVersion, Str, payload};
use futures_util::{FutureExt, StreamExt};
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use proptest::test_runner::{Config as Cases, RngSeed, TestRunner};
use serde_json::{Value, json};
use socketioxide_core::packet::PacketData;
use socketioxide_core::parser::{Parse, ParseConfig, ParserState};
use socketioxide_parser_common::CommonParser;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};
use vote_agg_core::vote::name::parse_name;

/// What means something to one of the parsers, or to none.
const WORDS: [&str; 40] = [
    "",
    "\u{1e}",
    "4",
    "0/votes,",
    "42/votes,1",
    "51-/votes,",
    "99999999999999999999",
    "[\"match:join\",",
    "{\"matchId\":",
    "null",
    "true",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "1e999",
    "NaN",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "é",
    "\u{10ffff}",
    "\"",
    ",",
    ":",
    "-",
    "=",
    "&",
    ";",
    "%",
    "%00",
    "%ff",
    "+",
    "[[[[[[[[[[[[[[[[",
    "}",
    "_placeholder",
    "bearer ",
    "::ffff:127.0.0.1",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "resolution",
    ".",
];

type Edit = (u8, usize, usize, u8, &'static str);

/// One of the seeds with a few edits: bytes and words put in, changed, left out, repeated.
fn mutated(seeds: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..6_u8, any::<usize>(), 0..24_usize, any::<u8>(), select(&WORDS[..]));
    (select(seeds), vec(edit, 0..7)).prop_map(|(seed, edits)| edits.into_iter().fold(seed.into_bytes(), edited))
}

fn edited(mut bytes: Vec<u8>, (kind, at, length, byte, word): Edit) -> Vec<u8> {
    let at = at % (bytes.len() + 1);
    let end = (at + length).min(bytes.len());
    match kind {
        0 => bytes.insert(at, byte),
        1 => bytes[at..end].iter_mut().for_each(|old| *old ^= byte),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.truncate(at),
        4 => drop(bytes.splice(at..at, word.bytes())),
        _ => {
            let part = bytes[at..end].repeat(usize::from(byte) % 9);
            bytes.splice(end..end, part);
        }
    }
    bytes
}

/// Runs the test with mutations of the seeds, the seeds themselves among them.
pub fn fuzz<S: ToString>(seeds: &[S], test: impl Fn(&[u8])) {
    let cases = std::env::var("FUZZ_CASES").ok().map_or(20_000, |cases| cases.parse().expect("FUZZ_CASES: a number"));
    let mut config = Cases { cases, failure_persistence: None, ..Cases::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    seeds.iter().for_each(|seed| test(seed.as_bytes()));
    let run = TestRunner::new(config).run(&mutated(seeds), |bytes| {
        test(&bytes);
        Ok(())
    });
    run.map_err(|failure| failure.to_string()).expect("every case holds");
}

/// What a client may send as text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What holds for whatever passed.
fn assert_sound(data: &Value) {
    if let Ok(match_id) = parse_match(data) {
        assert_eq!(parse_name("match", Some(match_id.as_bytes())), Ok(match_id.as_str()));
    }
    if let Ok(subscription) = Subscription::parse(data) {
        assert!(subscription.resolution.is_none_or(|resolution| u8::from(resolution) <= 15));
        assert!(subscription.since.as_ref().is_none_or(|(seq, epoch)| *seq >= 0 && epoch.len() <= 64));
        assert!((1..=5).contains(&subscription.messages()));
        assert!(subscription.area.iter().all(|area| (1..=256).contains(&area.cells.len()) && area.contains(area.cells[0])));
        assert!(subscription.rooms("m").iter().all(|room| room.ends_with(":m")));
    }
}

const PACKETS: [&str; 16] = [
    "40/votes,{\"token\":\"a.b.c\"}",
    "42/votes,7[\"match:join\",{\"matchId\":\"final\",\"resolution\":3,\"sinceSeq\":12,\"epoch\":\"9f3c2a71\",\"bundle\":true}]",
    "42/votes,[\"match:join\",\"final\"]",
    "42/votes,8[\"match:leave\",{\"matchId\":\"final\"}]",
    "42/votes,9[\"auth\",{\"token\":\"a.b.c\"}]",
    "451-/votes,1[\"match:join\",{\"_placeholder\":true,\"num\":0}]",
    "461-/votes,1[{\"_placeholder\":true,\"num\":0}]",
    "43/votes,1[{\"ok\":true}]",
    "44/votes,{\"message\":\"no\"}",
    "41/votes,",
    "40",
    "2probe",
    "3",
    "5",
    "bAAEC",
    "42[\"a\"]\u{1e}42/votes,[\"match:leave\",\"m\"]\u{1e}2",
];

#[test]
fn packets() {
    let config = ParseConfig::default();
    fuzz(&PACKETS, |bytes| {
        // A poll may carry any bytes and several packets, a frame of a WebSocket one packet in UTF-8.
        let polled: Vec<_> = payload::decoder(Body::from(bytes.to_vec()), None, ProtocolVersion::V4, 65_536)
            .collect()
            .now_or_never()
            .expect("at once");
        let framed = Packet::parse(ProtocolVersion::V4, Str::from(text(bytes)));
        let state = ParserState::default();
        for packet in polled.into_iter().chain([framed]).flatten() {
            let parsed = match packet {
                Packet::Message(message) => CommonParser.decode_str(&config, &state, message),
                Packet::Binary(data) => CommonParser.decode_bin(&config, &state, data),
                _ => continue,
            };
            match parsed.map(|packet| packet.inner) {
                Ok(PacketData::Event(mut data, _) | PacketData::BinaryEvent(mut data, _)) => {
                    let _ = CommonParser.read_event(&data);
                    if let Ok(data) = CommonParser.decode_value::<Value>(&mut data, true) {
                        assert_sound(&data);
                    }
                }
                Ok(PacketData::Connect(auth)) => drop(CommonParser.decode_default::<Value>(auth.as_ref())),
                _ => {}
            }
        }
    });
}

#[test]
fn joins() {
    let joins = [
        json!({"matchId": "final", "resolution": 3, "sinceSeq": 12, "epoch": "9f3c2a71", "bundle": true}),
        json!({"matchId": "final", "events": ["match:stats", "vote:new"], "bundle": false}),
        json!({"matchId": "x".repeat(200), "epoch": "e".repeat(64), "sinceSeq": i64::MAX, "resolution": 15}),
        json!({"matchId": "final", "bundle": true, "area": ["832a10fffffffff", "801ffffffffffff"], "from": null, "sinceSeq": 3, "epoch": "e"}),
        json!("final"),
        json!([{"matchId": "final"}]),
    ];
    fuzz(&joins, |bytes| drop(serde_json::from_slice(bytes).map(|data: Value| assert_sound(&data))));
}

#[test]
fn queries() {
    let queries = [
        "stats?token=a.b.c",
        "aggregates?resolution=3&min_votes=2&max_cells=20",
        "countries?min_votes=5",
        "timeline?bucket=5+minutes&from=2026-07-19T20%3A00%3A00Z&to=infinity",
        "flips?since=2026-07-19T20%3A00%3A00Z&max=20",
        "geojson?resolution=5&bbox=-75,40,-73,41",
    ];
    fuzz(&queries, |bytes| {
        let text = text(bytes);
        let Ok(mut query) = params(text.split_once('?').map_or(&*text, |(_, query)| query)) else { return };
        query.remove("token");
        for kind in ["stats", "aggregates", "countries", "timeline", "at", "flips", "geojson"]
            .map(|name| Kind::parse(name).expect("a kind"))
        {
            let Ok(parsed) = MatchQuery::parse(kind, &query) else { continue };
            assert!(parsed.resolution.is_none_or(|resolution| u8::from(resolution) <= 15));
            assert!(parsed.bbox.as_ref().is_none_or(|sides| sides.len() == 4 && sides.iter().all(|side| side.is_finite())));
            assert!(kind == Kind::Timeline || parsed.bucket == "1 minute");
            assert!(!parsed.to_string().is_empty());
        }
    });
}

fn headers(name: header::HeaderName, value: &[u8]) -> Option<HeaderMap> {
    Some(HeaderMap::from_iter([(name, HeaderValue::from_bytes(value).ok()?)]))
}

#[test]
fn heads_of_requests() {
    let proxies: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().expect("a network")).collect();
    let (inside, outside) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([198, 51, 100, 1]));
    let listed = ["https://vote.example.org", "http://localhost:5173"];
    let origins = Origins::new(&listed.map(str::to_owned)).expect("origins");
    let seeds = [
        "203.0.113.7, 10.0.0.2",
        "203.0.113.7:51432",
        "\"[2001:db8::1]:443\", fd00::2",
        "https://vote.example.org",
        "websocket",
        "keep-alive, Upgrade",
        "Bearer a.b.c",
        "9f3c2a71-12",
        "9f3c-2a71--9223372036854775808",
    ];
    fuzz(&seeds, |bytes| {
        let Some(forwarded) = headers("x-forwarded-for".parse().expect("a name"), bytes) else { return };
        assert_eq!(client_ip(outside, &forwarded, &proxies), outside);
        let seen = client_ip(inside, &forwarded, &proxies);
        assert!(seen == inside || text(bytes).contains(['.', ':']), "{seen}");
        let sent = headers(header::ORIGIN, bytes).expect("the same value");
        assert_eq!(origins.allow(&sent), listed.iter().any(|origin| origin.as_bytes() == bytes));
        if let Some(token) = std::str::from_utf8(bytes).ok().and_then(bearer) {
            assert!(text(bytes).contains(token));
        }
        if let Some((seq, epoch)) = since(&headers("last-event-id".parse().expect("a name"), bytes).expect("the same value")) {
            assert!(seq >= 0 && text(bytes).starts_with(&epoch));
        }
        let mut upgrade = headers(header::UPGRADE, bytes).expect("the same value");
        assert!(!is_upgrade(Version::HTTP_11, &upgrade), "without Connection and a key");
        upgrade.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        upgrade.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        upgrade.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("a"));
        let names = text(bytes).to_ascii_lowercase().contains("websocket");
        assert!(names || !is_upgrade(Version::HTTP_11, &upgrade));
        assert!(!is_upgrade(Version::HTTP_10, &upgrade));
    });
}

#[test]
fn tokens() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let flags = ["relay", "--database-url=postgres://localhost/votes", "--auth=required", &format!("--jwt-key={SECRET}")];
    let checker = Checker::new(&Config::parse_from(flags)).expect("a key");
    let later = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() + 36_000;
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let claims = [
        json!({"exp": later}),
        json!({"exp": later as f64 + 0.25, "matches": ["final", "cup"]}),
        json!({"exp": later, "matches": null}),
    ];
    let sign = |claims| jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).expect("a token");
    let tokens: Vec<String> = claims.iter().map(sign).collect();
    fuzz(&tokens, |bytes| {
        let token = text(bytes);
        // Nobody without the key makes another token of one: what is accepted was signed.
        assert_eq!(checker.check(Some(&token)).is_ok(), tokens.contains(&token), "{token}");
    });
}
