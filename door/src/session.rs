//! One session of the database.

use crate::answer::{Answer, Standing, parse_outcome};
use crate::failure::{Failure, OpenError, judge};
use crate::vote::{Vote, Voter};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Connection, Row, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use vote_agg_core::vote::cell::cell_to_bits;

/// How long a new session may take until it is ready.
const OPENING: Duration = Duration::from_secs(10);

/// The server gives up so much sooner than the door does: then it is known what became of the call.
const SOONER: Duration = Duration::from_millis(500);

/// Where sessions go, and what they must find there.
pub struct Place {
    pub postgres: tokio_postgres::Config,
    pub tls: MakeRustlsConnect,
    pub fingerprint: String,
    /// How long a call may take.
    pub limit: Duration,
}

/// What a call says of one of its votes.
#[derive(Debug, Eq, PartialEq)]
pub enum Verdict {
    Settled(Answer),
    /// Another transaction holds the ballot: nothing was written.
    Busy,
}

/// What a call ended with, and the words for it.
#[derive(Debug)]
pub struct CallError {
    pub failure: Failure,
    pub sqlstate: Option<String>,
    pub message: String,
}

pub struct Session {
    client: Arc<Client>,
    cast: Statement,
    retract: Statement,
    standing: Statement,
    limit: Duration,
    /// The server has sent the warning 01000: a commit waits for its standby no longer.
    has_warned: Arc<AtomicBool>,
    driver: AbortHandle,
}

/// The connection ends with the session, whatever the server still owes it. So the server sees that nobody waits.
impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Connects, and looks whether votes may go this way.
    ///
    /// # Errors
    /// Why they may not, or that nobody answers.
    pub async fn open(place: &Place) -> Result<Self, OpenError> {
        let opened = timeout(OPENING, Self::connect(place)).await;
        opened.unwrap_or_else(|_| Err(OpenError::Passing("no answer in time".into())))
    }

    async fn connect(place: &Place) -> Result<Self, OpenError> {
        let (client, connection) = place.postgres.connect(place.tls.clone()).await?;
        let has_warned = Arc::new(AtomicBool::new(false));
        let driver = tokio::spawn(drive(connection, has_warned.clone())).abort_handle();
        let schema = prepare(&client, place).await?;
        has_warned.store(false, Ordering::SeqCst);
        let (texts, numbers, columns) = (Type::TEXT_ARRAY, Type::INT8_ARRAY, "element, outcome, sqlstate, message, hint");
        let cast = format!("SELECT {columns} FROM {schema}.cast_votes($1, $2, $3, $4, $5, $6)");
        let cast_types = [&texts, &texts, &texts, &numbers, &texts, &numbers].map(Clone::clone);
        let retract = format!("SELECT {columns} FROM {schema}.retract_votes($1, $2, $3)");
        let standing = format!(
            "SELECT u.number, v.team_choice, v.turn, v.h3_index FROM unnest($1, $2) WITH ORDINALITY AS u(match_id, voter_id, number)
             CROSS JOIN LATERAL {schema}.get_vote(u.match_id, u.voter_id) AS v"
        );
        Ok(Self {
            cast: client.prepare_typed(&cast, &cast_types).await?,
            retract: client.prepare_typed(&retract, &[texts.clone(), texts.clone(), numbers]).await?,
            standing: client.prepare_typed(&standing, &[texts.clone(), texts]).await?,
            client: Arc::new(client),
            limit: place.limit,
            has_warned,
            driver,
        })
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Sends votes of different voters, all of them votes or all of them retractions. When it returns verdicts, the transaction has
    /// ended and is durable.
    ///
    /// # Errors
    /// What that says of all of them.
    pub async fn call(&self, votes: &[&Vote]) -> Result<Vec<Verdict>, CallError> {
        let rows =
            timeout(self.limit, self.send(votes)).await.map_err(|_| lost("no answer in time"))?.map_err(|e| CallError {
                failure: judge(e.code()),
                sqlstate: e.code().map(|code| code.code().to_owned()),
                message: e.as_db_error().map_or_else(|| e.to_string(), |e| e.message().to_owned()),
            })?;
        // All rows come before the commit; ReadyForQuery, which ends the statement for the client, comes after it.
        if self.has_warned.load(Ordering::SeqCst) {
            return Err(lost("the server warned that the commit may not be durable"));
        }
        let mut verdicts = Vec::with_capacity(rows.len());
        for (row, position) in rows.iter().zip(1..) {
            verdicts.push(verdict(row, position).ok_or_else(|| lost("the answer has an unknown form"))?);
        }
        if verdicts.len() != votes.len() {
            return Err(lost("the answer has another length than the call"));
        }
        Ok(verdicts)
    }

    async fn send(&self, votes: &[&Vote]) -> Result<Vec<Row>, tokio_postgres::Error> {
        let matches: Vec<&str> = votes.iter().map(|vote| vote.voter.match_id.as_str()).collect();
        let voters: Vec<&str> = votes.iter().map(|vote| vote.voter.voter_id.as_str()).collect();
        let turns: Vec<i64> = votes.iter().map(|vote| vote.turn).collect();
        let choices: Vec<_> = votes.iter().filter_map(|vote| vote.choice.as_ref()).collect();
        if choices.is_empty() {
            return self.client.query(&self.retract, &[&matches, &voters, &turns]).await;
        }
        let teams: Vec<&str> = choices.iter().map(|choice| choice.team.as_str()).collect();
        let cells: Vec<Option<i64>> = choices.iter().map(|choice| choice.cell.map(cell_to_bits)).collect();
        let countries: Vec<Option<&str>> =
            choices.iter().map(|choice| choice.country.as_ref().map(|country| country.as_str())).collect();
        self.client.query(&self.cast, &[&matches, &voters, &teams, &cells, &countries, &turns]).await
    }

    /// Reads the votes that stand, over the same connection.
    #[must_use]
    pub fn standings(&self) -> Standings {
        Standings { client: self.client.clone(), standing: self.standing.clone() }
    }
}

/// Reads the votes that stand.
pub struct Standings {
    client: Arc<Client>,
    standing: Statement,
}

impl Standings {
    /// The vote of each of these voters. None of all: they cannot be read.
    pub async fn find(&self, voters: &[Arc<Voter>]) -> Option<Vec<Option<Standing>>> {
        let matches: Vec<&str> = voters.iter().map(|voter| voter.match_id.as_str()).collect();
        let names: Vec<&str> = voters.iter().map(|voter| voter.voter_id.as_str()).collect();
        let rows = self.client.query(&self.standing, &[&matches, &names]).await.ok()?;
        let mut found = vec![None; voters.len()];
        for row in rows {
            let place = usize::try_from(row.try_get::<_, i64>(0).ok()?.checked_sub(1)?).ok()?;
            let standing =
                Standing { team_choice: row.try_get(1).ok()?, turn: row.try_get(2).ok()?, h3_index: row.try_get(3).ok()? };
            *found.get_mut(place)? = Some(standing);
        }
        Some(found)
    }
}

fn lost(message: &str) -> CallError {
    CallError { failure: Failure::Lost, sqlstate: None, message: message.to_owned() }
}

/// A row of the answer, which must be the one at this position.
fn verdict(row: &Row, position: i32) -> Option<Verdict> {
    if row.try_get::<_, i32>(0).ok()? != position {
        return None;
    }
    let word: &str = row.try_get(1).ok()?;
    if let Some(outcome) = parse_outcome(word) {
        return Some(Verdict::Settled(Answer::Done { outcome, standing: None }));
    }
    let text = |at: usize| row.try_get::<_, Option<String>>(at).ok().flatten();
    match word {
        "busy" => Some(Verdict::Busy),
        "refused" => {
            Some(Verdict::Settled(Answer::Refused { sqlstate: text(2)?, message: text(3).unwrap_or_default(), hint: text(4) }))
        }
        _ => None,
    }
}

/// Reads what the server sends. A warning comes before the ReadyForQuery of its statement, so it is noted before anybody acts on that.
async fn drive(
    mut connection: Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
    has_warned: Arc<AtomicBool>,
) {
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) if *notice.code() == SqlState::WARNING => has_warned.store(true, Ordering::SeqCst),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a session for votes has ended");
                return;
            }
        }
    }
}

/// Makes the session one that votes may go over. Returns the schema of the extension's functions, quoted.
async fn prepare(client: &Client, place: &Place) -> Result<String, OpenError> {
    let refuse = |text: &str| Err(OpenError::Refused(text.to_owned()));
    let find = "SELECT pg_catalog.quote_ident(n.nspname), pg_catalog.current_setting('synchronous_commit')
         FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vote_agg'";
    let rows = client.query_typed(find, &[]).await?;
    let Some(row) = rows.first() else { return refuse("this database has no extension vote_agg (CREATE EXTENSION vote_agg)") };
    let schema: String = row.try_get(0)?;
    if row.try_get::<_, &str>(1)? == "off" {
        return refuse(
            "synchronous_commit is off for this role: a vote that was answered could be lost; ALTER ROLE … SET synchronous_commit = on",
        );
    }
    // A reload of the server's settings changes what a session has not set itself.
    let pin = "SELECT pg_catalog.set_config('synchronous_commit', pg_catalog.current_setting('synchronous_commit'), false)";
    client.query_typed(pin, &[]).await?;
    // Loads the library, without which the setting below is none; and tells whether this role may vote.
    client.query_typed(&format!("SELECT FROM {schema}.cast_votes('{{}}', '{{}}', '{{}}')"), &[]).await?;
    let rows = client.query_typed("SELECT pg_catalog.current_setting('vote_agg.auto_open')", &[]).await?;
    let is_open = rows.first().is_none_or(|row| row.try_get::<_, &str>(0).ok() != Some("off"));
    if is_open && client.batch_execute("SET vote_agg.auto_open = off").await.is_err() {
        return refuse(
            "vote_agg.auto_open is on for this role: any address would open a match; ALTER ROLE … SET vote_agg.auto_open = off",
        );
    }
    // 0 would be no limit.
    let limit = place.limit.saturating_sub(SOONER.min(place.limit / 4)).as_millis().max(1);
    client.batch_execute(&format!("SET statement_timeout = {limit}")).await?;
    // So that a call ends whose door has gone. Some systems cannot tell the server.
    let _ = client.batch_execute("SET client_connection_check_interval = '1s'").await;
    let rows = client.query_typed(&format!("SELECT {schema}.check_door($1)"), &[(&place.fingerprint, Type::TEXT)]).await?;
    if rows.first().is_none_or(|row| row.try_get::<_, bool>(0).ok() != Some(true)) {
        return refuse(
            "votes in this database were taken with another voter key: with this one, each voter could vote once more",
        );
    }
    Ok(schema)
}
