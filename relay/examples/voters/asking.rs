//! Requests that vote, each by voters that have not voted before.

use crate::line::Line;
use crate::wire::frame;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Deserialize;
use serde_json::json;
use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tokens outlast every run.
const VALID: u64 = 86_400;

/// A cell of resolution 7 is this and three of its digits: 343 cells, as those of pgbench's votes.
const CELL: u64 = 0x0872_a000_00ff_ffff;

const COUNTRIES: [&str; 4] = ["FR", "DE", "BR", "US"];

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Our door, over HTTP: each vote with a token of its voter's own.
    Door,
    /// Our door, over HTTP: lists of a back end.
    List,
    /// An API that takes a vote a request, over HTTP.
    Api,
    /// Our door, over Socket.IO: a back end's sockets, each vote of a voter of its own.
    Socket,
    /// Our door, over Socket.IO: each socket is a voter, who votes again and again.
    Fan,
}

/// Tokens, and the key that signs them.
pub struct Tokens {
    key: EncodingKey,
    signed: Vec<Box<str>>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new("")
    }
}

impl Tokens {
    pub fn new(secret: &str) -> Self {
        Self { key: EncodingKey::from_secret(secret.as_bytes()), signed: Vec::new() }
    }

    pub fn sign(&mut self, count: u64) {
        let more: Vec<_> = (self.signed.len() as u64..count).map(|voter| self.make(voter, "vote").into()).collect();
        self.signed.extend(more);
    }

    fn make(&self, voter: u64, scope: &str) -> String {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + VALID;
        encode(&Header::default(), &json!({"sub": format!("{voter:012}"), "scope": scope, "exp": expires}), &self.key).unwrap()
    }

    /// Adds the token of a voter.
    fn add(&self, voter: u64, text: &mut String) {
        match self.signed.get(usize::try_from(voter).unwrap()) {
            Some(token) => text.push_str(token),
            None => text.push_str(&self.make(voter, "vote")),
        }
    }
}

/// What is asked.
pub struct Asking {
    pub way: Way,
    pub match_id: String,
    /// Votes in a request.
    pub size: u64,
    tokens: Rc<Tokens>,
    back_end: String,
    next: Cell<u64>,
}

impl Asking {
    pub fn new(way: Way, match_id: String, size: u64, tokens: Rc<Tokens>) -> Self {
        let back_end = tokens.make(0, "vote:any");
        Self { way, match_id, size, tokens, back_end, next: Cell::new(0) }
    }

    /// What a socket says first; HTTP needs nothing.
    pub fn hello(&self, number: u64) -> Option<String> {
        match self.way {
            Way::Socket => Some(json!({"token": self.back_end}).to_string()),
            Way::Fan => Some(json!({"token": self.tokens.make(number, "vote")}).to_string()),
            Way::Door | Way::List | Way::Api => None,
        }
    }

    /// Puts the next request of this connection into its buffer. Returns its first voter.
    pub fn ask(&self, line: &mut Line) -> u64 {
        let first = self.next.get();
        self.next.set(first + self.size);
        line.asked += 1;
        let (asked, number) = (line.asked, line.number);
        line.out.clear();
        let mut body = String::with_capacity(128 * usize::try_from(self.size).unwrap());
        match self.way {
            Way::Door => {
                self.vote(first, 1, false, &mut body);
                let head = &mut line.out;
                head.extend_from_slice(b"POST /matches/");
                head.extend_from_slice(self.match_id.as_bytes());
                head.extend_from_slice(b"/votes HTTP/1.1\r\nauthorization: Bearer ");
                let mut token = String::with_capacity(256);
                self.tokens.add(first, &mut token);
                head.extend_from_slice(token.as_bytes());
                head.extend_from_slice(b"\r\ncf-ipcountry: ");
                head.extend_from_slice(country(first).as_bytes());
            }
            Way::List => {
                for voter in first..first + self.size {
                    body.push(if voter == first { '[' } else { ',' });
                    self.vote(voter, 1, true, &mut body);
                }
                body.push(']');
                let head = format!("POST /matches/{}/votes HTTP/1.1\r\nauthorization: Bearer {}", self.match_id, self.back_end);
                line.out.extend_from_slice(head.as_bytes());
            }
            Way::Api => {
                self.vote(first, 1, true, &mut body);
                line.out.extend_from_slice(b"POST /matches/");
                line.out.extend_from_slice(self.match_id.as_bytes());
                line.out.extend_from_slice(b"/votes HTTP/1.1");
            }
            Way::Socket | Way::Fan => {
                write!(body, "42/votes,{asked}[\"vote\",").unwrap();
                let (voter, turn) = if self.way == Way::Fan { (number, asked) } else { (first, 1) };
                self.vote(voter, turn, self.way == Way::Socket, &mut body);
                body.push(']');
                line.out = frame(1, body.as_bytes());
                return first;
            }
        }
        write!(
            &mut Bytes(&mut line.out),
            "\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        first
    }

    /// A vote as JSON; one that is named says which voter, and from which country.
    fn vote(&self, voter: u64, turn: u64, is_named: bool, text: &mut String) {
        let team = if (voter + turn).is_multiple_of(2) { "home" } else { "away" };
        let place = voter / 2 % 343;
        let cell = CELL + ((place % 7) << 24) + ((place / 7 % 7) << 27) + ((place / 49) << 30);
        write!(text, "{{\"team_choice\":\"{team}\",\"turn\":{turn},\"h3_index\":\"{cell:x}\"").unwrap();
        if matches!(self.way, Way::Socket | Way::Fan) {
            write!(text, ",\"match_id\":\"{}\"", self.match_id).unwrap();
        }
        if is_named {
            write!(text, ",\"voter_id\":\"{voter:012}\",\"country_code\":\"{}\"", country(voter)).unwrap();
        }
        text.push('}');
    }
}

fn country(voter: u64) -> &'static str {
    COUNTRIES[usize::try_from(voter % 4).unwrap()]
}

/// Text that is added to bytes.
struct Bytes<'a>(&'a mut Vec<u8>);

impl Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
