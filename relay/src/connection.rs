//! One accepted connection, which can be ended from elsewhere.

use socket2::SockRef;
use std::io::{ErrorKind, IoSlice, Result};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The connection that a request came over, as it is put into the request.
#[derive(Clone, Debug)]
pub struct Transport(Weak<TcpStream>);

impl Transport {
    /// No connection at all.
    #[cfg(test)]
    pub fn none() -> Self {
        Self(Weak::new())
    }

    /// Ends the connection, if it is still there. Its client sees a lost transport, after which it connects again.
    pub fn cut(&self) {
        if let Some(stream) = self.0.upgrade() {
            let _ = SockRef::from(&*stream).shutdown(Shutdown::Both);
        }
    }
}

/// What is read and written. The stream itself is shared with [`Transport`], weakly: it is closed with its only owner.
pub struct Connection(Arc<TcpStream>);

impl Connection {
    /// `unread`: the time after which a peer that takes nothing of what was sent to it counts as gone.
    #[must_use]
    pub fn new(stream: TcpStream, unread: Duration) -> Self {
        // A fold goes out at once, not when the last one was acknowledged.
        let _ = stream.set_nodelay(true);
        // Linux ends such a connection by itself (RFC 5482), with a window of zero too. Nobody here has to look after it.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(unread));
        Self(Arc::new(stream))
    }

    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport(Arc::downgrade(&self.0))
    }

    fn write(&self, cx: &mut Context<'_>, mut write: impl FnMut(&TcpStream) -> Result<usize>) -> Poll<Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|n| buf.advance(n))),
            }
        }
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
        match SockRef::from(&*self.0).shutdown(Shutdown::Write) {
            Err(e) if e.kind() != ErrorKind::NotConnected => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(())),
        }
    }
}
