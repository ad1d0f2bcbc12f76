//! Many voters in one process, for benchmarks: over HTTP/1.1 with connections that stay, or over Socket.IO. They vote at our door or
//! at an API that others would write. Told what to do by lines of JSON on standard input, each answered by one.

#![allow(clippy::unwrap_used, clippy::panic)] // a benchmark that goes wrong ends

mod asking;
mod line;
mod run;
#[path = "../wire/mod.rs"]
mod wire;

use asking::{Asking, Tokens, Way};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use line::Line;
use run::Run;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::net::Ipv4Addr;
use std::rc::Rc;
use tokio::sync::mpsc;

/// Connections that are opened at the same time; more would meet the listener's backlog.
const AT_ONCE: usize = 100;

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Command {
    /// Signs tokens for so many voters, so that the time of a run is not spent on that.
    Sign { count: u64 },
    /// Connections in place of those before. The voters begin again with the first: a match has each of them once.
    Open { port: u16, way: Way, match_id: String, connections: usize, size: Option<u64>, addresses: Option<u32> },
    /// Votes for so many seconds: each connection when it has its answer, or all together so many requests a second. The answer has
    /// the voters whose votes were acknowledged, if they are `told`.
    Vote {
        seconds: f64,
        rate: Option<f64>,
        #[serde(default)]
        told: bool,
    },
}

#[derive(Default)]
struct Voters {
    tokens: Rc<Tokens>,
    asking: Option<Asking>,
    lines: Vec<Line>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let secret = std::env::var("JWT_KEY").unwrap_or_default();
    let mut voters = Voters { tokens: Rc::new(Tokens::new(&secret)), ..Voters::default() };
    while let Some(line) = lines.recv().await {
        let command = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        let answer = voters.obey(command).await;
        println!("{}", json!({"answer": answer}));
        std::io::stdout().flush().unwrap();
    }
}

impl Voters {
    async fn obey(&mut self, command: Command) -> Value {
        match command {
            Command::Sign { count } => {
                self.lines.clear();
                self.asking = None;
                let tokens = Rc::get_mut(&mut self.tokens).expect("no run holds them");
                tokens.sign(count);
                json!({})
            }
            Command::Open { port, way, match_id, connections, size, addresses } => {
                self.lines.clear();
                self.asking = None;
                let asking = Asking::new(way, match_id, size.unwrap_or(1), self.tokens.clone());
                let opening = stream::iter(0..connections as u32).map(|number| {
                    let from = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + number % addresses.unwrap_or(1).max(1));
                    Line::open(from, port, asking.hello(number.into()), number.into())
                });
                self.lines = opening.buffer_unordered(AT_ONCE).try_collect().await.unwrap_or_else(|e| panic!("{e}"));
                self.asking = Some(asking);
                json!({})
            }
            Command::Vote { seconds, rate, told } => {
                let asking = self.asking.as_ref().expect("open comes before vote");
                let run = Run::new(asking, seconds, rate, told);
                join_all(self.lines.iter_mut().map(|line| run.vote(line))).await;
                run.report()
            }
        }
    }
}
