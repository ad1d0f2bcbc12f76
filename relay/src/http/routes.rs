//! The routes, and what stands in front of them.

use crate::config::Auth;
use crate::guard::address::{ClientIp, client_ip, is_from_unknown_proxy};
use crate::guard::budget::Budget;
use crate::guard::origin::Origins;
use crate::guard::seats::Seats;
use crate::http::access::Shared;
use crate::http::headers::with_headers;
use crate::http::reply::{later, refuse};
use crate::http::{clients, events, matches, page, sockets, status};
use crate::live::hub::Hub;
use crate::serve::{HeadTooLong, MAX_HEAD};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response_with_state};
use axum::response::Response;
use axum::routing::{delete, get};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// How long a browser remembers the answer to a preflight. Chromium caps it at two hours.
const PREFLIGHT: Duration = Duration::from_secs(7_200);

/// The seq after which an event stream goes on (WHATWG HTML, server-sent events).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a vote without a token comes with.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The part of a request that a poll of Socket.IO counts as.
const POLL: f64 = 0.02;

/// Refuses a request in another form than the usual, where its path asks for that.
pub type RefuseEarly = fn(&str, StatusCode, &'static str, &str, Option<Duration>) -> Option<Response>;

/// The routes; `more` are those of other rooms.
pub fn router(shared: Shared, more: Router<Shared>) -> Router {
    let config = &shared.hub.config;
    let page = page::page(config);
    let answers = Router::new()
        .route("/matches", get(matches::list))
        .route("/matches/{id}/events", get(events::events))
        .route("/matches/{id}/{what}", get(matches::answer));
    let answers = answers.merge(more).layer(map_response_with_state(shared.checker.is_on(), with_headers));
    // Where everybody else needs a token, how the relay is doing is for its operator alone.
    let is_open = config.admin.is_none() && config.auth != Auth::Required;
    let rest = if is_open { probes().merge(figures()) } else { probes() };
    // Answers about matches are compressed once and kept; this layer would do it anew each time.
    let rest = rest.with_state(shared.clone()).merge(page).layer(CompressionLayer::new());
    answers.with_state(shared).merge(rest)
}

/// The routes of the operator's own address.
pub fn admin(shared: Shared) -> Router {
    let clients = Router::new().route("/clients", delete(clients::kick));
    figures().merge(probes()).merge(clients).with_state(shared)
}

fn figures() -> Router<Shared> {
    Router::new().route("/cache", get(status::cache)).route("/metrics", get(status::metrics))
}

fn probes() -> Router<Shared> {
    Router::new().route("/health", get(async || "ok\n")).route("/ready", get(status::ready))
}

/// In front of everything, Socket.IO too: finds the client's address, refuses pages of other origins, and says what answers.
pub struct Front {
    hub: Arc<Hub>,
    requests: Arc<Budget>,
    seats: Arc<Seats>,
    origins: Origins,
    http: Router,
    sockets: Router,
    refusals: Router,
    refuse_early: RefuseEarly,
}

impl Front {
    /// `engine` answers requests to Engine.IO, `http` all others.
    pub fn new(shared: &Shared, origins: Origins, http: Router, engine: Router, refuse_early: RefuseEarly) -> Self {
        let any = origins.list().map_or_else(|| AllowOrigin::from(Any), AllowOrigin::list);
        let cors = CorsLayer::new()
            .allow_origin(any)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH, LAST_EVENT_ID, IDEMPOTENCY_KEY])
            .expose_headers([header::ETAG, header::RETRY_AFTER])
            .max_age(PREFLIGHT);
        let sockets = engine.layer(from_fn_with_state(shared.clone(), sockets::admit));
        let refusals = Router::new().fallback(async move |request: Request| refused(&request, refuse_early));
        Self {
            hub: shared.hub.clone(),
            requests: shared.requests.clone(),
            seats: shared.seats.clone(),
            origins,
            http: http.layer(cors.clone()),
            sockets: sockets.layer(cors.clone()),
            // A page may read a refusal only if it has the headers of CORS.
            refusals: refusals.layer(cors),
            refuse_early,
        }
    }

    /// What answers a request that came from `peer`.
    ///
    /// # Errors
    /// The answer for a page that may not even read it.
    pub fn admit<B>(&self, peer: IpAddr, request: &mut Request<B>) -> Result<Router, Response> {
        let hub = &self.hub;
        if !self.origins.allow(request.headers()) {
            hub.metrics.refuse("origin");
            tracing::info!(path = request.uri().path(), reason = "origin", "request refused");
            let (status, path, message) = (StatusCode::FORBIDDEN, request.uri().path(), "this page may not connect here");
            let refusal = (self.refuse_early)(path, status, "origin", message, None);
            return Err(refusal.unwrap_or_else(|| refuse(status, "origin", message)));
        }
        let proxies = &hub.config.trusted_proxies;
        if is_from_unknown_proxy(peer, request.headers(), proxies) {
            hub.metrics.undeclared_proxy.inc();
            warn_once(peer);
        }
        let ip = client_ip(peer, request.headers(), proxies);
        request.extensions_mut().insert(ClientIp(ip));
        #[cfg(feature = "door")]
        {
            use crate::guard::country::{ClientCountry, country};
            let country = country(&hub.config, peer, request.headers());
            request.extensions_mut().insert(ClientCountry(country));
        }
        // A poll of a session that is known costs little, and many clients may share an address.
        let is_known = sockets::session(request).is_some_and(|session| self.seats.of(session).is_some());
        let spent = self.requests.spend(ip, if is_known { POLL } else { 1.0 });
        let refusal = match spent {
            Err(wait) => {
                hub.metrics.refuse("too_many_requests");
                Some(Refusal::TooMany(wait))
            }
            Ok(()) => request.extensions().get::<HeadTooLong>().map(|_| Refusal::HeadTooLong),
        };
        if let Some(refusal) = refusal {
            request.extensions_mut().insert(refusal);
            return Ok(self.refusals.clone());
        }
        Ok(if sockets::is_engine(request) { self.sockets.clone() } else { self.http.clone() })
    }
}

/// Why a request is refused.
#[derive(Clone, Copy)]
enum Refusal {
    HeadTooLong,
    TooMany(Duration),
}

/// The answer to a request that is refused.
fn refused(request: &Request, refuse_early: RefuseEarly) -> Response {
    let (status, error, message, wait) = match request.extensions().get::<Refusal>().copied() {
        Some(Refusal::TooMany(wait)) => {
            (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests from your address".to_owned(), Some(wait))
        }
        _ => {
            let message = format!("the head of a request may have {MAX_HEAD} bytes");
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "invalid", message, None)
        }
    };
    let usual = || match wait {
        Some(wait) => later(status, error, &message, wait),
        None => refuse(status, error, &message),
    };
    refuse_early(request.uri().path(), status, error, &message, wait).unwrap_or_else(usual)
}

/// Proxies of which the log tells: anybody may send the header.
const MOST_PROXIES: usize = 16;

/// Says once of each proxy that is not declared: its clients share one address, and so one address's limits. The header itself counts
/// for nothing. A client that could choose its address would have as many seats as there are addresses.
fn warn_once(proxy: IpAddr) {
    static KNOWN: Mutex<BTreeSet<IpAddr>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() < MOST_PROXIES && known.insert(proxy) {
        tracing::warn!(%proxy, "requests carry X-Forwarded-For from a proxy that TRUSTED_PROXIES does not name: its clients count as one address");
    }
}
