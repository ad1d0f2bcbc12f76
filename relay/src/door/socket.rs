//! Votes over Socket.IO.

use crate::door::answer::told;
use crate::door::limits::Limits;
use crate::door::once::Once;
use crate::door::open::Votes;
use crate::door::request::Reader;
use crate::door::who::Who;
use crate::guard::country::ClientCountry;
use crate::live::hub::Hub;
use crate::ws::session::{Session, acknowledge, is_allowed};
use axum::http::StatusCode;
use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef, TryData};
use std::sync::Arc;
use std::time::Duration;
use vote_agg_door::{Answer, Problem};

/// Hears the event `vote` of a client.
pub fn listen(hub: &Arc<Hub>, votes: &Arc<Votes>, socket: &SocketRef, session: &Arc<Session>) {
    let (hub, votes, session) = (hub.clone(), votes.clone(), session.clone());
    socket.on("vote", async move |socket: SocketRef, TryData(data): TryData<Once>, ack: AckSender| {
        if !is_allowed(&hub, &session, &socket).await {
            return;
        }
        let country = socket.req_parts().extensions.get::<ClientCountry>().copied().unwrap_or_default();
        let data = data.map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", e.to_string()));
        let cast = async { cast(&votes, &session, country, data?.0).await };
        let mut answer = match cast.await {
            Ok((answer, turn)) => told(&answer, turn),
            Err(problem) => {
                hub.metrics.refuse(problem.error);
                json!(problem)
            }
        };
        answer["ok"] = answer.get("outcome").is_some().into();
        acknowledge(&hub, &session, &socket, ack, &answer).await;
    });
}

async fn cast(votes: &Votes, session: &Session, country: ClientCountry, mut data: Value) -> Result<(Answer, i64), Problem> {
    let key = data.as_object_mut().and_then(|data| data.remove("key"));
    let access = session.client.membership().access().clone();
    if access.remaining().is_some_and(|left| left == Duration::ZERO) {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "token_expired", "a valid token is needed"));
    }
    let who = Who::find(votes.voters, &access, key.as_ref().map(|key| key.as_str().unwrap_or_default()))?;
    let reader = Reader { key: &votes.key, who: &who, country: country.0, max_resolution: votes.max_resolution };
    votes.limits.check(&who, session.client.ip, 1)?;
    let vote = reader.read(&data, None)?;
    if !access.covers(&vote.voter.match_id) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "the token does not cover this match"));
    }
    votes.limits.check_voter(&vote)?;
    let turn = vote.turn;
    let answer = votes.door.cast(vec![vote], Limits::holder(&who, session.client.ip)).await?.pop().unwrap_or(Answer::Unknown);
    Problem::of_answer(&answer).map_or(Ok((answer, turn)), Err)
}
