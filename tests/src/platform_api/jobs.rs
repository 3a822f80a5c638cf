//! A job: a row that is pending, then running, then ended, and what it does meanwhile.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::script::Ending;
use super::source::Pulled;
use super::{Platform, configuration};

/// How soon a job notices that it was cancelled.
const NOTICES_WITHIN: Duration = Duration::from_millis(20);

/// Adds a row and begins to work on it.
pub(super) async fn start(
    platform: &Arc<Platform>,
    scheduled: bool,
    configuration: Option<Value>,
    tags: Vec<String>,
) -> Uuid {
    let job_id = Uuid::new_v4();
    let everything = configuration.as_ref().is_some_and(configuration::captures_everything);
    insert(platform, job_id, scheduled, configuration, tags).await;
    let ending = platform.script.lock().expect("no request panicked").endings.pop_front().unwrap_or_default();
    let working = tokio::spawn(work(Arc::clone(platform), job_id, everything, ending));
    platform.jobs.lock().expect("no request panicked").push(working.abort_handle());
    job_id
}

async fn insert(platform: &Platform, job_id: Uuid, scheduled: bool, configuration: Option<Value>, tags: Vec<String>) {
    sqlx::query(
        "INSERT INTO public.sync_job (id, created_at, modified_at, organization_id, sync_id, status, scheduled,
             entities_inserted, entities_updated, entities_deleted, entities_kept, entities_skipped)
         VALUES ($1, clock_timestamp() AT TIME ZONE 'UTC', clock_timestamp() AT TIME ZONE 'UTC', $2, $3, 'pending', $4,
                 0, 0, 0, 0, 0)",
    )
    .bind(job_id)
    .bind(platform.organization_id)
    .bind(platform.sync_id)
    .bind(scheduled)
    .execute(&platform.pool)
    .await
    .expect("a job can be added");
    let metadata = (!tags.is_empty()).then(|| ("sync_metadata", json!({ "tags": tags })));
    let kept = configuration::column(platform.options.version).zip(configuration);
    for (column, value) in kept.into_iter().chain(metadata) {
        let statement = format!("UPDATE public.sync_job SET {column} = $1 WHERE id = $2");
        sqlx::query(AssertSqlSafe(statement))
            .bind(value)
            .bind(job_id)
            .execute(&platform.pool)
            .await
            .expect("a job can be configured");
    }
}

async fn work(platform: Arc<Platform>, job_id: Uuid, everything: bool, ending: Ending) {
    if !step(&platform, job_id, "status = 'running', started_at = clock_timestamp() AT TIME ZONE 'UTC'").await {
        cancelled(&platform, job_id, &ending).await;
        return;
    }
    let mut held = platform.held.subscribe();
    loop {
        if status(&platform, job_id).await == "cancelling" {
            return cancelled(&platform, job_id, &ending).await;
        }
        if !*held.borrow_and_update() {
            break;
        }
        // A wait that is over early is only a look more.
        let _ = tokio::time::timeout(NOTICES_WITHIN, held.changed()).await;
    }
    match &ending {
        Ending::Failed(words) => {
            sqlx::query(
                "UPDATE public.sync_job SET status = 'failed', error = $2, failed_at = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE id = $1",
            )
            .bind(job_id)
            .bind(words)
            .execute(&platform.pool)
            .await
            .expect("a job can fail");
        }
        Ending::Cancelled => {
            step(&platform, job_id, "status = 'cancelled'").await;
        }
        Ending::Empty => {
            let done = "status = 'completed', entities_encountered = '{}', \
                        completed_at = clock_timestamp() AT TIME ZONE 'UTC'";
            step(&platform, job_id, done).await;
        }
        Ending::Well | Ending::Deaf => {
            let pulled = platform.source.lock().await.pull(everything);
            if !everything {
                record(&platform, job_id, &pulled).await;
            }
            complete(&platform, job_id, &pulled).await;
        }
    }
}

/// Changes the row of a job that nobody cancelled; answers whether it did.
async fn step(platform: &Platform, job_id: Uuid, change: &str) -> bool {
    let statement = format!(
        "UPDATE public.sync_job SET {change}, modified_at = clock_timestamp() AT TIME ZONE 'UTC'
         WHERE id = $1 AND status <> 'cancelling'"
    );
    let changed =
        sqlx::query(AssertSqlSafe(statement)).bind(job_id).execute(&platform.pool).await.expect("a job can be changed");
    changed.rows_affected() == 1
}

async fn cancelled(platform: &Platform, job_id: Uuid, ending: &Ending) {
    if *ending == Ending::Deaf {
        return;
    }
    sqlx::query("UPDATE public.sync_job SET status = 'cancelled' WHERE id = $1 AND status = 'cancelling'")
        .bind(job_id)
        .execute(&platform.pool)
        .await
        .expect("a job can be cancelled");
}

async fn complete(platform: &Platform, job_id: Uuid, pulled: &Pulled) {
    let count = |count: usize| i32::try_from(count).expect("a test store is small");
    sqlx::query(
        "UPDATE public.sync_job
         SET status = 'completed', completed_at = clock_timestamp() AT TIME ZONE 'UTC',
             modified_at = clock_timestamp() AT TIME ZONE 'UTC', entities_inserted = $2, entities_updated = $3,
             entities_deleted = $4, entities_kept = $5, entities_encountered = $6
         WHERE id = $1",
    )
    .bind(job_id)
    .bind(count(pulled.inserted.len()))
    .bind(count(pulled.updated.len()))
    .bind(count(pulled.deleted.len()))
    .bind(count(pulled.kept))
    .bind(json!(pulled.encountered))
    .execute(&platform.pool)
    .await
    .expect("a job can complete");
}

/// What the platform knows of entities afterwards.
async fn record(platform: &Platform, job_id: Uuid, pulled: &Pulled) {
    sqlx::query("DELETE FROM public.entity WHERE sync_id = $1 AND entity_id = ANY ($2)")
        .bind(platform.sync_id)
        .bind(&pulled.deleted)
        .execute(&platform.pool)
        .await
        .expect("entities can be forgotten");
    sqlx::query(
        "INSERT INTO public.entity (id, created_at, modified_at, organization_id, sync_id, sync_job_id, entity_id, hash)
         SELECT gen_random_uuid(), now(), now(), $1, $2, $3, entity_id, '' FROM unnest($4::text[]) AS entity_id",
    )
    .bind(platform.organization_id)
    .bind(platform.sync_id)
    .bind(job_id)
    .bind(&pulled.inserted)
    .execute(&platform.pool)
    .await
    .expect("entities can be added");
}

pub(super) async fn status(platform: &Platform, job_id: Uuid) -> String {
    sqlx::query_scalar("SELECT status FROM public.sync_job WHERE id = $1")
        .bind(job_id)
        .fetch_optional(&platform.pool)
        .await
        .expect("a job can be looked at")
        .unwrap_or_default()
}
