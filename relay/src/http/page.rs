//! The live map: a folder of built files at `/`.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::reply::refuse;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use std::path::Path;
use tower_http::services::{ServeDir, ServeFile};

/// The page may load files of this relay only. Styles that scripts set need no entry. Icons of the map's controls stand in its
/// style sheet as `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; \
                      img-src 'self' data: blob:; base-uri 'none'; form-action 'none'";

/// The folder of files that the build names after their content.
const HASHED: &str = "/assets/";

/// The page at `/` from a folder, or a hint how to build one.
pub fn page(config: &Config) -> Router {
    let Some(folder) = config.map_dir.as_deref() else {
        let hint = "this relay serves no map: build it with `make map` and start the relay with --map-dir=client/map/dist";
        let nothing = Router::new().fallback(async |request: Request| match request.uri().path() {
            "/" => refuse(StatusCode::NOT_FOUND, "no_map", hint),
            _ => refuse(StatusCode::NOT_FOUND, "not_found", "nothing is here"),
        });
        // A fallback without its state would build all layers anew for each request. Socket.IO's layer knows its clients: one
        // that polls would be unknown with its second request.
        return nothing.with_state(());
    };
    let files = ServeDir::new(folder).precompressed_br().precompressed_gzip();
    let policy = HeaderValue::from_str(&format!("{POLICY}; frame-ancestors {}", config.frame_ancestors.join(" ")));
    // It always is a header: settings with other letters are refused.
    let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
    // The same page without its frame: its script looks at the address.
    let embedded = ServeFile::new(folder.join("index.html")).precompressed_br().precompressed_gzip();
    Router::new().route_service("/embed", embedded).fallback_service(files).layer(from_fn_with_state(policy, with_headers))
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

async fn with_headers(State(policy): State<HeaderValue>, request: Request, next: Next) -> Response {
    let is_hashed = request.uri().path().starts_with(HASHED);
    let mut response = next.run(request).await;
    let is_lasting = is_hashed && (response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED);
    let caching = if is_lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
