//! The puller as a service: a task a shard, and a page of metrics.

use crate::error::{Error, Result};
use crate::pull::config::PullConfig;
use crate::pull::metrics::Metrics;
use crate::pull::shard::Shard;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::encoding::prometheus_text;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Pulls until `shutdown`.
///
/// # Errors
/// A setting that makes no sense, or an address that cannot be listened on.
pub async fn run(config: PullConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    let (root, shards) = (config.root()?, config.shards()?);
    let metrics = Arc::new(Metrics::new());
    let mut tasks = JoinSet::new();
    if let Some(address) = config.admin {
        let listener = TcpListener::bind(address).await.map_err(|e| Error::Listen(address, e))?;
        tracing::info!(address = %listener.local_addr()?, "metrics");
        let shown = metrics.clone();
        let text = move || async move { ([(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], shown.text()) };
        let pages = Router::new().route("/metrics", get(text)).route("/health", get(|| async { "ok\n" }));
        tasks.spawn(async move {
            // Ends with the task.
            let _ = axum::serve(listener, pages).await;
        });
    }
    for (name, node) in shards {
        tracing::info!(shard = name, "following");
        let shard = Shard::new(name, root.clone(), node, config.pull_interval, config.pull_timeout, metrics.clone());
        tasks.spawn(shard.follow());
    }
    shutdown.await;
    // What is under way is asked for again by the next puller.
    tasks.shutdown().await;
    Ok(())
}
