//! Folding from here, where no worker can.

use crate::db::pool::Database;
use crate::error::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two folds, as the worker has it by default.
const INTERVAL: Duration = Duration::from_millis(100);

/// Between two looks whether a worker folds.
const LOOK: Duration = Duration::from_secs(2);

/// Folds as long as no worker does.
pub async fn run(database: Arc<Database>) {
    let mut was_needed = false;
    loop {
        let is_needed = match is_needed(&database).await {
            Ok(is_needed) => is_needed,
            Err(e) => {
                tracing::warn!(error = %e, "cannot see whether a worker folds");
                false
            }
        };
        if is_needed != was_needed {
            tracing::info!(is_needed, "folding from here");
            was_needed = is_needed;
        }
        if !is_needed {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        if let Err(e) = fold_for(&database, LOOK).await {
            tracing::warn!(error = %e, "could not fold");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Folds again and again, in a session of its own: a fold of many votes may take as long as it takes.
async fn fold_for(database: &Database, time: Duration) -> Result<()> {
    let (client, connection) = database.postgres.connect(database.tls.clone()).await?;
    let connection = tokio::spawn(connection);
    let began = Instant::now();
    while began.elapsed() < time {
        client.batch_execute("SELECT vote_agg.fold()").await?;
        tokio::time::sleep(INTERVAL).await;
    }
    drop(client);
    let _ = connection.await;
    Ok(())
}

async fn is_needed(database: &Database) -> Result<bool> {
    let rows = database.call(|_| "SELECT worker_pid IS NULL FROM vote_agg.stat_fold".to_owned(), &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
