//! The program: settings, logs, signals.

use clap::Parser;
use std::net::SocketAddr;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use vote_agg_relay::config::LogFormat;
use vote_agg_relay::pull::PullConfig;
use vote_agg_relay::{Config, Error, Result, run};

/// Connections hold less here than with the C library's allocator, which returns little of what it was given back.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What was freed goes back to the system after a second, by a thread of its own. By default that takes ten, and waits for
/// somebody to allocate; connections take more while they begin than later.
#[expect(unsafe_code, reason = "jemalloc looks its settings up by this name, as a C string; nothing else has it")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static SETTINGS: &[u8; 60] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

/// Bytes that the system keeps for each connection until the client has them; Linux takes twice as many, for its own needs.
/// Left to itself it keeps up to 4 MiB. Accepted connections inherit it.
const SEND_BUFFER: u32 = 64 << 10;

/// Files beside those of clients: the database's sessions, the page's files, logs.
const SPARE_FILES: u64 = 200;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

#[tokio::main]
async fn main() -> ExitCode {
    let done = if std::env::args_os().nth(1).is_some_and(|word| word == "pull") {
        let config = PullConfig::parse_from(std::env::args_os().skip(1));
        log_as(config.log_format);
        pull(config).await
    } else {
        let config = Config::parse();
        log_as(config.log_format);
        raise_limit(&config);
        start(config).await
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!(error = %e, "cannot run");
            ExitCode::FAILURE
        }
    }
}

fn log_as(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => logs.json().init(),
        LogFormat::Pretty => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
    }
}

/// As `TcpListener::bind`, with a bound on what the system keeps for a client that does not read.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Each client takes a file. The soft limit is often 1,024, whatever the hard one allows.
fn raise_limit(config: &Config) {
    let wanted = config.max_clients as u64 + SPARE_FILES;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(files) if files >= wanted => {}
        Ok(files) => tracing::warn!(
            files,
            max_clients = config.max_clients,
            "the limit of open files is too low for so many clients: raise it (ulimit -n, LimitNOFILE)"
        ),
        Err(e) => tracing::warn!(error = %e, "the limit of open files could not be raised"),
    }
}

async fn start(config: Config) -> Result<()> {
    let shutdown = shutdown()?;
    let address = SocketAddr::new(config.host, config.port);
    let listener = listen(address).map_err(|e| Error::Listen(address, e))?;
    run(listener, config, shutdown).await
}

async fn pull(config: PullConfig) -> Result<()> {
    let shutdown = shutdown()?;
    vote_agg_relay::pull::run(config, shutdown).await
}

/// Waits until the process is asked to end.
fn shutdown() -> Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
