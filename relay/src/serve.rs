//! Accepting connections, each of which has a time for what it asks.

use crate::guard::connection::Connection;
use crate::guard::ledger::{Holding, Ledger};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::future::{Either, ready};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;
use std::future::Future;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// After the system had no more files for another connection, say.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest head of a request in bytes. Up to twice as much may be read before that is noticed.
pub const MAX_HEAD: usize = 32 << 10;

/// The most headers of a request.
const MAX_HEADERS: usize = 64;

/// How connections are served.
#[derive(Clone)]
pub struct Manners {
    /// The time for the head of a request, the first or a later one.
    pub head: Duration,
    /// The time until a connection has taken something of what was sent to it.
    pub unread: Duration,
    /// The path that all of this is below, without its last slash.
    pub prefix: Arc<str>,
    pub connections: Connections,
}

/// How many connections an address may have, whatever they say or don't say.
#[derive(Clone)]
pub struct Connections {
    pub ledger: Arc<Ledger>,
    /// Theirs are not counted: they stand for many.
    pub proxies: Arc<[IpNet]>,
    pub refused: Counter,
}

impl Connections {
    /// A place for one more, until it is dropped.
    ///
    /// # Errors
    /// When the address has too many.
    fn admit(&self, peer: IpAddr) -> Result<Option<Holding>, ()> {
        let peer = peer.to_canonical();
        if self.proxies.iter().any(|net| net.contains(&peer)) {
            return Ok(None);
        }
        let holding = self.ledger.take(peer, 1);
        if holding.is_none() {
            self.refused.inc();
        }
        holding.ok_or(()).map(Some)
    }
}

/// Serves until `stopped`, then lets requests that have begun come to their end. (hyper-util's `GracefulShutdown` takes no connection
/// that can be upgraded, and WebSockets begin as an upgrade.)
///
/// `admit` says what answers a request from an address, or refuses it.
pub async fn serve(
    listener: TcpListener,
    admit: impl Fn(IpAddr, &mut Request<Incoming>) -> Result<Router, Response> + Clone + Send + Sync + 'static,
    manners: Manners,
    stopped: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(manners.head).max_headers(MAX_HEADERS).max_buf_size(2 * MAX_HEAD);
    // A connection that has not ended holds a receiver.
    let (stop, stopping) = watch::channel(());
    let mut stopped = pin!(stopped);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => continue,
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept connections");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // One that is refused is closed unread. An answer would cost more than such a connection does.
        let Ok(holding) = manners.connections.admit(peer.ip()) else { continue };
        let connection = Connection::new(stream, manners.unread, holding);
        let transport = connection.transport();
        let (admit, prefix) = (admit.clone(), manners.prefix.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(transport.clone());
            if length_of_head(&request) > MAX_HEAD {
                request.extensions_mut().insert(HeadTooLong);
            }
            let lacks_slash = !prefix.is_empty() && request.uri().path() == &*prefix;
            take_off(&mut request, &prefix);
            match admit(peer.ip(), &mut request) {
                Ok(_) if lacks_slash => {
                    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
                    Either::Left(ready(Ok(Redirect::permanent(&format!("{prefix}/{query}")).into_response())))
                }
                Ok(app) => Either::Right(TowerToHyperService::new(app).call(request.map(Body::new))),
                Err(refusal) => Either::Left(ready(Ok(refusal))),
            }
        });
        let connection = http.serve_connection(TokioIo::new(connection), service).with_upgrades();
        let mut stopping = stopping.clone();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = stopping.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(e) = ended {
                tracing::debug!(error = %e, "connection ended");
            }
        });
    }
    drop((listener, stopping));
    let _ = stop.send(());
    stop.closed().await;
}

/// Takes the prefix off the path, where it is there. A proxy may have done so before, and probes come without it.
fn take_off<B>(request: &mut Request<B>, prefix: &str) {
    let rest = request.uri().path_and_query().and_then(|path| path.as_str().strip_prefix(prefix));
    if !prefix.is_empty()
        && let Some(uri) = rest.filter(|rest| rest.starts_with('/')).and_then(|rest| rest.parse().ok())
    {
        *request.uri_mut() = uri;
    }
}

/// Marks a request whose head is longer than [`MAX_HEAD`].
#[derive(Clone, Copy, Debug)]
pub struct HeadTooLong;

fn length_of_head(request: &Request<Incoming>) -> usize {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    path + request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_off_where_it_is_whole() {
        for (path, rest) in [
            ("/live/matches?x=/live/", "/matches?x=/live/"),
            ("/live/", "/"),
            ("/matches", "/matches"),
            ("/lively/matches", "/lively/matches"),
            ("/live/live/matches", "/live/matches"),
        ] {
            let mut request = Request::builder().uri(path).body(()).expect("request");
            take_off(&mut request, "/live");
            assert_eq!(request.uri(), rest);
            take_off(&mut request, "");
            assert_eq!(request.uri(), rest);
        }
    }
}
