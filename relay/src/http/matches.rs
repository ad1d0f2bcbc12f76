//! The matches: their list, and answers about one of them that change only when a fold changed them.

use crate::error::{Error, Result};
use crate::guard::address::ClientIp;
use crate::guard::token::Access;
use crate::http::access::{Query, Shared, access, admit};
use crate::http::body::Answer;
use crate::http::cache::{CacheKey, Missing};
use crate::http::query::{Kind, MatchQuery, expect_keys};
use crate::http::reply::{failed, invalid, is_known, refuse, respond, unreadable_path};
use crate::http::waiting::Waiting;
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio_postgres::types::Type;

/// How many matches the list has at most.
const LONGEST: i64 = 200;

/// `GET /matches`: the matches that the client may see, open ones first, the latest vote first. A match whose numbers can't be
/// read, because its sums leave 64 bits, is left out.
pub async fn list(
    State(shared): State<Shared>,
    Extension(ip): Extension<ClientIp>,
    Query(query): Query,
    headers: HeaderMap,
) -> Response {
    if let Err(message) = expect_keys(&query, &["token"]) {
        return invalid(&message);
    }
    let access = match access(&shared, &headers, &query) {
        Ok(access) => access,
        Err(refused) => return refused,
    };
    // No match has an empty name: nothing rings for this answer, so it lives as long as totals do.
    let key = CacheKey { match_id: String::new(), query: format!("{:?}", access.matches()) };
    let began = Instant::now();
    let waiting = Waiting::default();
    let found = answered(&shared, ip.0, key, true, (None, &waiting), read_list(&shared, &access, &waiting)).await;
    shared.hub.metrics.answered("list", began);
    match found {
        Ok(answer) => sent(&shared, ip.0, &answer, &headers).await,
        Err(e) => failed(&shared.hub, "(all)", &e),
    }
}

async fn read_list(shared: &Shared, access: &Access, waiting: &Waiting) -> Result<Answer> {
    let text = |_: &str| {
        "SELECT pg_catalog.json_build_object('matches', coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                    'match', m.match_id, 'status', m.status, 'total', m.total_votes, 'votes', m.votes, 'leader', m.leader,
                    'dominance', m.dominance, 'per_minute', m.votes_per_minute, 'last_vote_at', m.last_vote_at)), '[]'))::text
         FROM (SELECT * FROM vote_agg.live WHERE ($1 IS NULL OR match_id = ANY ($1)) AND total_votes IS NOT NULL
               ORDER BY status IN ('closed', 'final'), last_vote_at DESC NULLS LAST, match_id LIMIT $2) AS m"
            .to_owned()
    };
    let _one_of_few = waiting.wait(shared.reads.acquire()).await.map_err(|_| Error::Unavailable)?;
    shared.hub.metrics.reads.inc();
    let rows = shared.hub.database.call(text, &[(&access.matches(), Type::TEXT_ARRAY), (&LONGEST, Type::INT8)]).await?;
    let body: String = rows.first().ok_or(Error::Gap)?.try_get(0)?;
    let mut digest = DefaultHasher::new();
    body.hash(&mut digest);
    Ok(Answer::new(body, Some(format!("{:016x}", digest.finish()))))
}

/// `GET /matches/{id}/{kind}`
pub async fn answer(
    State(shared): State<Shared>,
    Extension(ip): Extension<ClientIp>,
    path: Result<Path<(String, String)>, PathRejection>,
    Query(query): Query,
    headers: HeaderMap,
) -> Response {
    let Ok(Path((match_id, kind))) = path else { return unreadable_path() };
    let Some(kind) = Kind::parse(&kind) else {
        return refuse(
            StatusCode::NOT_FOUND,
            "not_found",
            "stats, aggregates, countries, timeline, at, flips, geojson and events are here",
        );
    };
    if let Err(refused) = admit(&shared, &match_id, &headers, &query) {
        return refused;
    }
    let query = match MatchQuery::parse(kind, &query) {
        Ok(query) => query,
        Err(message) => return invalid(&message),
    };
    let began = Instant::now();
    let found = find(&shared, ip.0, &match_id, &query).await;
    shared.hub.metrics.answered(kind.name(), began);
    match found {
        Ok(answer) => sent(&shared, ip.0, &answer, &headers).await,
        Err(e) => failed(&shared.hub, &match_id, &e),
    }
}

async fn find(shared: &Shared, ip: IpAddr, match_id: &str, query: &MatchQuery) -> Result<Arc<Answer>, Arc<Error>> {
    let hub = &shared.hub;
    let key = CacheKey { match_id: match_id.to_owned(), query: query.to_string() };
    let mut followed = hub.followed(match_id).filter(|followed| followed.cursor().is_some());
    // One that somebody waits for may have votes that are still to be folded.
    if let Some(waits) = &followed
        && !waits.exists().await
    {
        followed = None;
    }
    if followed.is_none() && !hub.exists(match_id).await? {
        return Err(Error::Unknown.into());
    }
    let current = match &followed {
        Some(followed) => query.current(followed).await,
        None => None,
    };
    let waiting = Waiting::default();
    let make = async {
        if let Some(followed) = &followed
            && let Some(answer) = query.recall(followed, &hub.metrics, &waiting).await?
        {
            return Ok(answer);
        }
        let _one_of_few = waiting.wait(shared.reads.acquire()).await.map_err(|_| Error::Unavailable)?;
        hub.metrics.reads.inc();
        query.read(&hub.database, match_id).await
    };
    answered(shared, ip, key, query.kind == Kind::Stats, (current, &waiting), make).await
}

/// The answer from the cache, or made at the expense of the address that asks.
async fn answered(
    shared: &Shared,
    ip: IpAddr,
    key: CacheKey,
    is_stats: bool,
    (current, waiting): (Option<String>, &Waiting),
    make: impl Future<Output = Result<Answer>>,
) -> Result<Arc<Answer>, Arc<Error>> {
    let hub = &shared.hub;
    match shared.cache.find(&hub.freshness, &key, is_stats, current).await {
        Ok(answer) => {
            hub.metrics.cache_hits.inc();
            return Ok(answer);
        }
        Err(Missing::Stale) => drop(hub.metrics.cache_invalidations.inc()),
        Err(Missing::New) => {}
    }
    hub.metrics.cache_misses.inc();
    hub.work.spend(ip, ESTIMATE).map_err(|wait| Arc::new(Error::Busy(wait)))?;
    // Several requests share what one of them has made; that one pays.
    let mut cost = 0.0;
    let timed = async {
        let began = Instant::now();
        let made = make.await;
        cost = began.elapsed().saturating_sub(waiting.waited()).as_secs_f64();
        made
    };
    let made = shared.cache.make(key, is_stats, timed).await;
    hub.work.charge(ip, cost - ESTIMATE);
    made
}

/// What a request pays before its answer is made: so many at once are no way around the budget.
const ESTIMATE: f64 = 0.005;

/// The answer as the client takes it: compressed at the expense of the first address that asks.
async fn sent(shared: &Shared, ip: IpAddr, answer: &Arc<Answer>, headers: &HeaderMap) -> Response {
    let encoding = answer.encoding(headers).filter(|_| !is_known(answer, headers));
    let encoded = match encoding {
        Some(encoding) if answer.has(encoding) => answer.encoded(encoding).await,
        Some(encoding) if shared.hub.work.check(ip).is_ok() => {
            let began = Instant::now();
            let encoded = answer.encoded(encoding).await;
            shared.hub.work.charge(ip, began.elapsed().as_secs_f64());
            encoded
        }
        _ => None,
    };
    respond(answer, encoding.zip(encoded), headers)
}
