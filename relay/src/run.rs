//! From a listener and settings to a service that ends when it is asked to.

use crate::config::Config;
use crate::db::fallback_fold;
use crate::db::pool::Database;
use crate::door::{self, Voting};
use crate::error::{Error, Result};
use crate::guard::budget::{Allowance, Budget};
use crate::guard::ledger::Ledger;
use crate::guard::origin::Origins;
use crate::guard::pace::Paces;
use crate::guard::seats::Seats;
use crate::guard::token::Checker;
use crate::http::access::Common;
use crate::http::front::Front;
use crate::http::{page, routes};
use crate::live::feed;
use crate::live::hub::Hub;
use crate::serve::{Connections, Manners, serve};
use crate::ws::namespace;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use socketioxide::SocketIo;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;

/// Slow clients and idle matches are looked after this often.
const TIDY: Duration = Duration::from_millis(500);

/// Bytes read at a time from a client. What clients say is short, and each connection keeps such a buffer.
const READ_BUFFER: usize = 512;

/// A client that polls has two connections at times. Beside those, an address may have as many for answers, and to be told that it has
/// too many clients.
const MORE_CONNECTIONS: usize = 256;

/// The time for everything to end that is left after the drain. Service managers commonly give 10 s or more in all.
const GRACE: Duration = Duration::from_secs(4);

/// Serves on `listener` until `shutdown` completes, then closes every client so that it connects again elsewhere.
///
/// # Errors
/// [`Error::Config`] for settings that cannot be right, [`Error::Listen`] for an address of the operator that cannot be listened on.
pub async fn run(listener: TcpListener, config: Config, shutdown: impl Future<Output = ()>) -> Result<()> {
    page::check(config.map_dir.as_deref())?;
    let database = Arc::new(Database::new(&config)?);
    let checker = Arc::new(Checker::new(&config)?);
    let origins = Origins::new(&config.origins)?;
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
    let voting = Voting::open(&hub).await?;
    namespace::open(&io, &hub, &checker, voting.listener(&hub));

    let following = feed::start(hub.clone())?;
    let mut work = tokio::task::JoinSet::new();
    if hub.config.fold {
        work.spawn(fallback_fold::run(hub.database.clone()));
    }
    work.spawn(look_after(hub.clone(), io.clone()));

    work.spawn(reload_keys(checker.clone(), signal(SignalKind::hangup())?));

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let shared = Arc::new(Common {
        hub: hub.clone(),
        cache: Arc::default(),
        checker,
        seats,
        streams: Arc::default(),
        reads: Arc::new(Semaphore::new(usize::from(hub.config.database_sessions).saturating_sub(1).max(1))),
        requests: Arc::new(requests(hub.config.max_requests)),
        paces: Paces::new(&hub.config, hub.metrics.paced.clone()),
        stopped: stopped.clone(),
    });
    if let Some(address) = hub.config.admin {
        let listener = TcpListener::bind(address).await.map_err(|e| Error::Listen(address, e))?;
        tracing::info!(address = %listener.local_addr()?, "serving the operator");
        work.spawn(answer_operator(listener, routes::admin(shared.clone())));
    }
    let http = routes::router(shared.clone(), voting.routes(&shared));
    let front = Arc::new(Front::new(&shared, origins, http, Router::new().layer(layer), door::refuse_early));
    let admit = move |peer: IpAddr, request: &mut Request<Incoming>| front.admit(peer, request);
    let address = listener.local_addr()?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let ended = async move { drop(ended.await) };
    let mut server = tokio::spawn(serve(listener, admit, manners(&hub), ended));

    shutdown.await;
    tracing::info!("shutting down: not ready any more, clients are sent to another relay");
    let _ = stop.send(true);
    // Balancers see that the relay is not ready, while connections that they still send are answered.
    let (drain, began) = (hub.config.drain, Instant::now());
    // What was taken is answered before its client is sent away.
    voting.close(drain / 2).await;
    namespace::send_elsewhere(&hub, "draining", (drain * 3 / 4).saturating_sub(began.elapsed())).await;
    tokio::time::sleep(drain.saturating_sub(began.elapsed())).await;
    drop(end);
    let drained = tokio::time::timeout(GRACE, async {
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

/// How connections are served.
fn manners(hub: &Hub) -> Manners {
    let config = &hub.config;
    Manners {
        head: config.handshake_timeout,
        unread: 2 * config.slow_timeout,
        prefix: config.path_prefix.as_str().into(),
        connections: Connections {
            ledger: Ledger::new(config.max_clients_per_ip.saturating_mul(2).saturating_add(MORE_CONNECTIONS), usize::MAX),
            proxies: config.trusted_proxies.as_slice().into(),
            refused: hub.metrics.refused.get_or_create(&[("reason", "too_many_connections")]).clone(),
        },
    }
}

/// Reads the keys of tokens again at each SIGHUP.
async fn reload_keys(checker: Arc<Checker>, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        match checker.reload() {
            Ok(()) => tracing::info!("the keys of tokens were read again"),
            Err(e) => tracing::error!(error = %e, "the keys of tokens stay as they were"),
        }
    }
}

/// Serves the operator's own address. When it can't go on, the clients are served all the same.
async fn answer_operator(listener: TcpListener, routes: Router) {
    if let Err(e) = axum::serve(listener, routes).await {
        tracing::error!(error = %e, "the operator is not served any more");
    }
}

/// Looks after clients and matches, and tells clients how the relay is doing.
async fn look_after(hub: Arc<Hub>, io: SocketIo) {
    let (mut window, mut is_sent_away) = (Duration::MAX, false);
    loop {
        tokio::time::sleep(TIDY).await;
        hub.tidy().await;
        window = window.min(hub.window());
        namespace::tell(&io, &hub, &mut window).await;
        if is_sent_away != hub.is_too_stale() {
            is_sent_away = !is_sent_away;
            hub.sent_away.send_replace(is_sent_away);
            if is_sent_away {
                tracing::warn!("the database is lost: clients are sent to another relay");
                let (hub, time) = (hub.clone(), hub.window());
                tokio::spawn(async move { namespace::send_elsewhere(&hub, "stale", time).await });
            }
        }
    }
}

/// Requests of one address, and ten times as many of all; twice as many at once.
fn requests(a_second: u32) -> Budget {
    let each = f64::from(a_second);
    Budget::new(Allowance { a_second: each, burst: 2.0 * each }, Allowance { a_second: 10.0 * each, burst: 20.0 * each })
}
