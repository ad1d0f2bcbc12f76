//! The events that clients send: match:join, match:leave, auth.

use crate::guard::token::Checker;
use crate::live::hub::Hub;
use crate::live::subscription::{Subscription, parse_match};
use crate::ws::session::{Refusal, Session};
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;
use std::collections::BTreeSet;

/// A malformed request.
fn invalid(message: String) -> Refusal {
    Refusal::new("invalid", message)
}

/// `match:join`
pub async fn join(hub: &Hub, session: &Session, socket: &SocketRef, data: Option<Value>) -> Result<Value, Refusal> {
    let data = data.unwrap_or_default();
    let (match_id, subscription) = (parse_match(&data).map_err(invalid)?, Subscription::parse(&data).map_err(invalid)?);
    if !session.rates.allow_join() {
        return Err(Refusal::new("too_many_joins", format!("at most {} joins a second", hub.config.max_joins)));
    }
    {
        let mut membership = session.membership();
        if !membership.access.covers(&match_id) {
            return Err(Refusal::new("forbidden", "the token does not cover this match"));
        }
        if !membership.matches.contains(&match_id) && membership.matches.len() >= hub.config.max_rooms {
            return Err(Refusal::new("too_many_rooms", format!("at most {} matches at the same time", hub.config.max_rooms)));
        }
        membership.matches.insert(match_id.clone());
    }
    let resolution = subscription.resolution.map(u8::from);
    let joined = hub.join(socket, &match_id, subscription).await.map_err(|e| {
        session.membership().matches.remove(&match_id);
        Refusal::new(e.code(), "the match cannot be read at the moment: try again")
    })?;
    // A token renewed meanwhile may not cover the match any more.
    if !session.membership().matches.contains(&match_id) {
        hub.leave(socket.id, &match_id).await;
    }
    tracing::info!(sid = %socket.id, match_id, resolution, seq = joined.seq, resumed = joined.is_resumed, "joined");
    Ok(json!({"matchId": match_id, "seq": joined.seq, "epoch": joined.epoch, "resumed": joined.is_resumed}))
}

/// `match:leave`
pub async fn leave(hub: &Hub, session: &Session, socket: &SocketRef, data: Option<Value>) -> Result<Value, Refusal> {
    let match_id = parse_match(&data.unwrap_or_default()).map_err(invalid)?;
    session.membership().matches.remove(&match_id);
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
    let lost: Vec<String> = {
        let mut membership = session.membership();
        let (kept, lost) = std::mem::take(&mut membership.matches).into_iter().partition(|match_id| access.covers(match_id));
        (membership.matches, membership.access) = (kept, access);
        Vec::from_iter::<BTreeSet<String>>(lost)
    };
    session.changed.notify_one();
    for match_id in &lost {
        hub.leave(socket.id, match_id).await;
    }
    tracing::info!(sid = %socket.id, left = lost.len(), "token renewed");
    Ok(json!({"left": lost}))
}
