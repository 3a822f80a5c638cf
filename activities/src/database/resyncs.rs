//! What a resync has of the platform: whether its job was asked for, and which one it is.
//!
//! The invariant is that a resync asks for one job. So that the platform is asked is recorded [before](mark_posted) it
//! is, together with the jobs there are; an answer that was lost is [found](appeared) among the jobs, and [`take_back`]
//! is for answers that say for certain that there is no job.

use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use super::sync_jobs::{self, SyncJob};
use super::{Database, sync_lock};
use crate::error::{Error, ErrorKind, Result};

/// Names a resync so that tenants cannot meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResyncScope {
    /// The tenant.
    pub organization_id: Uuid,
    /// The sync.
    pub sync_id: Uuid,
    /// The operation, recorded already.
    pub operation_id: Uuid,
}

/// A resync, as it is recorded.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Resync {
    /// Whether the raw store is to be rebuilt.
    pub rebuild: bool,
    /// Objects in the raw store before.
    #[sqlx(try_from = "i64")]
    pub objects_before: u64,
    /// Entities of the platform before.
    #[sqlx(try_from = "i64")]
    pub known_before: u64,
    /// Seconds since it began, by the database's clock.
    pub begun_for: f64,
    /// Seconds since the platform was asked, when it was and the answer did not say that there is no job.
    pub posted_for: Option<f64>,
    /// Jobs that were there then.
    pub jobs_before: Option<Vec<Uuid>>,
    /// The platform's job.
    pub job_id: Option<Uuid>,
}

/// Whether the platform may be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Posting {
    /// It may, and is about to be: that is on record now.
    Go,
    /// A job of the sync is active.
    Occupied(Box<SyncJob>),
}

/// Records what was there before. Repeated it answers what was recorded first.
///
/// # Errors
/// `Internal` when the operation is not recorded.
pub async fn open(
    database: &Database,
    scope: &ResyncScope,
    rebuild: bool,
    objects_before: u64,
    known_before: u64,
) -> Result<Resync> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO sync_multiplexer.resync
             (operation_id, organization_id, sync_id, rebuild, objects_before, known_before)
         SELECT operation_id, organization_id, sync_id, $4, $5, $6 FROM sync_multiplexer.operation
         WHERE operation_id = $1 AND organization_id = $2 AND sync_id = $3
         ON CONFLICT (operation_id) DO NOTHING",
    )
    .bind(scope.operation_id)
    .bind(scope.organization_id)
    .bind(scope.sync_id)
    .bind(rebuild)
    .bind(count(objects_before))
    .bind(count(known_before))
    .execute(database.pool())
    .await
    .during("recording the resync")?;
    get(database, scope).await
}

/// The recorded resync, or nothing when it was not opened.
///
/// # Errors
/// Those of the database.
pub async fn find(database: &Database, scope: &ResyncScope) -> Result<Option<Resync>> {
    let mut connection = database.pool().acquire().await.during("reading the resync")?;
    read(&mut connection, scope).await
}

/// The recorded resync.
///
/// # Errors
/// `NotFound` when it was not opened.
pub async fn get(database: &Database, scope: &ResyncScope) -> Result<Resync> {
    find(database, scope).await?.ok_or_else(|| not_found(scope))
}

/// Refuses a resync while a fence keeps jobs of the platform away from the sync.
///
/// # Errors
/// `Conflict`, naming the operation behind the fence.
pub async fn require_no_fence(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<()> {
    let mut connection = database.pool().acquire().await.during("looking for a fence")?;
    no_fence(&mut connection, organization_id, sync_id).await
}

/// The oldest active job of the sync.
///
/// # Errors
/// Those of the database.
pub async fn active_job(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<Option<SyncJob>> {
    let mut connection = database.pool().acquire().await.during("looking for active jobs")?;
    sync_jobs::active(&mut connection, organization_id, sync_id).await
}

/// Records that the platform is about to be asked, unless a job is active.
///
/// # Errors
/// `Conflict` while a fence stands, or when the platform was asked already.
pub async fn mark_posted(database: &Database, scope: &ResyncScope) -> Result<Posting> {
    const DOING: &str = "recording that the platform is asked";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    sync_lock::lock(&mut transaction, scope.organization_id, scope.sync_id).await?;
    no_fence(&mut transaction, scope.organization_id, scope.sync_id).await?;
    if let Some(job) = sync_jobs::active(&mut transaction, scope.organization_id, scope.sync_id).await? {
        return Ok(Posting::Occupied(Box::new(job)));
    }
    // Many more than are looked at later: an old job is not taken for a new one because some between them were removed.
    let marked = sqlx::query(
        "UPDATE sync_multiplexer.resync
         SET posted_at = clock_timestamp(),
             jobs_before = ARRAY(SELECT id FROM public.sync_job
                                 WHERE sync_id = $3 AND organization_id = $2
                                 ORDER BY created_at DESC LIMIT 1000)
         WHERE operation_id = $1 AND organization_id = $2 AND sync_id = $3 AND posted_at IS NULL",
    )
    .bind(scope.operation_id)
    .bind(scope.organization_id)
    .bind(scope.sync_id)
    .execute(&mut *transaction)
    .await
    .during(DOING)?
    .rows_affected();
    if marked == 0 {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("another attempt of operation {} is asking the platform already", scope.operation_id),
        ));
    }
    transaction.commit().await.during(DOING)?;
    Ok(Posting::Go)
}

/// Records that no job came of asking the platform.
///
/// # Errors
/// Those of the database.
pub async fn take_back(database: &Database, scope: &ResyncScope) -> Result<()> {
    sqlx::query(
        "UPDATE sync_multiplexer.resync SET posted_at = NULL, jobs_before = NULL
         WHERE operation_id = $1 AND organization_id = $2 AND sync_id = $3 AND sync_job_id IS NULL",
    )
    .bind(scope.operation_id)
    .bind(scope.organization_id)
    .bind(scope.sync_id)
    .execute(database.pool())
    .await
    .during("recording that no job came of it")?;
    Ok(())
}

/// Jobs that nobody scheduled and that were not there when the platform was asked; newest first.
///
/// # Errors
/// `NotFound` when the resync was not opened.
pub async fn appeared(database: &Database, scope: &ResyncScope) -> Result<Vec<SyncJob>> {
    let mut connection = database.pool().acquire().await.during("looking for new jobs")?;
    let resync = read(&mut connection, scope).await?.ok_or_else(|| not_found(scope))?;
    let Some(known) = resync.jobs_before else { return Ok(Vec::new()) };
    sync_jobs::unknown(&mut connection, scope.organization_id, scope.sync_id, &known).await
}

/// Records which job is the resync's. The first one stays.
///
/// # Errors
/// `Internal` when that is no job of the sync, or the resync has another one.
pub async fn record_job(database: &Database, scope: &ResyncScope, job_id: Uuid) -> Result<()> {
    let recorded = sqlx::query(
        "UPDATE sync_multiplexer.resync SET sync_job_id = $4
         WHERE operation_id = $1 AND organization_id = $2 AND sync_id = $3
           AND (sync_job_id IS NULL OR sync_job_id = $4)
           AND EXISTS (SELECT FROM public.sync_job WHERE id = $4 AND sync_id = $3 AND organization_id = $2)",
    )
    .bind(scope.operation_id)
    .bind(scope.organization_id)
    .bind(scope.sync_id)
    .bind(job_id)
    .execute(database.pool())
    .await
    .during("recording the platform's job")?
    .rows_affected();
    if recorded == 1 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Internal,
        format!(
            "job {job_id}, which the platform named, is no job of sync {}, or the resync has another",
            scope.sync_id
        ),
    ))
}

async fn no_fence(connection: &mut PgConnection, organization_id: Uuid, sync_id: Uuid) -> Result<()> {
    let owner: Option<Uuid> = sqlx::query_scalar(
        "SELECT fence_owner FROM sync_multiplexer.sync_state
         WHERE sync_id = $1 AND organization_id = $2 AND fence_expires_at > clock_timestamp()",
    )
    .bind(sync_id)
    .bind(organization_id)
    .fetch_optional(connection)
    .await
    .during("looking for a fence")?
    .flatten();
    owner.map_or(Ok(()), |owner| {
        Err(Error::new(
            ErrorKind::Conflict,
            format!("operation {owner} is switching sync {sync_id} and keeps jobs away: resync when it is done"),
        ))
    })
}

async fn read(connection: &mut PgConnection, scope: &ResyncScope) -> Result<Option<Resync>> {
    sqlx::query_as(
        "SELECT rebuild, objects_before, known_before,
                extract(epoch FROM clock_timestamp() - begun_at)::double precision AS begun_for,
                extract(epoch FROM clock_timestamp() - posted_at)::double precision AS posted_for,
                jobs_before, sync_job_id AS job_id
         FROM sync_multiplexer.resync WHERE operation_id = $1 AND organization_id = $2 AND sync_id = $3",
    )
    .bind(scope.operation_id)
    .bind(scope.organization_id)
    .bind(scope.sync_id)
    .fetch_optional(connection)
    .await
    .during("reading the resync")
}

fn not_found(scope: &ResyncScope) -> Error {
    Error::new(ErrorKind::NotFound, format!("resync {} of sync {} does not exist", scope.operation_id, scope.sync_id))
}
