//! Many Socket.IO clients in one process, for benchmarks: they cost little, since of a message they look at no more than its
//! event, seq and votes for the team `probe`. Told what to do by lines of JSON on standard input, each answered by one.

#![allow(clippy::unwrap_used, clippy::panic)] // a benchmark that goes wrong ends

#[path = "wire/mod.rs"]
mod wire;

use bytes::BytesMut;
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, Result, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use wire::{frame, take_frame, upgrade};

/// What is looked at of a message.
const HEAD: usize = 300;

/// Clients that connect at the same time; more would meet the listener's backlog.
const AT_ONCE: usize = 100;

/// Until a refused join of a client that came back is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Command {
    /// More clients, up to the namespace. With `others` they come back when a connection ends, to these ports in turn; with
    /// `addresses` they come from so many addresses of this machine.
    Open { port: u16, count: usize, receive_buffer: Option<u32>, others: Option<Vec<u16>>, addresses: Option<u16> },
    /// They follow a match, all at once; answered when each has its snapshot.
    Join { from: usize, to: usize, wish: Value },
    /// Bytes a second that they read; 0: none, null: all there are.
    Pace { from: usize, to: usize, bytes: Option<usize> },
    /// What they have received, and how many have which seq.
    Counts { from: usize, to: usize },
    /// The milliseconds over which their relay wants them to spread a return.
    Window,
    /// From now on the time is noted at which votes for the team `probe` arrive.
    Record,
    /// Those times, in microseconds since 1970, by the number of these votes.
    Arrivals { from: usize, to: usize },
}

#[derive(Default)]
struct Seen {
    is_connected: Cell<bool>,
    is_closed: Cell<bool>,
    joined_at: Cell<Option<Instant>>,
    frames: Cell<u64>,
    bytes: Cell<u64>,
    seq: Cell<i64>,
    gaps: Cell<u64>,
    refusal: RefCell<Option<String>>,
    arrivals: RefCell<Vec<(i64, u64)>>,
    epoch: RefCell<String>,
    /// What it joined with; with that and what it knows it joins again.
    wish: RefCell<Option<Value>>,
    /// It was refused, and asks again.
    asks_again: Cell<bool>,
    /// Milliseconds over which the relay wants its clients to spread their return.
    window: Cell<i64>,
    returns: Cell<u64>,
    snapshots: Cell<u64>,
}

impl Seen {
    /// The join of a client that has come back.
    fn rejoin(&self) -> Option<Vec<u8>> {
        let mut wish = self.wish.borrow().clone()?;
        wish["sinceSeq"] = self.seq.get().into();
        wish["epoch"] = self.epoch.borrow().as_str().into();
        Some(frame(1, format!("42/votes,2{}", json!(["match:join", wish])).as_bytes()))
    }
}

/// Where a client connects from and to.
#[derive(Clone)]
struct Way {
    from: SocketAddr,
    ports: Vec<u16>,
    receive_buffer: Option<u32>,
}

struct Client {
    seen: Rc<Seen>,
    say: mpsc::UnboundedSender<String>,
    pace: watch::Sender<Option<usize>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let (mut clients, is_recording) = (Vec::new(), Rc::new(Cell::new(false)));
    let all = async {
        while let Some(line) = lines.recv().await {
            let command = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
            let answer = obey(command, &mut clients, &is_recording).await;
            println!("{}", json!({"answer": answer}));
            std::io::stdout().flush().unwrap();
        }
    };
    tokio::task::LocalSet::new().run_until(all).await;
}

async fn obey(command: Command, clients: &mut Vec<Client>, is_recording: &Rc<Cell<bool>>) -> Value {
    let began = Instant::now();
    match command {
        Command::Open { port, count, receive_buffer, others, addresses } => {
            let ports: Vec<_> = std::iter::once(port).chain(others.unwrap_or_default()).collect();
            let opening = stream::iter(0..count).map(|number| {
                let from = Ipv4Addr::from_bits(
                    Ipv4Addr::LOCALHOST.to_bits() + (number % usize::from(addresses.unwrap_or(1).max(1))) as u32,
                );
                open(Way { from: (from, 0).into(), ports: ports.clone(), receive_buffer }, is_recording.clone())
            });
            clients.extend(opening.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
            json!({"seconds": began.elapsed().as_secs_f64()})
        }
        Command::Join { from, to, wish } => {
            let joining = &clients[from..to];
            let text = format!("42/votes,1{}", json!(["match:join", wish]));
            for client in joining {
                *client.seen.wish.borrow_mut() = Some(wish.clone());
                client.say.send(text.clone()).unwrap();
            }
            wait("snapshots", || joining.iter().all(|c| c.seen.joined_at.get().is_some() || c.seen.is_closed.get())).await;
            let mut seconds: Vec<f64> =
                joining.iter().filter_map(|c| c.seen.joined_at.get()).map(|at| (at - began).as_secs_f64()).collect();
            seconds.sort_by(f64::total_cmp);
            let refusals: Vec<_> = joining.iter().filter_map(|c| c.seen.refusal.borrow().clone()).take(3).collect();
            json!({"joined": seconds.len(), "last": seconds.last(), "median": seconds.get(seconds.len() / 2), "refusals": refusals})
        }
        Command::Pace { from, to, bytes } => {
            clients[from..to].iter().for_each(|client| client.pace.send(bytes).unwrap_or_default());
            json!({})
        }
        Command::Counts { from, to } => {
            let clients = &clients[from..to];
            let sum = |count: fn(&Seen) -> u64| clients.iter().map(|client| count(&client.seen)).sum::<u64>();
            let mut heads = BTreeMap::<i64, usize>::new();
            clients.iter().for_each(|client| *heads.entry(client.seen.seq.get()).or_default() += 1);
            json!({
                "frames": sum(|seen| seen.frames.get()), "bytes": sum(|seen| seen.bytes.get()), "heads": heads,
                "gaps": sum(|seen| seen.gaps.get()), "closed": sum(|seen| seen.is_closed.get().into()),
                "connected": sum(|seen| seen.is_connected.get().into()), "returns": sum(|seen| seen.returns.get()),
                "snapshots": sum(|seen| seen.snapshots.get()),
            })
        }
        Command::Window => json!({"milliseconds": clients.iter().map(|client| client.seen.window.get()).max()}),
        Command::Record => {
            is_recording.set(true);
            json!({})
        }
        Command::Arrivals { from, to } => {
            let mut arrivals = BTreeMap::<i64, Vec<u64>>::new();
            for client in &clients[from..to] {
                client.seen.arrivals.borrow().iter().for_each(|(total, at)| arrivals.entry(*total).or_default().push(*at));
            }
            json!(arrivals)
        }
    }
}

async fn wait(what: &str, is_done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_done() {
        assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn open(way: Way, is_recording: Rc<Cell<bool>>) -> Client {
    let (stream, buffer) = connect(&way, way.ports[0]).await.unwrap_or_else(|e| panic!("{e}"));
    let (seen, (say, mut said), (pace, mut paced)) = (Rc::<Seen>::default(), mpsc::unbounded_channel(), watch::channel(None));
    tokio::task::spawn_local({
        let seen = seen.clone();
        async move {
            live(stream, buffer, &seen, &mut said, &mut paced, &is_recording).await;
            seen.is_connected.set(false);
            for port in way.ports.iter().cycle().skip(1).take(if way.ports.len() > 1 { usize::MAX } else { 0 }) {
                tokio::time::sleep(Duration::from_secs_f64(chance() * seen.window.get() as f64 / 1e3)).await;
                if let Ok((stream, buffer)) = connect(&way, *port).await {
                    seen.returns.set(seen.returns.get() + 1);
                    live(stream, buffer, &seen, &mut said, &mut paced, &is_recording).await;
                    seen.is_connected.set(false);
                }
            }
            seen.is_closed.set(true);
        }
    });
    wait("connects", || seen.is_connected.get() || seen.is_closed.get()).await;
    Client { seen, say, pace }
}

/// A number from 0 to 1.
fn chance() -> f64 {
    (RandomState::new().hash_one(0) >> 32) as f64 / f64::from(u32::MAX)
}

/// A WebSocket that asks for the namespace, and what came over it already.
async fn connect(way: &Way, port: u16) -> Result<(TcpStream, BytesMut)> {
    let mut stream = wire::connect(way.from, port, way.receive_buffer).await?;
    let buffer = upgrade(&mut stream, "").await?;
    Ok((stream, buffer))
}

/// Reads and answers until the connection ends.
async fn live(
    mut stream: TcpStream,
    mut buffer: BytesMut,
    seen: &Seen,
    said: &mut mpsc::UnboundedReceiver<String>,
    paced: &mut watch::Receiver<Option<usize>>,
    is_recording: &Cell<bool>,
) {
    loop {
        while let Some((opcode, payload)) = take_frame(&mut buffer) {
            let answer = match (opcode, payload.first()) {
                (1, Some(b'2')) => frame(1, b"3"), // the heartbeat of Engine.IO
                (1, _) => {
                    hear(&payload, seen, is_recording.get());
                    match seen.rejoin().filter(|_| payload.starts_with(b"40/votes,")) {
                        Some(join) => join,
                        None => continue,
                    }
                }
                (9, _) => frame(10, &payload),
                _ => return,
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
        let pace = *paced.borrow();
        buffer.reserve(pace.unwrap_or(16 << 10).max(1));
        tokio::select! {
            text = said.recv() => match text {
                Some(text) if stream.write_all(&frame(1, text.as_bytes())).await.is_ok() => {}
                _ => return,
            },
            _ = paced.changed() => {}
            () = tokio::time::sleep(AGAIN), if seen.asks_again.get() => {
                seen.asks_again.set(false);
                if let Some(join) = seen.rejoin() && stream.write_all(&join).await.is_err() {
                    return;
                }
            }
            read = stream.read_buf(&mut buffer), if pace.is_none() => if !read.is_ok_and(|bytes| bytes > 0) { return },
            () = tokio::time::sleep(Duration::from_millis(100)), if pace.is_some_and(|bytes| bytes > 0) => {
                let mut part = vec![0; pace.unwrap_or(0) / 10];
                match stream.try_read(&mut part) {
                    Ok(0) => return,
                    Ok(bytes) => buffer.extend_from_slice(&part[..bytes]),
                    Err(_) => {}
                }
            }
        }
    }
}

fn hear(payload: &[u8], seen: &Seen, is_recording: bool) {
    let head = std::str::from_utf8(&payload[..payload.len().min(HEAD)]).unwrap_or_default();
    let number = |key: &str| {
        let rest = &head[head.find(key)? + key.len()..];
        rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse::<i64>().ok()
    };
    if head.starts_with("40/votes,") {
        seen.is_connected.set(true);
    } else if head.contains("\"ok\":false") || head.starts_with("44/votes,") {
        *seen.refusal.borrow_mut() = Some(head.to_owned());
        seen.is_connected.set(true);
        seen.asks_again.set(seen.returns.get() > 0);
    }
    let Some(event) = head.strip_prefix("42/votes,[\"").and_then(|rest| rest.split('"').next()) else { return };
    seen.frames.set(seen.frames.get() + 1);
    seen.bytes.set(seen.bytes.get() + payload.len() as u64);
    if let Some(epoch) = head.split("\"epoch\":\"").nth(1).and_then(|rest| rest.split('"').next()) {
        epoch.clone_into(&mut seen.epoch.borrow_mut());
    }
    let (seq, before) = (number("\"seq\":").unwrap_or(-1), seen.seq.get());
    match event {
        "relay:welcome" | "relay:closing" => seen.window.set(number("\"window\":").unwrap_or(0)),
        "match:snapshot" => {
            seen.snapshots.set(seen.snapshots.get() + 1);
            seen.seq.set(seq);
            if seen.joined_at.get().is_none() {
                seen.joined_at.set(Some(Instant::now()));
            }
        }
        "match:update" | "aggregate:updated" => {
            seen.gaps.set(seen.gaps.get() + u64::from(seq != before + 1));
            seen.seq.set(seq);
        }
        _ => {}
    }
    // Later messages say the same number again, until there is another vote for it.
    if let (true, Some(probes)) = (is_recording, number("\"probe\":"))
        && seen.arrivals.borrow().last().is_none_or(|(last, _)| *last != probes)
    {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        seen.arrivals.borrow_mut().push((probes, u64::try_from(now.as_micros()).unwrap()));
    }
}
