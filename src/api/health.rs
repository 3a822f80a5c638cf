//! Probes: `/livez` says that the process serves, `/readyz` that it can do what it is for. `/metrics` is for scrapers: it counts
//! requests by route, and knows nothing of tenants.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Api;
use crate::telemetry::server::scrape;
use crate::temporal;

/// How long each of the others may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/livez", get(async || Json(json!({ "status": "alive" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
}

/// Asks the database and Temporal. A missing worker is told, and is no reason to send callers elsewhere.
async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, Json<Value>) {
    let database = async {
        match tokio::time::timeout(PATIENCE, api.database.migration_status()).await {
            Ok(Ok(status)) if status.is_current() => Ok("schema up to date".to_owned()),
            Ok(Ok(_)) => Err("the schema is not up to date; run `syncmux migrate`".to_owned()),
            Ok(Err(error)) => Err(error.message().to_owned()),
            Err(_) => Err("it does not answer".to_owned()),
        }
    };
    let workers = async {
        let asked = async { temporal::pollers(&api.client().await?, &api.temporal.task_queue).await };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(workers)) => Ok(format!("{workers} workers poll {}", api.temporal.task_queue)),
            Ok(Err(failure)) => Err(failure.message().to_owned()),
            Err(_) => Err("it does not answer".to_owned()),
        }
    };
    let (database, workers) = futures::join!(database, workers);
    let is_ready = database.is_ok() && workers.is_ok() && !*api.stopping.borrow();
    let told = |check: Result<String, String>| match check {
        Ok(says) => json!({ "ok": true, "says": says }),
        Err(says) => json!({ "ok": false, "says": says }),
    };
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if is_ready { "ready" } else { "not ready" };
    (status, Json(json!({ "status": word, "database": told(database), "temporal": told(workers) })))
}
