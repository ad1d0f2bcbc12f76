//! The matches: their list, and answers about one of them that change only when a fold changed them.

use crate::error::{Error, Result};
use crate::guard::token::Access;
use crate::http::access::{Shared, access, admit};
use crate::http::cache::{Answer, CacheKey, Found};
use crate::http::query::{Kind, MatchQuery};
use crate::http::reply::{failed, refuse, respond};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// How many matches the list has at most.
const LONGEST: i64 = 200;

/// `GET /matches`: the matches that the client may see, open ones first, the latest vote first.
pub async fn list(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>, headers: HeaderMap) -> Response {
    let access = match access(&shared, &headers, &query) {
        Ok(access) => access,
        Err(refused) => return refused,
    };
    // No match has an empty name: nothing rings for this answer, so it lives as long as totals do.
    let key = CacheKey { match_id: String::new(), query: format!("{:?}", access.matches()) };
    match shared.cache.get(&shared.hub.freshness, key, true, None, read_list(&shared, &access)).await {
        Ok((answer, _)) => respond(&answer, &headers),
        Err(e) => failed(&shared.hub, "(all)", &e),
    }
}

async fn read_list(shared: &Shared, access: &Access) -> Result<Answer> {
    let text = |_: &str| {
        "SELECT pg_catalog.json_build_object('matches', coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                    'match', m.match_id, 'status', m.status, 'total', m.total_votes, 'votes', m.votes, 'leader', m.leader,
                    'dominance', m.dominance, 'per_minute', m.votes_per_minute, 'last_vote_at', m.last_vote_at)), '[]'))::text
         FROM (SELECT * FROM vote_agg.live WHERE $1 IS NULL OR match_id = ANY ($1)
               ORDER BY status IN ('closed', 'final'), last_vote_at DESC NULLS LAST, match_id LIMIT $2) AS m"
            .to_owned()
    };
    shared.hub.metrics.reads.inc();
    let rows = shared.hub.database.call(text, &[(&access.matches(), Type::TEXT_ARRAY), (&LONGEST, Type::INT8)]).await?;
    let body: String = rows.first().ok_or(Error::Gap)?.try_get(0)?;
    Ok(Answer { body: body.into(), etag: None })
}

/// `GET /matches/{id}/{kind}`
pub async fn answer(
    State(shared): State<Shared>,
    Path((match_id, kind)): Path<(String, String)>,
    Query(mut query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let Some(kind) = Kind::parse(&kind) else {
        return refuse(StatusCode::NOT_FOUND, "not_found", "stats, aggregates, countries, timeline, geojson and events are here");
    };
    if let Err(refused) = admit(&shared, &match_id, &headers, &query) {
        return refused;
    }
    query.remove("token");
    let query = match MatchQuery::parse(kind, &query) {
        Ok(query) => query,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, "invalid", &message),
    };
    match find(&shared, &match_id, &query).await {
        Ok(answer) => respond(&answer, &headers),
        Err(e) => failed(&shared.hub, &match_id, &e),
    }
}

async fn find(shared: &Shared, match_id: &str, query: &MatchQuery) -> Result<Arc<Answer>, Arc<Error>> {
    let hub = &shared.hub;
    let key = CacheKey { match_id: match_id.to_owned(), query: query.to_string() };
    let followed = hub.followed(match_id).filter(|followed| followed.cursor().is_some());
    let current = match &followed {
        Some(followed) => query.current(followed).await,
        None => None,
    };
    let make = async {
        if let Some(followed) = &followed
            && let Some(answer) = query.recall(followed).await?
        {
            return Ok(answer);
        }
        hub.metrics.reads.inc();
        query.read(&hub.database, match_id).await
    };
    let (answer, found) = shared.cache.get(&hub.freshness, key, query.kind == Kind::Stats, current, make).await?;
    match found {
        Found::Hit => hub.metrics.cache_hits.inc(),
        Found::Miss => hub.metrics.cache_misses.inc(),
        Found::Invalidated => {
            hub.metrics.cache_invalidations.inc();
            hub.metrics.cache_misses.inc()
        }
    };
    Ok(answer)
}
