//! Server-Sent Events: each fold as one event, over plain HTTP.

use crate::guard::address::ClientIp;
use crate::guard::limits::Seat;
use crate::http::access::{Shared, admit};
use crate::http::answer::etag;
use crate::http::reply::{failed, refuse};
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
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;
use vote_agg_core::parse_resolution;

/// A comment is sent after this long without an event, so that everything on the way sees the connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Browsers connect again after this many milliseconds, unless told otherwise.
const RETRY: Duration = Duration::from_secs(1);

/// `GET /matches/{id}/events`
pub async fn events(
    State(shared): State<Shared>,
    Extension(ip): Extension<ClientIp>,
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
    let seat = match shared.seats.admit(ip.0) {
        Ok(seat) => seat,
        Err(reason) => {
            shared.hub.metrics.refuse(reason);
            return refuse(StatusCode::TOO_MANY_REQUESTS, reason, "try again later");
        }
    };
    let since = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| {
        let (epoch, seq) = id.rsplit_once('-')?;
        Some((seq.parse().ok().filter(|seq| *seq >= 0)?, epoch.to_owned()))
    });
    let subscription = Subscription { resolution, events: Some(vec![LiveEvent::Update]), since };
    let (first, receiver) = match shared.hub.stream(&match_id, &subscription).await {
        Ok(stream) => stream,
        Err(e) => return failed(&shared.hub, &match_id, &e),
    };
    let ends_at = access.remaining().map(|remaining| Instant::now() + remaining);
    tracing::info!(match_id, resumed = !matches!(first.first(), Some(StreamItem::Snapshot { .. })), "event stream opened");
    let reader = Reader {
        hub: shared.hub.clone(),
        match_id,
        subscription: Subscription { since: None, ..subscription },
        waiting: first.into(),
        receiver,
        stopped: shared.stopped.clone(),
        ends_at,
        _seat: seat,
    };
    let stream = unfold(reader, async |mut reader| Some((Ok::<_, Infallible>(reader.next().await?), reader)));
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

struct Reader {
    hub: Arc<Hub>,
    match_id: String,
    subscription: Subscription,
    waiting: VecDeque<StreamItem>,
    receiver: Receiver<StreamItem>,
    stopped: watch::Receiver<bool>,
    /// When the token expires.
    ends_at: Option<Instant>,
    _seat: Seat,
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
                _ = self.stopped.wait_for(|stopped| *stopped) => return None,
                () = tokio::time::sleep_until(ends_at), if self.ends_at.is_some() => return None,
            };
            match received {
                Ok(item) => self.waiting.push_back(item),
                // Too slow, or the match was let go: no half stream, but a snapshot.
                Err(RecvError::Lagged(_) | RecvError::Closed) => {
                    let (first, receiver) = self.hub.stream(&self.match_id, &self.subscription).await.ok()?;
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
        Some(Event::default().event(name).id(id).retry(RETRY).data(json.get()))
    }
}
