//! Accepting connections, each of which has a time for what it asks.

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

/// Serves until `stopped`, then lets what was begun come to its end. Who takes longer than `patience` for the head of a request,
/// the first or a later one, is disconnected.
pub async fn serve(listener: TcpListener, app: Router, patience: Duration, stopped: impl Future<Output = ()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    // Who holds a receiver has a connection that is not at its end.
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
        // A fold goes out at once, not when the last one was acknowledged.
        let _ = stream.set_nodelay(true);
        let app = TowerToHyperService::new(app.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            if request.headers().contains_key(header::UPGRADE) {
                copy_head(&mut request);
            }
            app.call(request.map(Body::new))
        });
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
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

/// The head of a request is a view of the 8 KiB that it was read into, and a WebSocket keeps it as long as it lives: a copy takes
/// a few hundred bytes.
fn copy_head(request: &mut Request<Incoming>) {
    let copied = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
    let headers =
        request.headers().iter().filter_map(|(name, value)| Some((name.as_str().parse::<HeaderName>().ok()?, copied(value)?)));
    *request.headers_mut() = headers.collect::<Vec<_>>().into_iter().collect();
    if let Ok(uri) = request.uri().to_string().parse() {
        *request.uri_mut() = uri;
    }
}
