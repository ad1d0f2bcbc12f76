//! Server-Sent Events: each fold as one event, over plain HTTP.

use crate::connection::Transport;
use crate::guard::address::ClientIp;
use crate::guard::seats::Seat;
use crate::http::access::{Shared, admit};
use crate::http::answer::etag;
use crate::http::reply::{failed, later, refuse};
use crate::live::event::{self, Event as LiveEvent};
use crate::live::hub::Hub;
use crate::live::member::StreamItem;
use crate::live::subscription::Subscription;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;
use vote_agg_core::parse_resolution;

/// A comment is sent after this long without an event, so that everything on the way sees the connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Browsers connect again after one to three times as long, each reader after another time.
const RETRY: Duration = Duration::from_secs(1);

/// `GET /matches/{id}/events`
pub async fn events(
    State(shared): State<Shared>,
    Extension(ip): Extension<ClientIp>,
    Extension(transport): Extension<Transport>,
    Path(match_id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let access = match admit(&shared, &match_id, &headers, &query) {
        Ok(access) => access,
        Err(refused) => return refused,
    };
    let resolution = match query.get("resolution").map(|text| text.parse().ok().and_then(|n| parse_resolution(n).ok())) {
        Some(None) => return refuse(StatusCode::BAD_REQUEST, "invalid", "resolution must be a whole number from 0 to 15"),
        resolution => resolution.flatten(),
    };
    let seat = match shared.seats.admit(ip.0, transport) {
        Some(seat) if seat.refusal.is_none() => seat,
        seat => {
            let reason = seat.and_then(|seat| seat.refusal).unwrap_or("too_many_clients_from_your_address");
            shared.hub.metrics.refuse(reason);
            return later(StatusCode::TOO_MANY_REQUESTS, reason, "try again later", Duration::ZERO);
        }
    };
    let since = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| {
        let (epoch, seq) = id.rsplit_once('-')?;
        Some((seq.parse().ok().filter(|seq| *seq >= 0)?, epoch.to_owned()))
    });
    let subscription = Subscription { resolution, events: Some(vec![LiveEvent::Update]), since };
    let (first, receiver) = match shared.hub.stream(ip.0, &match_id, &subscription).await {
        Ok(stream) => stream,
        Err(e) => return failed(&shared.hub, &match_id, &e),
    };
    let ends_at = access.remaining().map(|remaining| Instant::now() + remaining);
    tracing::info!(match_id, resumed = !matches!(first.first(), Some(StreamItem::Snapshot { .. })), "event stream opened");
    let mut stale = shared.hub.staleness.watch();
    if stale.borrow().is_some() {
        stale.mark_changed();
    }
    let reader = Reader {
        hub: shared.hub.clone(),
        ip: ip.0,
        match_id,
        subscription: Subscription { since: None, ..subscription },
        waiting: first.into(),
        receiver,
        stopped: shared.stopped.clone(),
        stale,
        chance: chance(),
        ends_at,
        _seat: seat,
    };
    let stream = unfold(reader, async |mut reader| Some((Ok::<_, Infallible>(reader.next().await?), reader)));
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

struct Reader {
    hub: Arc<Hub>,
    ip: IpAddr,
    match_id: String,
    subscription: Subscription,
    waiting: VecDeque<StreamItem>,
    receiver: Receiver<StreamItem>,
    stopped: watch::Receiver<bool>,
    stale: watch::Receiver<Option<String>>,
    /// From 0 to 1, of its own.
    chance: f64,
    /// When the token expires.
    ends_at: Option<Instant>,
    _seat: Arc<Seat>,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front().and_then(|item| self.event(&item)) {
                return Some(event);
            }
            if !self.waiting.is_empty() {
                continue;
            }
            let ends_at = self.ends_at.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
            let received = tokio::select! {
                received = self.receiver.recv() => received,
                () = async { drop(self.stopped.wait_for(|stopped| *stopped).await) } => {
                    // Not all at once.
                    tokio::time::sleep(self.hub.config.drain.mul_f64(self.chance * 0.75)).await;
                    return None;
                }
                _ = self.stale.changed() => return Some(staleness(&mut self.stale)),
                () = tokio::time::sleep_until(ends_at), if self.ends_at.is_some() => return None,
            };
            match received {
                Ok(item) => self.waiting.push_back(item),
                // Too slow, or the match was let go: no half stream, but a snapshot.
                Err(RecvError::Lagged(_) | RecvError::Closed) => {
                    let (first, receiver) = self.hub.stream(self.ip, &self.match_id, &self.subscription).await.ok()?;
                    (self.waiting, self.receiver) = (first.into(), receiver);
                }
            }
        }
    }

    fn event(&self, item: &StreamItem) -> Option<Event> {
        let (name, id, json) = match item {
            StreamItem::Update(update) => {
                (LiveEvent::Update.name(), etag(update.epoch(), update.seq()), update.json(LiveEvent::Update)?)
            }
            StreamItem::Snapshot { seq, epoch, json } => (event::SNAPSHOT, etag(epoch, *seq), json),
        };
        self.hub.metrics.messages.inc();
        self.hub.metrics.bytes.inc_by(json.get().len() as u64);
        Some(Event::default().event(name).id(id).retry(RETRY.mul_f64(1.0 + 2.0 * self.chance)).data(json.get()))
    }
}

/// A number from 0 to 1 that differs from reader to reader.
fn chance() -> f64 {
    let number = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    f64::from(u32::try_from(number >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Since when the relay has lost its database; null when it has it again.
fn staleness(stale: &mut watch::Receiver<Option<String>>) -> Event {
    let since = stale.borrow_and_update().clone();
    Event::default().event("relay:stale").data(json!({"since": since}).to_string())
}
