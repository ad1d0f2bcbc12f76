//! One accepted connection, which can be ended or slowed down from elsewhere.

use crate::guard::ledger::Holding;
use crate::guard::pace::Pace;
use socket2::SockRef;
use std::any::Any;
use std::io::{ErrorKind, IoSlice, Result};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// The connection that a request came over, as it is put into the request.
#[derive(Clone, Debug)]
pub struct Transport(Weak<Wire>);

/// What is shared of a connection.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    pace: OnceLock<Pace>,
    ends_with_it: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Transport {
    /// No connection at all.
    #[cfg(test)]
    pub fn none() -> Self {
        Self(Weak::new())
    }

    /// Ends the connection, if it is still there. Its client sees a lost transport, after which it connects again.
    pub fn cut(&self) {
        if let Some(wire) = self.0.upgrade() {
            let _ = SockRef::from(&wire.stream).shutdown(Shutdown::Both);
        }
    }

    /// Drops the value when the connection is gone, which may be now. The first one that is set stays.
    pub fn hold(&self, value: impl Any + Send + Sync) {
        if let Some(wire) = self.0.upgrade() {
            let _ = wire.ends_with_it.set(Box::new(value));
        }
    }

    /// From now on the connection is read at this pace. The first one that is set stays.
    pub fn keep_pace(&self, pace: Pace) {
        if let Some(wire) = self.0.upgrade() {
            let _ = wire.pace.set(pace);
        }
    }
}

/// What is read and written. The stream itself is shared with [`Transport`], weakly: it is closed with its only owner.
pub struct Connection {
    wire: Arc<Wire>,
    /// Nothing is read before its end. The client's messages wait in the system meanwhile, and then with the client.
    rest: Option<Pin<Box<Sleep>>>,
    /// Its place among those of its address.
    _holding: Option<Holding>,
}

impl Connection {
    /// `unread`: the time after which a peer that takes nothing of what was sent to it counts as gone.
    #[must_use]
    pub fn new(stream: TcpStream, unread: Duration, holding: Option<Holding>) -> Self {
        // A fold goes out at once, not when the last one was acknowledged.
        let _ = stream.set_nodelay(true);
        // Linux ends such a connection by itself (RFC 5482), with a window of zero too. Nobody here has to look after it.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(unread));
        let wire = Wire { stream, pace: OnceLock::new(), ends_with_it: OnceLock::new() };
        Self { wire: Arc::new(wire), rest: None, _holding: holding }
    }

    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport(Arc::downgrade(&self.wire))
    }

    fn write(&self, cx: &mut Context<'_>, mut write: impl FnMut(&TcpStream) -> Result<usize>) -> Poll<Result<usize>> {
        loop {
            ready!(self.wire.stream.poll_write_ready(cx))?;
            match write(&self.wire.stream) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        let read = loop {
            ready!(self.wire.stream.poll_read_ready(cx))?;
            match self.wire.stream.try_read_buf(buf) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                read => break read?,
            }
        };
        let wait = self.wire.pace.get().map_or(Duration::ZERO, |pace| pace.wait_after(read));
        if !wait.is_zero() {
            self.rest = Some(Box::pin(sleep(wait)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        self.write(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        self.write(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        match SockRef::from(&self.wire.stream).shutdown(Shutdown::Write) {
            Err(e) if e.kind() != ErrorKind::NotConnected => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(())),
        }
    }
}
