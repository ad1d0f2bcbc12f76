//! The events that clients send: match:join, match:leave, auth.

use crate::error::Error;
use crate::guard::token::Checker;
use crate::live::client::Ticket;
use crate::live::hub::Hub;
use crate::live::subscription::{Subscription, parse_match};
use crate::ws::session::{Refusal, Session};
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;
use std::time::Instant;

/// A malformed request.
fn invalid(message: String) -> Refusal {
    Refusal::new("invalid", message)
}

/// What a client is told of an error. Those of the database are for the log.
fn refusal(e: Error) -> Refusal {
    let message = match e {
        Error::Forbidden | Error::TooManyRooms(_) | Error::Slow | Error::Left | Error::Busy(_) | Error::TooManyUnknown => {
            e.to_string()
        }
        _ => "the match cannot be read at the moment: try again".to_owned(),
    };
    Refusal::new(e.code(), message)
}

/// `match:join` as it arrived.
pub struct Join {
    parsed: Result<(String, Subscription), Refusal>,
    ticket: Ticket,
    arrived_at: Instant,
}

/// Notes that a join has arrived; [`join`] does the work. What a client sends is noted in its order, though the work is not.
pub fn begin_join(session: &Session, data: Option<Value>) -> Join {
    let data = data.unwrap_or_default();
    let parsed = parse_match(&data).and_then(|match_id| Ok((match_id, Subscription::parse(&data)?))).map_err(invalid);
    Join { parsed, ticket: session.client.membership().begin_join(), arrived_at: Instant::now() }
}

/// The work of `match:join`.
pub async fn join(hub: &Hub, session: &Session, socket: &SocketRef, join: Join) -> Result<Value, Refusal> {
    let (match_id, subscription) = join.parsed?;
    if !session.pass.rates.allow_join() {
        return Err(Refusal::new("too_many_joins", format!("at most {} joins a second", hub.config.max_joins)));
    }
    // Decided once more when the match is loaded; here, so that a match that the client may not see is not read.
    session.client.membership().check(&match_id).map_err(refusal)?;
    hub.work.check(session.client.ip).map_err(|wait| refusal(Error::Busy(wait)))?;
    let resolution = subscription.resolution.map(u8::from);
    let joining = (&session.client, join.ticket);
    let joined = hub.join(socket, joining, &match_id, subscription).await.map_err(refusal)?;
    hub.metrics.join_times.observe(join.arrived_at.elapsed().as_secs_f64());
    tracing::info!(sid = %socket.id, match_id, resolution, seq = joined.seq, resumed = joined.is_resumed, "joined");
    let mut answer = json!({"matchId": match_id, "seq": joined.seq, "epoch": joined.epoch, "resumed": joined.is_resumed});
    if joined.is_unknown {
        answer["unknown"] = true.into();
    }
    Ok(answer)
}

/// Notes that a leave has arrived; [`leave`] does the work.
pub fn begin_leave(session: &Session, data: Option<Value>) -> Result<String, Refusal> {
    let match_id = parse_match(&data.unwrap_or_default()).map_err(invalid)?;
    session.client.membership().withdraw(&match_id);
    Ok(match_id)
}

/// The work of `match:leave`.
pub async fn leave(hub: &Hub, socket: &SocketRef, match_id: Result<String, Refusal>) -> Result<Value, Refusal> {
    let match_id = match_id?;
    let left = hub.leave(socket.id, &match_id).await;
    tracing::info!(sid = %socket.id, match_id, left, "left");
    Ok(json!({"matchId": match_id, "left": left}))
}

/// `auth`: a fresh token in place of the old one; matches that it does not cover are left. A bad one changes nothing.
pub async fn renew(
    hub: &Hub,
    checker: &Checker,
    session: &Session,
    socket: &SocketRef,
    data: Option<Value>,
) -> Result<Value, Refusal> {
    let data = data.unwrap_or_default();
    let token = data.as_str().or_else(|| data.get("token").and_then(Value::as_str));
    let Some(token) = token else { return Err(Refusal::new("token_missing", "pass {token}")) };
    let access =
        checker.check(Some(token)).map_err(|reason| Refusal::new(reason, "the token is refused; the old one counts on"))?;
    let lost = session.client.membership().renew(access);
    session.changed.notify_one();
    let mut left = Vec::new();
    for match_id in lost {
        if hub.leave(socket.id, &match_id).await {
            left.push(match_id);
        }
    }
    tracing::info!(sid = %socket.id, left = left.len(), "token renewed");
    Ok(json!({"left": left}))
}
