//! Jobs of the platform: which of them are active, and the row of our own that keeps others from starting.
//!
//! The platform refuses or skips a job of a sync that has one which is pending, running or cancelling. It looks before it
//! inserts, and takes no lock. Inserting takes `FOR KEY SHARE` on the sync's row, though, because of the foreign key; so
//! whoever holds that row [`FOR UPDATE`](lock_sync) sees every job there is, and none is added until the transaction ends.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use super::sync_lock;
use crate::error::Result;

/// A job of the platform, as far as a fence is concerned.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PlatformJob {
    /// Its id.
    pub job_id: Uuid,
    /// Its status in the platform's words.
    pub status: String,
    /// When it started, or was made when it has not.
    pub since: DateTime<Utc>,
}

/// Locks the sync's own row, so that no job is added until the end of the transaction. The sync's lock is held already.
pub(super) async fn lock_sync(connection: &mut PgConnection, organization_id: Uuid, sync_id: Uuid) -> Result<()> {
    let found: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM public.sync WHERE id = $1 AND organization_id = $2 FOR UPDATE")
            .bind(sync_id)
            .bind(organization_id)
            .fetch_optional(connection)
            .await
            .during("keeping jobs from being added")?;
    found.map_or_else(|| Err(sync_lock::not_found(sync_id)), |_| Ok(()))
}

/// The oldest active job of a sync beside `own`.
pub(super) async fn active(
    connection: &mut PgConnection,
    organization_id: Uuid,
    sync_id: Uuid,
    own: Option<Uuid>,
) -> Result<Option<PlatformJob>> {
    sqlx::query_as(
        "SELECT id AS job_id, status, coalesce(started_at, created_at) AT TIME ZONE 'UTC' AS since
         FROM public.sync_job
         WHERE sync_id = $1 AND organization_id = $2 AND status IN ('pending', 'running', 'cancelling')
           AND id IS DISTINCT FROM $3
         ORDER BY created_at, id LIMIT 1",
    )
    .bind(sync_id)
    .bind(organization_id)
    .bind(own)
    .fetch_optional(connection)
    .await
    .during("looking for active jobs")
}

/// The newest job of a sync beside `own`, whatever became of it.
pub(super) async fn newest(
    connection: &mut PgConnection,
    organization_id: Uuid,
    sync_id: Uuid,
    own: Uuid,
) -> Result<Option<PlatformJob>> {
    sqlx::query_as(
        "SELECT id AS job_id, status, coalesce(started_at, created_at) AT TIME ZONE 'UTC' AS since
         FROM public.sync_job
         WHERE sync_id = $1 AND organization_id = $2 AND id <> $3
         ORDER BY created_at DESC, id DESC LIMIT 1",
    )
    .bind(sync_id)
    .bind(organization_id)
    .bind(own)
    .fetch_optional(connection)
    .await
    .during("looking for the newest job")
}

/// How many jobs a sync ever had, beside `own`.
pub(super) async fn count_others(
    connection: &mut PgConnection,
    organization_id: Uuid,
    sync_id: Uuid,
    own: Uuid,
) -> Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM public.sync_job WHERE sync_id = $1 AND organization_id = $2 AND id <> $3")
        .bind(sync_id)
        .bind(organization_id)
        .bind(own)
        .fetch_one(connection)
        .await
        .during("counting the jobs")
}

/// Adds a job of our own that runs, as far as the platform can see. The platform's reaper of stuck jobs leaves one alone that
/// is running and never reported progress; where jobs have a configuration, it says so as well.
pub(super) async fn add(
    connection: &mut PgConnection,
    organization_id: Uuid,
    sync_id: Uuid,
    job_id: Uuid,
) -> Result<()> {
    const DOING: &str = "adding the job that keeps others away";
    // Every column that some version of the platform has without a default.
    sqlx::query(
        "INSERT INTO public.sync_job
             (id, created_at, modified_at, organization_id, sync_id, status, scheduled, started_at,
              entities_inserted, entities_updated, entities_deleted, entities_kept, entities_skipped)
         VALUES ($1, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', $2, $3, 'running', false,
                 now() AT TIME ZONE 'UTC', 0, 0, 0, 0, 0)",
    )
    .bind(job_id)
    .bind(organization_id)
    .bind(sync_id)
    .execute(&mut *connection)
    .await
    .during(DOING)?;
    let has_configuration: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_attribute
                        WHERE attrelid = 'public.sync_job'::regclass AND attname = 'sync_config' AND NOT attisdropped)",
    )
    .fetch_one(&mut *connection)
    .await
    .during(DOING)?;
    if has_configuration {
        sqlx::query(
            "UPDATE public.sync_job SET sync_config = '{\"handlers\": {\"enable_postgres_handler\": false}}'
             WHERE id = $1 AND organization_id = $2",
        )
        .bind(job_id)
        .bind(organization_id)
        .execute(connection)
        .await
        .during(DOING)?;
    }
    Ok(())
}

/// Whether a job of our own still runs, as far as the platform can see.
pub(super) async fn is_running(connection: &mut PgConnection, organization_id: Uuid, job_id: Uuid) -> Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM public.sync_job WHERE id = $1 AND organization_id = $2 AND status = 'running')",
    )
    .bind(job_id)
    .bind(organization_id)
    .fetch_one(connection)
    .await
    .during("looking at the job that keeps others away")
}

/// Removes a job of our own. No row of the platform refers to it: it never did anything.
pub(super) async fn remove(
    connection: &mut PgConnection,
    organization_id: Uuid,
    sync_id: Uuid,
    job_id: Uuid,
) -> Result<()> {
    sqlx::query("DELETE FROM public.sync_job WHERE id = $1 AND organization_id = $2 AND sync_id = $3")
        .bind(job_id)
        .bind(organization_id)
        .bind(sync_id)
        .execute(connection)
        .await
        .during("removing the job that kept others away")?;
    Ok(())
}
