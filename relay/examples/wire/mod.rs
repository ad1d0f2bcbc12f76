//! Frames of WebSocket and packets of Socket.IO, for examples that act as many clients.

use bytes::{Buf, BytesMut};
use std::io::{Error, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Connects from this address to a port of this machine.
pub async fn connect(from: SocketAddr, port: u16, receive_buffer: Option<u32>) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(from)?;
    let stream = socket.connect(([127, 0, 0, 1], port).into()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Makes it a WebSocket that asks for the namespace, with such data. Returns what came over it already.
pub async fn upgrade(stream: &mut TcpStream, data: &str) -> Result<BytesMut> {
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = BytesMut::new();
    let end = loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(Error::other("closed during the handshake"));
        }
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    if !buffer.starts_with(b"HTTP/1.1 101") {
        return Err(Error::other(String::from_utf8_lossy(&buffer).into_owned()));
    }
    buffer.advance(end);
    stream.write_all(&frame(1, format!("40/votes,{data}").as_bytes())).await?;
    Ok(buffer)
}

/// A whole frame (RFC 6455): its opcode and payload.
pub fn take_frame(buffer: &mut BytesMut) -> Option<(u8, BytesMut)> {
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
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![0x80 | opcode, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}
