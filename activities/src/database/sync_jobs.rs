//! Jobs of the platform, read only: what they do, how they ended, and with which configuration they were started.
//!
//! The row is the truth: a workflow of the platform may complete although its job never ran, and the API may be away.
//! Only columns that every known generation of the platform has are named; the configuration is looked for under both
//! of its names.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Database;
use super::classify::During;
use super::text_enum::text_enum;
use crate::error::{Error, ErrorKind, Result};

text_enum! {
    /// How far a job is, in the platform's words.
    pub enum JobStatus {
        /// Known and not asked for yet.
        Created = "created",
        /// Waits for a worker.
        Pending = "pending",
        /// At work.
        Running = "running",
        /// Did what it was asked for, as far as the platform knows.
        Completed = "completed",
        /// Gave up.
        Failed = "failed",
        /// Was asked to stop.
        Cancelling = "cancelling",
        /// Stopped.
        Cancelled = "cancelled",
    }
}

impl JobStatus {
    /// Whether nothing will become of it any more.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether the platform starts no other job of the sync beside it.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Cancelling)
    }
}

/// A job of the platform.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SyncJob {
    /// Its id.
    pub job_id: Uuid,
    /// How far it is.
    pub status: JobStatus,
    /// Whether a schedule started it.
    pub scheduled: bool,
    /// Entities written because they were new.
    #[sqlx(try_from = "i64")]
    pub inserted: u64,
    /// Entities written because they had changed.
    #[sqlx(try_from = "i64")]
    pub updated: u64,
    /// Entities removed.
    #[sqlx(try_from = "i64")]
    pub deleted: u64,
    /// Entities that were as before.
    #[sqlx(try_from = "i64")]
    pub kept: u64,
    /// Entities that were left out.
    #[sqlx(try_from = "i64")]
    pub skipped: u64,
    /// Entities that the source named, by class, as the platform keeps it.
    pub encountered: Option<Json<Value>>,
    /// What it failed with, in the platform's words.
    pub error: Option<String>,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// What it was configured with beyond the sync's own settings.
    pub configuration: Option<Json<Value>>,
    /// Marks that whoever started it gave it.
    pub tags: Option<Json<Value>>,
}

impl SyncJob {
    /// Entities that the source named, of all classes.
    #[must_use]
    pub fn entities_encountered(&self) -> u64 {
        let classes = self.encountered.as_ref().and_then(|it| it.as_object());
        classes.map_or(0, |classes| classes.values().filter_map(Value::as_u64).sum())
    }

    /// The job as it is shown.
    #[must_use]
    pub fn view(&self) -> proto::v1::PlatformJob {
        let time = |time: Option<DateTime<Utc>>| {
            time.map(|it| it.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
        };
        proto::v1::PlatformJob {
            sync_job_id: self.job_id.to_string(),
            status: self.status.as_str().to_owned(),
            encountered: self.entities_encountered(),
            inserted: self.inserted,
            updated: self.updated,
            deleted: self.deleted,
            kept: self.kept,
            skipped: self.skipped,
            error: self.error.clone().unwrap_or_default(),
            started_at: time(self.started_at),
            ended_at: time(self.ended_at),
            status_by_api: String::new(),
        }
    }
}

/// How the platform's route that rebuilds the raw store wants its configuration, by what its table of jobs keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigurationForm {
    /// One flat object.
    Flat,
    /// Objects of one subject each, beside marks.
    Nested,
}

/// A statement that reads jobs: the columns of the row `job`, then what follows.
macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "SELECT job.id AS job_id, job.status, job.scheduled,
                    job.entities_inserted::bigint AS inserted, job.entities_updated::bigint AS updated,
                    job.entities_deleted::bigint AS deleted, job.entities_kept::bigint AS kept,
                    job.entities_skipped::bigint AS skipped, job.entities_encountered::jsonb AS encountered,
                    left(job.error, 4000) AS error, job.started_at AT TIME ZONE 'UTC' AS started_at,
                    coalesce(job.completed_at, job.failed_at) AT TIME ZONE 'UTC' AS ended_at,
                    nullif(coalesce(to_jsonb(job) -> 'sync_config', to_jsonb(job) -> 'execution_config_json'), 'null')
                        AS configuration,
                    to_jsonb(job) #> '{sync_metadata,tags}' AS tags
             FROM public.sync_job AS job
             WHERE job.sync_id = $1 AND job.organization_id = $2 ",
            $rest
        )
    };
}

/// One job of a sync.
///
/// # Errors
/// `NotFound` when the sync of that organisation has no such job (any more).
pub async fn get(database: &Database, organization_id: Uuid, sync_id: Uuid, job_id: Uuid) -> Result<SyncJob> {
    sqlx::query_as(select_jobs!("AND job.id = $3"))
        .bind(sync_id)
        .bind(organization_id)
        .bind(job_id)
        .fetch_optional(database.pool())
        .await
        .during("looking at the platform's job")?
        .ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("job {job_id} of sync {sync_id} does not exist at the platform"))
        })
}

/// The oldest active job of a sync.
pub(super) async fn active(
    connection: &mut PgConnection,
    organization_id: Uuid,
    sync_id: Uuid,
) -> Result<Option<SyncJob>> {
    sqlx::query_as(select_jobs!(
        "AND job.status IN ('pending', 'running', 'cancelling') ORDER BY job.created_at, job.id LIMIT 1"
    ))
    .bind(sync_id)
    .bind(organization_id)
    .fetch_optional(connection)
    .await
    .during("looking for active jobs")
}

/// The newest jobs of a sync, at most 100, that are none of `known`, were not started by a schedule and are no fence.
pub(super) async fn unknown(
    connection: &mut PgConnection,
    organization_id: Uuid,
    sync_id: Uuid,
    known: &[Uuid],
) -> Result<Vec<SyncJob>> {
    let newest: Vec<SyncJob> = sqlx::query_as(select_jobs!("ORDER BY job.created_at DESC, job.id LIMIT 100"))
        .bind(sync_id)
        .bind(organization_id)
        .fetch_all(&mut *connection)
        .await
        .during("looking for new jobs")?;
    // A fence keeps the platform's jobs away by a job of its own.
    let fence: Option<String> = sqlx::query_scalar(
        "SELECT to_jsonb(state) ->> 'fence_job_id' FROM sync_multiplexer.sync_state AS state
         WHERE sync_id = $1 AND organization_id = $2",
    )
    .bind(sync_id)
    .bind(organization_id)
    .fetch_optional(connection)
    .await
    .during("looking for the fence")?
    .flatten();
    let is_ours = |job: &SyncJob| fence.as_ref().is_some_and(|fence| *fence == job.job_id.to_string());
    Ok(newest.into_iter().filter(|job| !job.scheduled && !known.contains(&job.job_id) && !is_ours(job)).collect())
}

/// How this platform's route for rebuilding the raw store is to be asked.
///
/// # Errors
/// `Conflict` when the platform is too old to have one.
pub async fn configuration_form(database: &Database) -> Result<ConfigurationForm> {
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = 'public.sync_job'::regclass AND attname IN ('sync_config', 'execution_config_json')
           AND NOT attisdropped",
    )
    .fetch_all(database.pool())
    .await
    .during("looking at how the platform configures jobs")?;
    let has = |name: &str| columns.iter().any(|column| column == name);
    if has("sync_config") {
        Ok(ConfigurationForm::Nested)
    } else if has("execution_config_json") {
        Ok(ConfigurationForm::Flat)
    } else {
        Err(Error::new(
            ErrorKind::Conflict,
            "this platform is of a version that cannot rebuild its raw store: its jobs have no configuration. \
             Upgrade it, or resync without a rebuild, which captures what changed",
        ))
    }
}
