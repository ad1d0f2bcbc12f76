//! Accepting connections, each of which has a time for what it asks.

use crate::connection::Connection;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// After the system had no more files for another connection, say.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest head of a request in bytes. Up to twice as much may be read before that is noticed.
pub const MAX_HEAD: usize = 32 << 10;

/// The most headers of a request.
const MAX_HEADERS: usize = 64;

/// Where Engine.IO is.
const SOCKETS: &str = "/socket.io";

/// The headers that are looked at in a request to Engine.IO.
static KEPT: [HeaderName; 15] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::ORIGIN,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_VERSION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
    HeaderName::from_static("x-forwarded-for"),
];

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of a request, the first or a later one.
    pub head: Duration,
    /// Until it has taken something of what was sent to it.
    pub unread: Duration,
}

/// Serves until `stopped`, then lets requests that have begun come to their end.
pub async fn serve(listener: TcpListener, app: Router, patience: Patience, stopped: impl Future<Output = ()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience.head).max_headers(MAX_HEADERS).max_buf_size(2 * MAX_HEAD);
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
        let connection = Connection::new(stream, patience.unread);
        let transport = connection.transport();
        let app = TowerToHyperService::new(app.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(transport.clone());
            if length_of_head(&request) > MAX_HEAD {
                request.extensions_mut().insert(HeadTooLong);
            }
            if request.uri().path().starts_with(SOCKETS) {
                shorten_head(&mut request);
            }
            app.call(request.map(Body::new))
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

/// Marks a request whose head is longer than [`MAX_HEAD`].
#[derive(Clone, Copy, Debug)]
pub struct HeadTooLong;

fn length_of_head(request: &Request<Incoming>) -> usize {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    path + request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum::<usize>()
}

/// The head of a request is a view of the buffer that it was read into, and Engine.IO keeps it as long as the session: it gets a
/// copy of the few headers that are looked at.
fn shorten_head(request: &mut Request<Incoming>) {
    let copied = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
    let kept = KEPT.iter().flat_map(|name| request.headers().get_all(name).iter().map(move |value| (name, value)));
    let kept: Vec<_> = kept.filter_map(|(name, value)| Some((name.clone(), copied(value)?))).collect();
    *request.headers_mut() = kept.into_iter().collect();
    if let Ok(uri) = request.uri().to_string().parse() {
        *request.uri_mut() = uri;
    }
}
