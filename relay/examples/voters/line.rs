//! One connection, and the answers that come over it.

use crate::wire::{connect, frame, take_frame, upgrade};
use bytes::{Buf, BytesMut};
use std::io::{Error, Result};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Line {
    stream: TcpStream,
    buffer: BytesMut,
    is_socket: bool,
    /// What is sent next.
    pub out: Vec<u8>,
    /// Which one of all it is.
    pub number: u64,
    /// Requests so far.
    pub asked: u64,
}

impl Line {
    /// Connects; with a `hello` up to the namespace.
    pub async fn open(from: Ipv4Addr, port: u16, hello: Option<String>, number: u64) -> Result<Self> {
        let mut stream = connect((from, 0).into(), port, None).await?;
        let (mut buffer, is_socket) = (BytesMut::new(), hello.is_some());
        if let Some(hello) = hello {
            buffer = upgrade(&mut stream, &hello).await?;
        }
        let mut line = Self { stream, buffer, is_socket, out: Vec::new(), number, asked: 0 };
        if is_socket {
            let answer = line.answer("4").await?;
            if !answer.starts_with(b"40/votes,") {
                return Err(Error::other(String::from_utf8_lossy(&answer).into_owned()));
            }
        }
        Ok(line)
    }

    /// Sends what is to be sent, and waits for the answer.
    pub async fn exchange(&mut self) -> Result<BytesMut> {
        self.stream.write_all(&self.out).await?;
        let wanted = format!("43/votes,{}[", self.asked);
        self.answer(&wanted).await
    }

    /// The next body; of a socket the next packet that begins with `wanted`.
    async fn answer(&mut self, wanted: &str) -> Result<BytesMut> {
        loop {
            if self.is_socket {
                while let Some((_, payload)) = take_frame(&mut self.buffer) {
                    if payload.starts_with(wanted.as_bytes()) {
                        return Ok(payload);
                    }
                    if payload.starts_with(b"2") {
                        self.stream.write_all(&frame(1, b"3")).await?; // the heartbeat of Engine.IO
                    }
                }
            } else if let Some(body) = self.take_body() {
                return Ok(body);
            }
            self.buffer.reserve(4 << 10);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::other("closed"));
            }
        }
    }

    /// The body of a whole answer, which tells its length.
    fn take_body(&mut self) -> Option<BytesMut> {
        let end = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&self.buffer[..end]).unwrap();
        let length = head.lines().filter_map(|line| line.split_once(": "));
        let length =
            length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).find_map(|(_, value)| value.parse().ok());
        let length: usize = length.unwrap_or_else(|| panic!("an answer without a length: {head}"));
        if self.buffer.len() < end + length {
            return None;
        }
        self.buffer.advance(end);
        Some(self.buffer.split_to(length))
    }
}
