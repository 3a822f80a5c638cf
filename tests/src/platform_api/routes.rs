//! The routes.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream;
use serde_json::{Value, json};
use sqlx::Row as _;
use uuid::Uuid;

use super::script::Fault;
use super::{Asked, Platform, Version, access, configuration, jobs};

/// Status and body of an answer that is JSON.
pub(super) type Answer = (StatusCode, Value);

type Shared = State<Arc<Platform>>;

/// Larger than any answer that anybody should read.
const ENDLESS_BYTES: usize = 32 * 1024 * 1024;

/// The routes that are modelled. As the platform's, each is there with and without a slash at its end.
pub(super) fn router(platform: Arc<Platform>) -> Router {
    let mut router = Router::new();
    for slash in ["", "/"] {
        router = router
            .route(&format!("/source-connections/{{id}}/run{slash}"), post(run))
            .route(&format!("/source-connections/{{id}}/jobs{slash}"), get(list))
            .route(&format!("/source-connections/{{id}}/jobs/{{job}}/cancel{slash}"), post(cancel));
        if platform.options.version != Version::Original {
            router = router.route(&format!("/admin/resync/{{sync}}{slash}"), post(resync));
        }
    }
    router.fallback(unknown).with_state(platform)
}

async fn unknown() -> Response {
    answer((StatusCode::NOT_FOUND, json!({ "detail": "Not Found" })))
}

async fn run(
    State(platform): Shared,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = query.unwrap_or_default();
    note(&platform, format!("POST /source-connections/{id}/run?{query}"), &headers, &body);
    let checked = access::own(&platform, &headers).and_then(|()| {
        of_connection(&platform, &id)?;
        if !body.is_empty() {
            return Err(misunderstood("body", "Extra inputs are not permitted"));
        }
        match query.as_str() {
            "" | "force_full_sync=false" => Ok(false),
            "force_full_sync=true" => Ok(true),
            _ => Err(misunderstood("query.force_full_sync", "Input should be a valid boolean")),
        }
    });
    let forced = match checked {
        Ok(forced) => forced,
        Err(refusal) => return answer(refusal),
    };
    if forced && !platform.options.has_cursor && platform.options.version == Version::Original {
        let detail = "Force full sync is only for syncs that have cursor data";
        return answer((StatusCode::BAD_REQUEST, json!({ "detail": detail })));
    }
    start_whoever_listens(platform, Shape::OfConnection, None, Vec::new()).await
}

async fn resync(State(platform): Shared, Path(sync): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    note(&platform, format!("POST /admin/resync/{sync}"), &headers, &body);
    if let Err(refusal) = access::admin(&platform, &headers) {
        return answer(refusal);
    }
    match Uuid::try_parse(&sync) {
        Err(_) => return answer(misunderstood("path.sync_id", "Input should be a valid UUID")),
        Ok(sync) if sync != platform.sync_id => {
            return answer((StatusCode::NOT_FOUND, json!({ "detail": format!("Sync {sync} not found") })));
        }
        Ok(_) => {}
    }
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"application/json"));
    let body: Value = match serde_json::from_slice(&body) {
        _ if body.is_empty() => Value::Null,
        Ok(body) if is_json => body,
        _ => return answer(misunderstood("body", "Input should be a valid dictionary")),
    };
    let (configuration, tags) = configuration::read(platform.options.version, &body);
    start_whoever_listens(platform, Shape::OfSync, configuration, tags).await
}

/// Starts a job even when the client does not wait for the answer: the platform does not notice that either.
async fn start_whoever_listens(
    platform: Arc<Platform>,
    shape: Shape,
    configuration: Option<Value>,
    tags: Vec<String>,
) -> Response {
    tokio::spawn(async move { start(&platform, shape, configuration, tags).await }).await.expect("no request panicked")
}

/// Starts a job, unless one is active or something else is to go wrong.
async fn start(platform: &Arc<Platform>, shape: Shape, configuration: Option<Value>, tags: Vec<String>) -> Response {
    let fault = platform.script.lock().expect("no request panicked").faults.pop_front();
    if let Some(refusal) = fault.as_ref().and_then(refusal) {
        return refusal;
    }
    let active: Option<String> = sqlx::query_scalar(
        "SELECT status FROM public.sync_job WHERE sync_id = $1 AND status IN ('pending', 'running', 'cancelling') LIMIT 1",
    )
    .bind(platform.sync_id)
    .fetch_optional(&platform.pool)
    .await
    .expect("jobs can be looked for");
    if let Some(status) = active {
        let detail = format!("Cannot start new sync: a sync job is already {status}");
        return answer((StatusCode::BAD_REQUEST, json!({ "detail": detail })));
    }
    let configuration = configuration.filter(|_| fault != Some(Fault::IgnoreConfiguration));
    if let Some(Fault::Slow(delay)) = &fault {
        tokio::time::sleep(*delay).await;
    }
    let job_id = jobs::start(platform, false, configuration, tags).await;
    let started = (StatusCode::OK, shown(platform, shape, job_id).await);
    match fault {
        Some(Fault::FailedAfterStart) => {
            answer((StatusCode::INTERNAL_SERVER_ERROR, json!({ "detail": "Internal Server Error" })))
        }
        Some(Fault::LoseAnswer) => {
            let begun = Ok(Bytes::from_static(b"{\"id\": \""));
            let broken = Err(io::Error::from(io::ErrorKind::ConnectionReset));
            Body::from_stream(stream::iter([begun, broken])).into_response()
        }
        Some(Fault::Garbage) => answer((StatusCode::OK, json!({ "ok": true }))),
        _ => answer(started),
    }
}

/// The answer to a request that starts nothing.
fn refusal(fault: &Fault) -> Option<Response> {
    let detail = |status, words: &str| Some(answer((status, json!({ "detail": words }))));
    match fault {
        Fault::Unauthorized => detail(StatusCode::UNAUTHORIZED, "No valid authentication provided"),
        Fault::Forbidden => detail(StatusCode::FORBIDDEN, "Invalid or expired API key"),
        Fault::NotFound => detail(StatusCode::NOT_FOUND, "Source connection not found"),
        Fault::Refused(words) => detail(StatusCode::BAD_REQUEST, words),
        Fault::Misunderstood => {
            Some(answer(misunderstood("body.execution_config", "Input should be a valid dictionary")))
        }
        Fault::SlowDown(seconds) => {
            let words = Json(json!({ "detail": "Rate limit exceeded" }));
            let headers = [(RETRY_AFTER, seconds.to_string())];
            Some((StatusCode::TOO_MANY_REQUESTS, headers, words).into_response())
        }
        Fault::Failed => detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        Fault::Unavailable => Some((StatusCode::SERVICE_UNAVAILABLE, "<html>no backend</html>").into_response()),
        Fault::Redirect(to) => Some((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to.clone())]).into_response()),
        Fault::Endless => Some(vec![b' '; ENDLESS_BYTES].into_response()),
        Fault::FailedAfterStart | Fault::LoseAnswer | Fault::Garbage | Fault::Slow(_) | Fault::IgnoreConfiguration => {
            None
        }
    }
}

async fn list(
    State(platform): Shared,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    note(&platform, format!("GET /source-connections/{id}/jobs?{query}"), &headers, b"");
    if let Err(refusal) = access::own(&platform, &headers).and_then(|()| of_connection(&platform, &id)) {
        return answer(refusal);
    }
    let limit: i64 = match query.strip_prefix("limit=").map(str::parse) {
        None if query.is_empty() => 100,
        Some(Ok(limit)) if (1..=1000).contains(&limit) => limit,
        _ => return answer(misunderstood("query.limit", "Input should be a valid integer")),
    };
    // The first version neither sorts nor stops.
    let (order, limit) = match platform.options.version {
        Version::Original => ("id", i64::MAX),
        _ => ("created_at DESC", limit),
    };
    let statement = format!("SELECT id FROM public.sync_job WHERE sync_id = $1 ORDER BY {order} LIMIT $2");
    let ids: Vec<Uuid> = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
        .bind(platform.sync_id)
        .bind(limit)
        .fetch_all(&platform.pool)
        .await
        .expect("jobs can be listed");
    let mut listed = Vec::new();
    for id in ids {
        listed.push(shown(&platform, Shape::OfConnection, id).await);
    }
    answer((StatusCode::OK, Value::Array(listed)))
}

async fn cancel(State(platform): Shared, Path((id, job)): Path<(String, String)>, headers: HeaderMap) -> Response {
    note(&platform, format!("POST /source-connections/{id}/jobs/{job}/cancel"), &headers, b"");
    if let Err(refusal) = access::own(&platform, &headers).and_then(|()| of_connection(&platform, &id)) {
        return answer(refusal);
    }
    let Ok(job) = Uuid::try_parse(&job) else {
        return answer(misunderstood("path.job_id", "Input should be a valid UUID"));
    };
    let asked = sqlx::query(
        "UPDATE public.sync_job SET status = 'cancelling', modified_at = clock_timestamp() AT TIME ZONE 'UTC'
         WHERE id = $1 AND sync_id = $2 AND status IN ('pending', 'running')",
    )
    .bind(job)
    .bind(platform.sync_id)
    .execute(&platform.pool)
    .await
    .expect("a job can be told to stop");
    match (asked.rows_affected(), jobs::status(&platform, job).await.as_str()) {
        (1, _) => answer((StatusCode::OK, shown(&platform, Shape::OfConnection, job).await)),
        (_, "") => answer((StatusCode::NOT_FOUND, json!({ "detail": "Sync job not found" }))),
        (_, status) => {
            answer((StatusCode::BAD_REQUEST, json!({ "detail": format!("Cannot cancel job in {status} state") })))
        }
    }
}

fn of_connection(platform: &Platform, id: &str) -> Result<(), Answer> {
    match Uuid::try_parse(id) {
        Err(_) => Err(misunderstood("path.source_connection_id", "Input should be a valid UUID")),
        Ok(id) if id == platform.source_connection_id => Ok(()),
        Ok(_) => Err((StatusCode::NOT_FOUND, json!({ "detail": "Source connection not found" }))),
    }
}

/// How a job is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// As part of a source connection.
    OfConnection,
    /// As the row it is.
    OfSync,
}

/// A job as the API shows it.
async fn shown(platform: &Platform, shape: Shape, job_id: Uuid) -> Value {
    let row = sqlx::query(
        "SELECT status, error, entities_inserted, entities_updated, entities_deleted,
                to_char(started_at, 'YYYY-MM-DD\"T\"HH24:MI:SS') AS started_at,
                to_char(completed_at, 'YYYY-MM-DD\"T\"HH24:MI:SS') AS completed_at
         FROM public.sync_job WHERE id = $1",
    )
    .bind(job_id)
    .fetch_one(&platform.pool)
    .await
    .expect("a job can be shown");
    if shape == Shape::OfSync {
        return json!({
            "sync_id": platform.sync_id,
            "status": row.get::<String, _>("status"),
            "scheduled": false,
            "entities_inserted": row.get::<i32, _>("entities_inserted"),
            "entities_updated": row.get::<i32, _>("entities_updated"),
            "entities_deleted": row.get::<i32, _>("entities_deleted"),
            "entities_kept": 0,
            "entities_skipped": 0,
            "entities_encountered": {},
            "error": row.get::<Option<String>, _>("error"),
            "access_token": null,
            "id": job_id,
            "organization_id": platform.organization_id,
            "sync_name": null,
        });
    }
    json!({
        "id": job_id,
        "source_connection_id": platform.source_connection_id,
        "status": row.get::<String, _>("status"),
        "started_at": row.get::<Option<String>, _>("started_at"),
        "completed_at": row.get::<Option<String>, _>("completed_at"),
        "duration_seconds": null,
        "entities_inserted": row.get::<i32, _>("entities_inserted"),
        "entities_updated": row.get::<i32, _>("entities_updated"),
        "entities_deleted": row.get::<i32, _>("entities_deleted"),
        "entities_failed": 0,
        "error": row.get::<Option<String>, _>("error"),
        "error_details": null,
    })
}

fn misunderstood(field: &str, words: &str) -> Answer {
    (StatusCode::UNPROCESSABLE_ENTITY, json!([{ field: words }]))
}

fn answer((status, body): Answer) -> Response {
    (status, Json(body)).into_response()
}

fn note(platform: &Platform, route: String, headers: &HeaderMap, body: &[u8]) {
    let (key, organization) = access::presented(headers);
    let route = route.trim_end_matches('?').to_owned();
    let asked = Asked { route, key, organization, body: serde_json::from_slice(body).ok() };
    platform.asked.lock().expect("no request panicked").push(asked);
}
