//! One hostile address, for benchmarks and tests: sockets that join and do not read, and requests for answers that nobody has asked
//! for yet, each begun again as soon as it has ended. `hostile attack PORT ADDRESS SOCKETS REQUESTS SECONDS` prints what came of
//! them; `hostile refuse` is a listener that answers 429 and no more, and prints its port.

#![allow(clippy::unwrap_used, clippy::panic)] // a benchmark that goes wrong ends

use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Result;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

/// Between two tries of one socket or request that was refused.
const PAUSE: Duration = Duration::from_millis(200);

/// Between two joins of one socket: below the rate at which it would lose its connection.
const JOINS: Duration = Duration::from_millis(50);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

struct Attack {
    to: SocketAddr,
    from: SocketAddr,
    until: Instant,
    matches: Vec<String>,
    number: Cell<u64>,
    seen: RefCell<BTreeMap<String, u64>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["refuse"] => LocalSet::new().run_until(refuse()).await,
        ["attack", port, address, sockets, requests, seconds, ref matches @ ..] => {
            let attack = Rc::new(Attack {
                to: (Ipv4Addr::LOCALHOST, port.parse().unwrap()).into(),
                from: (address.parse::<Ipv4Addr>().unwrap(), 0).into(),
                until: Instant::now() + Duration::from_secs_f64(seconds.parse().unwrap()),
                matches: matches.iter().map(ToString::to_string).collect(),
                number: Cell::default(),
                seen: RefCell::default(),
            });
            LocalSet::new().run_until(attack.clone().run(sockets.parse().unwrap(), requests.parse().unwrap())).await;
            println!("{}", json!(*attack.seen.borrow()));
        }
        _ => panic!("usage: hostile attack PORT ADDRESS SOCKETS REQUESTS SECONDS MATCH…, or hostile refuse"),
    }
}

/// Answers every request with a refusal.
async fn refuse() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::task::spawn_local(async move {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let refusal = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(refusal).await;
        });
    }
}

impl Attack {
    async fn run(self: Rc<Self>, sockets: usize, requests: usize) {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..sockets {
            let attack = self.clone();
            tasks.spawn_local(async move { attack.again(|| attack.socket(number)).await });
        }
        for _ in 0..requests {
            let attack = self.clone();
            tasks.spawn_local(async move { attack.again(|| attack.request()).await });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Until the time is over.
    async fn again<F: Future<Output = Option<&'static str>>>(&self, act: impl Fn() -> F) {
        while let Some(left) = self.until.checked_duration_since(Instant::now()) {
            // What is still under way at the end counts as held.
            let end = timeout(left, act()).await.unwrap_or(Some("held")).unwrap_or("lost");
            *self.seen.borrow_mut().entry(end.to_owned()).or_default() += 1;
            if end != "200" {
                sleep(PAUSE.min(left)).await;
            }
        }
    }

    async fn connect(&self) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8_192).unwrap();
        socket.set_reuseaddr(true).unwrap(); // or it would soon be out of ports
        socket.bind(self.from).ok()?;
        socket.connect(self.to).await.ok()
    }

    /// The next of all numbers, so that each is asked for once.
    fn next(&self) -> u64 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    fn known(&self, number: u64) -> &str {
        &self.matches[usize::try_from(number).unwrap() % self.matches.len()]
    }

    /// Holds a socket: every other one joins again and again and does not read, the others read and ask for names that nobody knows.
    async fn socket(&self, number: usize) -> Option<&'static str> {
        let mut stream = self.connect().await?;
        stream.write_all(UPGRADE.as_bytes()).await.ok()?;
        let mut head = [0; 1024];
        let read = stream.read(&mut head).await.ok()?;
        if !head[..read].starts_with(b"HTTP/1.1 101") {
            return Some("socket refused");
        }
        let (mut reader, writer) = stream.into_split();
        let reads = number % 2 == 1;
        let reading = async {
            let mut bytes = vec![0; 8_192];
            while reads && reader.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            if !reads {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = reading => {}
            _ = self.speak(writer, reads) => {}
        }
        Some("socket ended")
    }

    async fn speak(&self, mut writer: OwnedWriteHalf, reads: bool) -> Result<()> {
        writer.write_all(&frame("40/votes,")).await?;
        loop {
            let next = self.next();
            let id = if reads { format!("hostile {next}") } else { self.known(next).to_owned() };
            writer.write_all(&frame(&format!("42/votes,{next}{}", json!(["match:join", {"matchId": id}])))).await?;
            sleep(JOINS).await;
        }
    }

    /// One request for an answer that the relay has not made yet.
    async fn request(&self) -> Option<&'static str> {
        let (next, mut stream) = (self.next(), self.connect().await?);
        let id = self.known(next);
        let path = match next % 5 {
            0 => format!("/matches/{id}/aggregates?min_votes={}", next % 1_000_000),
            1 => format!("/matches/{id}/timeline?bucket={}+seconds", 60 + next % 100_000),
            2 => format!("/matches/{id}/geojson?min_votes={}", next % 1_000_000),
            3 => format!("/matches/hostile%20{next}/stats"),
            _ => format!("/matches?token={next}"),
        };
        let head = format!("GET {path} HTTP/1.1\r\nHost: relay\r\nAccept-Encoding: br\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = vec![0; 65_536];
        let read = timeout(PATIENCE, stream.read(&mut answer)).await.ok()?.ok()?;
        let status = match answer.get(9..12).filter(|_| read > 12) {
            Some(b"200") => "200",
            Some(b"404") => "404",
            Some(b"429") => "429",
            Some(b"503") => "503",
            _ => "another answer",
        };
        while timeout(PATIENCE, stream.read(&mut answer)).await.ok()?.ok()? > 0 {}
        Some(status)
    }
}

/// A frame of text, masked with zeros as a client's must be.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    let mut frame = vec![0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}
