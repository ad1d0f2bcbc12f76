//! The live map: a folder of built files at `/`, and the list of matches that it begins with.

use crate::error::{Error, Result};
use crate::guard::token::Access;
use crate::http::cache::{Answer, Question};
use crate::http::routes::{Shared, access, failed, refuse, respond};
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use std::collections::BTreeMap;
use std::path::Path;
use tokio_postgres::types::Type;
use tower_http::services::ServeDir;

/// What a page may load: everything from here and nothing from elsewhere. Styles that scripts set need no word of their own;
/// icons of the map's controls are written into its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; \
                      img-src 'self' data: blob:; base-uri 'none'; form-action 'none'";

/// Where the build puts files that are named after their content.
const HASHED: &str = "/assets/";

/// How many matches the list has at most.
const LONGEST: i64 = 200;

/// The page at `/` out of a folder, or a word on how to get one.
pub fn page(folder: Option<&Path>) -> Router {
    let Some(folder) = folder else {
        let hint = "this relay serves no map: build it with `make map` and start the relay with --map-dir=client/map/dist";
        let nothing = Router::new().fallback(async |request: Request| match request.uri().path() {
            "/" => refuse(StatusCode::NOT_FOUND, "no_map", hint),
            _ => refuse(StatusCode::NOT_FOUND, "not_found", "nothing is here"),
        });
        // Without its state, a fallback would go through all layers anew for each request, and Socket.IO's is what knows
        // its clients: those who poll would be strangers with their second request.
        return nothing.with_state(());
    };
    let files = ServeDir::new(folder).precompressed_br().precompressed_gzip();
    Router::new().fallback_service(files).layer(from_fn(with_headers))
}

/// The folder has a page.
///
/// # Errors
/// [`Error::Config`] for another folder.
pub fn check(folder: Option<&Path>) -> Result<()> {
    match folder {
        Some(folder) if !folder.join("index.html").is_file() => {
            Err(Error::Config(format!("MAP_DIR: {} has no index.html; `make map` builds client/map/dist", folder.display())))
        }
        _ => Ok(()),
    }
}

async fn with_headers(request: Request, next: Next) -> Response {
    let is_hashed = request.uri().path().starts_with(HASHED);
    let mut response = next.run(request).await;
    let is_lasting = is_hashed && (response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED);
    let caching = if is_lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// `GET /matches`: those that the client may see, open ones first, the latest vote first.
pub async fn matches(
    State(shared): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let access = match access(&shared, &headers, &query) {
        Ok(access) => access,
        Err(refused) => return refused,
    };
    // No match has an empty name: nothing rings for this answer, so it lives as long as totals do.
    let question = Question { match_id: String::new(), path: format!("{:?}", access.matches()) };
    match shared.hub.cache.get(question, true, None, read(&shared, &access)).await {
        Ok((answer, _)) => respond(&answer, &headers),
        Err(e) => failed(&shared.hub, "(all)", &e),
    }
}

async fn read(shared: &Shared, access: &Access) -> Result<Answer> {
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
