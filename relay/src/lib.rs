//! The relay: reads the feed of vote_agg once and tells everybody, over Socket.IO, Server-Sent Events and HTTP.
//!
//! No business rules, and no state that one query could not bring back: a second relay beside it needs nothing but the same
//! database.

pub mod config;
mod db;
pub mod error;
mod guard;
mod http;
mod live;
mod metrics;
mod serve;
mod ws;

pub use config::Config;
pub use error::{Error, Result};

use db::database::Database;
use guard::limits::Seats;
use guard::token::Checker;
use live::hub::Hub;
use socketioxide::SocketIo;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Slow clients and idle matches are looked after this often.
const TIDY: Duration = Duration::from_millis(500);

/// Bytes read at a time from a client. What clients say is short, and each connection keeps such a buffer.
const READ_BUFFER: usize = 512;

/// The time for everything to end after a shutdown was asked for. Service managers commonly give 10 s or more.
const DRAIN: Duration = Duration::from_secs(8);

/// Serves on `listener` until `shutdown` completes, then closes every client so that it connects again elsewhere.
///
/// # Errors
/// [`Error::Config`] for settings that cannot be right, [`Error::Io`] when the listener is none.
pub async fn run(listener: TcpListener, config: Config, shutdown: impl Future<Output = ()>) -> Result<()> {
    http::map::check(config.map_dir.as_deref())?;
    let database = Database::new(&config)?;
    let checker = Arc::new(Checker::new(&config)?);
    let origins = guard::origin::Origins::new(&config.origins)?;
    let seats = Seats::new(config.max_clients, config.max_clients_per_ip);
    let (layer, io) = SocketIo::builder()
        .max_buffer_size(config.client_buffer.into())
        .ws_read_buffer_size(READ_BUFFER)
        .max_payload(config.max_message_bytes as u64)
        .ws_max_message_size(config.max_message_bytes)
        .ws_max_frame_size(config.max_message_bytes)
        .connect_timeout(config.handshake_timeout)
        .build_layer();
    let hub = Arc::new(Hub::new(config, database, io.clone(), tokio::runtime::Handle::current()));
    ws::socket::open(&io, &hub, &checker, &seats);

    let following = live::feed::start(hub.clone())?;
    let mut work = tokio::task::JoinSet::new();
    if hub.config.fold {
        work.spawn(db::fold::run(hub.clone()));
    }
    work.spawn({
        let hub = hub.clone();
        async move {
            loop {
                tokio::time::sleep(TIDY).await;
                hub.tidy().await;
            }
        }
    });

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let shared = http::routes::Shared { hub: hub.clone(), checker, seats, stopped: stopped.clone() };
    let app = http::routes::guarded(http::routes::router(shared).layer(layer), &hub, origins);
    let address = listener.local_addr()?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    let stopped = async move {
        let mut stopped = stopped;
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let mut server = tokio::spawn(serve::serve(listener, app, hub.config.handshake_timeout, stopped));

    shutdown.await;
    tracing::info!("shutting down: no new connections, every client is told to go elsewhere");
    let _ = stop.send(true);
    let drained = tokio::time::timeout(DRAIN, async {
        io.close().await;
        let _ = (&mut server).await;
    });
    if drained.await.is_err() {
        tracing::warn!("some connections did not end in time");
        server.abort();
    }
    drop(following);
    work.shutdown().await;
    tracing::info!("ended");
    Ok(())
}
