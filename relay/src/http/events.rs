//! Server-Sent Events: each fold as one event, over plain HTTP.

use crate::guard::address::ClientIp;
use crate::guard::connection::Transport;
use crate::guard::seats::Seat;
use crate::http::access::{Query, Shared, admit};
use crate::http::answer::etag;
use crate::http::query::parse_stream;
use crate::http::reply::{failed, invalid, later, unreadable_path};
use crate::http::source::Source;
use crate::http::streams::OpenStream;
use crate::live::event::{self, Event as LiveEvent};
use crate::live::hub::Hub;
use crate::live::member::StreamItem;
use crate::live::subscription::MAX_EPOCH;
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// A comment is sent after this long without an event, so that everything on the way sees the connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Browsers connect again after one to three times as long, each reader after another time.
const RETRY: Duration = Duration::from_secs(1);

/// `GET /matches/{id}/events`
pub async fn events(
    State(shared): State<Shared>,
    Extension(ip): Extension<ClientIp>,
    Extension(transport): Extension<Transport>,
    path: Result<Path<String>, PathRejection>,
    Query(query): Query,
    headers: HeaderMap,
) -> Response {
    let Ok(Path(match_id)) = path else { return unreadable_path() };
    let access = match admit(&shared, &match_id, &headers, &query) {
        Ok(access) => access,
        Err(refused) => return refused,
    };
    let mut subscription = match parse_stream(&query) {
        Ok(subscription) => subscription,
        Err(message) => return invalid(&message),
    };
    let seat = match shared.seats.admit(ip.0, transport) {
        Some(seat) if seat.refusal.is_none() => seat,
        seat => {
            let reason = seat.and_then(|seat| seat.refusal).unwrap_or("too_many_clients_from_your_address");
            shared.hub.metrics.refuse(reason);
            return later(StatusCode::TOO_MANY_REQUESTS, reason, "try again later", Duration::ZERO);
        }
    };
    let hub = shared.hub.clone();
    let Some(event) = subscription.events().first().copied() else { return invalid("a stream has one event") };
    subscription.since = since(&headers);
    let open = shared.streams.add(access.subject().map(Into::into), hub.metrics.streams.clone());
    let mut source = Source::new(hub.clone(), ip.0, match_id.clone(), subscription);
    match source.open().await {
        Ok(()) => tracing::info!(match_id, resumed = !source.begins_anew(), "event stream opened"),
        // Browsers give a stream up for good that an error answers. So it is opened, and begins when it can.
        Err(e) if e.is_passing() => tracing::info!(match_id, error = %e, "event stream opened, which waits for its match"),
        Err(e) => return failed(&hub, &match_id, &e),
    }
    let mut stale = hub.staleness.watch();
    if stale.borrow().is_some() {
        stale.mark_changed();
    }
    let reader = Reader {
        source,
        event,
        open,
        stopped: shared.stopped.clone(),
        stale,
        sent_away: hub.sent_away.subscribe(),
        hub,
        chance: chance(),
        ends_at: access.remaining().map(|remaining| Instant::now() + remaining),
        _seat: seat,
    };
    let stream = unfold(reader, async |mut reader| Some((Ok::<_, Infallible>(reader.next().await?), reader)));
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// The seq and epoch that a reader has, as the id of its last event.
pub fn since(headers: &HeaderMap) -> Option<(i64, String)> {
    let id = headers.get("last-event-id")?.to_str().ok()?;
    let (epoch, seq) = id.rsplit_once('-').filter(|(epoch, _)| epoch.len() <= MAX_EPOCH)?;
    Some((seq.parse().ok().filter(|seq| *seq >= 0)?, epoch.to_owned()))
}

struct Reader {
    source: Source,
    event: LiveEvent,
    open: Arc<OpenStream>,
    stopped: watch::Receiver<bool>,
    stale: watch::Receiver<Option<String>>,
    /// Whether clients are sent to another relay, since this one has lost its database.
    sent_away: watch::Receiver<bool>,
    hub: Arc<Hub>,
    /// From 0 to 1, of its own.
    chance: f64,
    /// When the token expires.
    ends_at: Option<Instant>,
    _seat: Arc<Seat>,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.open.is_kicked() {
                return None;
            }
            let ends_at = self.ends_at.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
            // In this order: what ends a stream comes before what is still to be sent.
            let item = tokio::select! {
                biased;
                () = self.open.kicked() => return None,
                () = sleep_until(ends_at), if self.ends_at.is_some() => return None,
                () = async { drop(self.stopped.wait_for(|stopped| *stopped).await) } => {
                    return self.end(self.hub.config.drain.mul_f64(0.75)).await;
                }
                _ = self.sent_away.changed() => {
                    if !*self.sent_away.borrow_and_update() {
                        continue;
                    }
                    return self.end(self.hub.window()).await;
                }
                _ = self.stale.changed() => return Some(staleness(&mut self.stale)),
                item = self.source.next() => item,
            };
            if let Some(event) = self.event(&item) {
                return Some(event);
            }
        }
    }

    /// Ends the stream at some time within so long, so that not all readers come back at once.
    async fn end(&self, within: Duration) -> Option<Event> {
        sleep(within.mul_f64(self.chance)).await;
        None
    }

    fn event(&self, item: &StreamItem) -> Option<Event> {
        let (name, id, json) = match item {
            StreamItem::Update(update) => {
                let json = update.json_within(self.event, self.source.area())?;
                (self.event.name(), etag(update.epoch(), update.seq()), json)
            }
            StreamItem::Snapshot { seq, epoch, json } => (event::SNAPSHOT, etag(epoch, *seq), json.clone()),
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
