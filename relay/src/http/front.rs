//! In front of everything: which router answers a request, or why it is refused.

use crate::guard::address::{ClientIp, client_ip, is_from_unknown_proxy};
use crate::guard::budget::Budget;
use crate::guard::origin::Origins;
use crate::guard::seats::Seats;
use crate::http::access::Shared;
use crate::http::reply::{later, refuse};
use crate::http::sockets;
use crate::live::hub::Hub;
use crate::serve::{HeadTooLong, MAX_HEAD};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
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

/// In front of everything, Socket.IO too: finds the client's address, counts its requests, refuses pages of other origins, and says
/// what answers.
pub struct Front {
    hub: Arc<Hub>,
    requests: Arc<Budget>,
    seats: Arc<Seats>,
    origins: Origins,
    proxies_told: Told<IpAddr>,
    origins_told: Told<String>,
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
            proxies_told: Told::new(),
            origins_told: Told::new(),
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
        let proxies = &hub.config.trusted_proxies;
        if is_from_unknown_proxy(peer, request.headers(), proxies) {
            hub.metrics.undeclared_proxy.inc();
            self.warn_of_proxy(peer);
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
        if !self.origins.allow(request.headers()) {
            return Err(self.refuse_origin(request));
        }
        if !sockets::is_engine(request) {
            return Ok(self.http.clone());
        }
        sockets::shorten_head(request, hub.config.country_header());
        Ok(self.sockets.clone())
    }

    fn refuse_origin<B>(&self, request: &Request<B>) -> Response {
        self.hub.metrics.refuse("origin");
        let origin = origin_in(request.headers());
        if self.origins_told.is_new(&origin) {
            tracing::warn!(origin, "pages of this origin are refused: --origins does not name it (told once)");
        }
        let (status, path, message) = (StatusCode::FORBIDDEN, request.uri().path(), "this page may not connect here");
        (self.refuse_early)(path, status, "origin", message, None).unwrap_or_else(|| refuse(status, "origin", message))
    }

    /// Says once of each proxy that is not declared: its clients share one address, and so one address's limits. The header itself
    /// counts for nothing. A client that could choose its address would have as many seats as there are addresses.
    fn warn_of_proxy(&self, proxy: IpAddr) {
        if self.proxies_told.is_new(&proxy) {
            tracing::warn!(%proxy, "requests carry X-Forwarded-For from a proxy that TRUSTED_PROXIES does not name: its clients count as one address");
        }
    }
}

/// The first letters of the request's origin.
fn origin_in(headers: &HeaderMap) -> String {
    let origin = headers.get(header::ORIGIN).map_or_else(Default::default, |value| String::from_utf8_lossy(value.as_bytes()));
    origin.chars().take(100).collect()
}

/// What the log has told of. Anybody may send any header, so it tells of a few only.
struct Told<T>(Mutex<BTreeSet<T>>);

impl<T: Ord + Clone> Told<T> {
    const MOST: usize = 16;

    const fn new() -> Self {
        Self(Mutex::new(BTreeSet::new()))
    }

    /// Whether it is to be told now, and not again.
    fn is_new(&self, one: &T) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < Self::MOST && told.insert(one.clone())
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
