//! Many Socket.IO clients in one process, for benchmarks: they cost little, since of a message they look at no more than its
//! event, seq and votes for the team `probe`. Told what to do by lines of JSON on standard input, each answered by one.

#![allow(clippy::unwrap_used, clippy::panic)] // a benchmark that goes wrong ends

use bytes::{Buf, BytesMut};
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};

/// What is looked at of a message.
const HEAD: usize = 300;

/// Clients that connect at the same time; more would meet the listener's backlog.
const AT_ONCE: usize = 100;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Command {
    /// More clients, up to the namespace.
    Open { port: u16, count: usize, receive_buffer: Option<u32> },
    /// They follow a match, all at once; answered when each has its snapshot.
    Join { from: usize, to: usize, wish: Value },
    /// Bytes a second that they read; 0: none, null: all there are.
    Pace { from: usize, to: usize, bytes: Option<usize> },
    /// What they have received, and how many have which seq.
    Counts { from: usize, to: usize },
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
        Command::Open { port, count, receive_buffer } => {
            let opening = stream::iter(0..count).map(|_| open(port, receive_buffer, is_recording.clone()));
            clients.extend(opening.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
            json!({"seconds": began.elapsed().as_secs_f64()})
        }
        Command::Join { from, to, wish } => {
            let joining = &clients[from..to];
            let text = format!("42/votes,1{}", json!(["match:join", wish]));
            joining.iter().for_each(|client| client.say.send(text.clone()).unwrap());
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
            })
        }
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

async fn open(port: u16, receive_buffer: Option<u32>, is_recording: Rc<Cell<bool>>) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = BytesMut::new();
    let end = loop {
        assert!(stream.read_buf(&mut buffer).await.unwrap() > 0, "closed during the handshake");
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    assert!(buffer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&buffer));
    buffer.advance(end);
    stream.write_all(&frame(1, b"40/votes,")).await.unwrap();
    let (seen, (say, said), (pace, paced)) = (Rc::<Seen>::default(), mpsc::unbounded_channel(), watch::channel(None));
    let live = live(stream, buffer, seen.clone(), said, paced, is_recording);
    tokio::task::spawn_local({
        let seen = seen.clone();
        async move {
            live.await;
            seen.is_closed.set(true);
        }
    });
    wait("connects", || seen.is_connected.get() || seen.is_closed.get()).await;
    Client { seen, say, pace }
}

/// Reads and answers until the connection ends.
async fn live(
    mut stream: TcpStream,
    mut buffer: BytesMut,
    seen: Rc<Seen>,
    mut said: mpsc::UnboundedReceiver<String>,
    mut paced: watch::Receiver<Option<usize>>,
    is_recording: Rc<Cell<bool>>,
) {
    loop {
        while let Some((opcode, payload)) = take_frame(&mut buffer) {
            let answer = match (opcode, payload.first()) {
                (1, Some(b'2')) => frame(1, b"3"), // the heartbeat of Engine.IO
                (1, _) => {
                    hear(&payload, &seen, is_recording.get());
                    continue;
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

/// A whole frame (RFC 6455): its opcode and payload.
fn take_frame(buffer: &mut BytesMut) -> Option<(u8, BytesMut)> {
    let (opcode, short) = (buffer.first()? & 15, usize::from(*buffer.get(1)? & 127));
    let (header, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().unwrap()))),
        127 => (10, usize::try_from(u64::from_be_bytes(buffer.get(2..10)?.try_into().unwrap())).unwrap()),
        short => (2, short),
    };
    if buffer.len() < header + length {
        return None;
    }
    buffer.advance(header);
    Some((opcode, buffer.split_to(length)))
}

/// A short frame, masked with zeros as a client's must be.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![0x80 | opcode, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
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
    }
    let Some(event) = head.strip_prefix("42/votes,[\"").and_then(|rest| rest.split('"').next()) else { return };
    seen.frames.set(seen.frames.get() + 1);
    seen.bytes.set(seen.bytes.get() + payload.len() as u64);
    let (seq, before) = (number("\"seq\":").unwrap_or(-1), seen.seq.get());
    match event {
        "match:snapshot" => {
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
