//! What a worker answers to probes and scrapers: `/livez`, `/readyz` and `/metrics`. Nothing else, and nothing of a tenant.
//!
//! Off unless an address is given. There is no authentication, so the address belongs on this machine or on a network where
//! everybody may read how many entities there are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use activities::database::Database;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tower::limit::GlobalConcurrencyLimitLayer;
use workflows::domain::ErrorKind;

use super::{PROMETHEUS_CONTENT_TYPE, prometheus_text};
use crate::output::Failure;

/// Requests answered at a time.
const MOST_REQUESTS: usize = 8;

/// How long the database may take to show that it is there.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// Whether a worker takes work: true while it polls Temporal.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on it takes work, or does not.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }
}

/// Answers until it is dropped.
pub struct Server {
    /// Where; with the port that was found for port 0.
    pub address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Begins to answer at `address`.
///
/// # Errors
///
/// `InvalidInput` when nothing can listen there.
pub async fn serve(address: SocketAddr, readiness: Readiness, database: Database) -> Result<Server, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(ErrorKind::InvalidInput, format!("metrics cannot be served at {address}: {error}"))
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state((readiness, database))
        .layer(GlobalConcurrencyLimitLayer::new(MOST_REQUESTS));
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "metrics are not served any more");
        }
    });
    Ok(Server { address, serving })
}

async fn ready(State((readiness, database)): State<(Readiness, Database)>) -> Response {
    if !readiness.0.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "not polling Temporal\n").into_response();
    }
    let ping = database.pool().acquire();
    match tokio::time::timeout(PING_LIMIT, ping).await {
        Ok(Ok(_)) => "ok\n".into_response(),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    }
}

/// The metrics of this process, as Prometheus reads them.
pub(crate) async fn scrape() -> Response {
    match prometheus_text() {
        Ok(text) => ([(CONTENT_TYPE, PROMETHEUS_CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::warn!(%error, "metrics cannot be written down");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
