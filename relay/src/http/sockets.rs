//! In front of Socket.IO: which requests its library gets to see, and with which seat.

use crate::guard::address::ClientIp;
use crate::guard::connection::Transport;
use crate::guard::pass::Pass;
use crate::guard::rates::Rates;
use crate::guard::seats::Seat;
use crate::http::access::Shared;
use crate::http::query::twice;
use crate::http::reply::{invalid, later, refuse};
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use socketioxide::socket::Sid;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The path of Engine.IO.
const PATH: &str = "/socket.io";

/// The headers that are looked at in a request to Engine.IO.
static KEPT: [HeaderName; 15] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::ORIGIN,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_VERSION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
    HeaderName::from_static("x-forwarded-for"),
];

/// The longest answer to a session that begins, in bytes.
const LONGEST_GREETING: usize = 4 << 10;

/// How long a client that found no seat should wait.
const FULL: Duration = Duration::from_secs(5);

/// Whether a request is to Engine.IO.
#[must_use]
pub fn is_engine<B>(request: &Request<B>) -> bool {
    request.uri().path().strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The head of a request is a view of the buffer that it was read into, and Engine.IO keeps it as long as the session. So it gets
/// a copy of the few headers that are looked at.
pub fn shorten_head<B>(request: &mut Request<B>, one_more: Option<&HeaderName>) {
    let copied = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
    let kept =
        KEPT.iter().chain(one_more).flat_map(|name| request.headers().get_all(name).iter().map(move |value| (name, value)));
    let kept: Vec<_> = kept.filter_map(|(name, value)| Some((name.clone(), copied(value)?))).collect();
    *request.headers_mut() = kept.into_iter().collect();
    if let Ok(uri) = request.uri().to_string().parse() {
        *request.uri_mut() = uri;
    }
}

/// Lets a request to Engine.IO through, or refuses it.
pub async fn admit(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let Asked { is_websocket, has_session } = match Asked::parse(request.uri().query().unwrap_or_default()) {
        Ok(asked) => asked,
        Err(message) => return invalid(&message),
    };
    // The library answers 101 to a request without Upgrade, as some proxies pass it on. Then nobody falls back to polling.
    if is_websocket && !is_upgrade(request.version(), request.headers()) {
        return engine_refusal(3, "Bad request");
    }
    if let Some(seat) = session(&request).and_then(|session| shared.seats.of(session)) {
        let transport = request.extensions().get::<Transport>().cloned();
        // The library still knows the session. A client that is told otherwise begins a new one, which may be with another relay.
        if seat.is_cut() {
            return engine_refusal(1, "Session ID unknown");
        }
        let pace = client_ip(&request).map(|ip| shared.paces.of(ip));
        // The library reads no more, and would wait for so much.
        let most = shared.hub.config.max_message_bytes;
        let bytes = request.body().size_hint().exact().map_or(most, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if bytes > most {
            let message = format!("a body of {bytes} bytes; --max-message-bytes allows {most}");
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "invalid", &message);
        }
        if bytes > 0
            && let Some(pace) = &pace
        {
            match pace.wait_before(bytes) {
                Ok(wait) => sleep(wait).await,
                Err(wait) => {
                    shared.hub.metrics.refuse("too_many_requests");
                    let message = "too many messages from your address";
                    return later(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message, wait);
                }
            }
        }
        if bytes > 0 && !is_websocket {
            // The library would wait for a body for ever.
            let (head, body) = request.into_parts();
            match timeout(shared.hub.config.handshake_timeout, to_bytes(body, most)).await {
                Ok(Ok(body)) => request = Request::from_parts(head, Body::from(body)),
                Ok(Err(_)) => return engine_refusal(3, "Bad request"),
                Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "invalid", "the body did not come in time"),
            }
        }
        let response = next.run(request).await;
        if let Some(transport) = transport.filter(|_| is_websocket && response.status() == StatusCode::SWITCHING_PROTOCOLS) {
            seat.move_to(transport.clone());
            pace.into_iter().for_each(|pace| transport.keep_pace(pace));
        }
        return response;
    }
    if !has_session {
        if *shared.stopped.borrow() {
            return later(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "this relay is shutting down", FULL);
        }
        if shared.hub.is_too_stale() {
            return later(StatusCode::SERVICE_UNAVAILABLE, "stale", "this relay has lost its database", FULL);
        }
        let transport = request.extensions().get::<Transport>().cloned();
        let (Some(ip), Some(transport)) = (client_ip(&request), transport) else {
            return refuse(StatusCode::BAD_REQUEST, "invalid", "this request came over no connection");
        };
        let Some(seat) = shared.seats.admit(ip, transport.clone()) else {
            shared.hub.metrics.refuse("too_many_clients_from_your_address");
            return later(StatusCode::TOO_MANY_REQUESTS, "too_many_clients", "too many clients from your address", FULL);
        };
        let rates = Rates::new(&shared.hub.config);
        request.extensions_mut().insert(Arc::new(Pass { seat: seat.clone(), rates }));
        let response = next.run(request).await;
        if !is_websocket {
            return named(&seat, response).await;
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            transport.keep_pace(shared.paces.of(ip));
            seat.end_with_connection();
        }
        return response;
    }
    next.run(request).await
}

fn client_ip(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ClientIp>().map(|ip| ip.0)
}

/// What a request asks of Engine.IO.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Asked {
    is_websocket: bool,
    has_session: bool,
}

impl Asked {
    /// The library takes the first parameter of a name, decodes nothing, and passes over what follows a second `=`. A query that could be
    /// read in another way than that is refused: what is let in here as one transport must not go on as another.
    fn parse(query: &str) -> Result<Self, String> {
        let mut asked = Self { is_websocket: false, has_session: false };
        for name in ["EIO", "transport", "sid"] {
            let mut values = query.split('&').filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let Some(value) = values.next() else { continue };
            if values.next().is_some() {
                return Err(twice(name));
            }
            if value.contains('=') {
                return Err(format!("parameter {name:?} has no value with a \"=\""));
            }
            asked.is_websocket |= (name, value) == ("transport", "websocket");
            asked.has_session |= name == "sid";
        }
        Ok(asked)
    }
}

/// The session that a request to Engine.IO names, as its library finds it.
#[must_use]
pub fn session<B>(request: &Request<B>) -> Option<Sid> {
    let query = request.uri().query().filter(|_| is_engine(request))?;
    query.split('&').find_map(|pair| pair.strip_prefix("sid="))?.parse().ok()
}

/// Gives the seat the name of the session that begins here with polling. It stands in the answer alone.
async fn named(seat: &Arc<Seat>, response: Response) -> Response {
    let (head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, LONGEST_GREETING).await else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "unavailable", "the session could not begin");
    };
    let greeting = body.strip_prefix(b"0").and_then(|json| serde_json::from_slice::<Greeting>(json).ok());
    if let Some(sid) = greeting.and_then(|greeting| greeting.sid.parse().ok()) {
        seat.name(sid);
    }
    Response::from_parts(head, body.into())
}

/// What a session that polls is told first.
#[derive(Deserialize)]
struct Greeting {
    sid: String,
}

/// A refusal as Engine.IO's own server words it.
fn engine_refusal(code: u8, message: &str) -> Response {
    (StatusCode::BAD_REQUEST, axum::Json(json!({"code": code, "message": message}))).into_response()
}

/// Whether a request asks for a WebSocket as RFC 6455 says.
pub fn is_upgrade(version: Version, headers: &HeaderMap) -> bool {
    let names = |name, token: &str| {
        let lists = headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        lists.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    version == Version::HTTP_11
        && names(header::UPGRADE, "websocket")
        && names(header::CONNECTION, "upgrade")
        && names(header::SEC_WEBSOCKET_VERSION, "13")
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_engine_io_is_whole() {
        let is_engine = |path: &str| super::is_engine(&Request::builder().uri(path).body(()).expect("request"));
        for path in ["/socket.io", "/socket.io/", "/socket.io?EIO=4", "/socket.io/x/y"] {
            assert!(is_engine(path), "{path}");
        }
        for path in ["/socket.iox", "/socket.io%2f", "/socket.io.map", "/matches", "//socket.io/", "/SOCKET.IO/"] {
            assert!(!is_engine(path), "{path}");
        }
    }

    #[test]
    fn a_query_has_one_meaning() {
        let asked = |query: &str| Asked::parse(query).map(|asked| (asked.is_websocket, asked.has_session));
        assert_eq!(asked(""), Ok((false, false)));
        assert_eq!(asked("EIO=4&transport=websocket"), Ok((true, false)));
        assert_eq!(asked("EIO=4&transport=polling&t=abc&t=def&sid=AAAA"), Ok((false, true)));
        // The library does not decode, and knows no transport of these names.
        assert_eq!(asked("transport=%77ebsocket&xtransport=websocket&transports=websocket"), Ok((false, false)));
        for (query, name) in [
            ("transport=polling&transport=websocket", "transport"),
            ("transport=websocket&transport=websocket", "transport"),
            ("EIO=4&transport=polling&EIO=3", "EIO"),
            ("sid=&sid=AAAA", "sid"),
        ] {
            assert_eq!(asked(query), Err(twice(name)), "{query}");
        }
        assert!(asked("transport=websocket=x").is_err() && asked("EIO=4=3").is_err() && asked("sid=A=").is_err());
    }
}
