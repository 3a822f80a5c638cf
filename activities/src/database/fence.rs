//! The fence: for a short while no job of the platform runs for a sync, and nobody but its owner plans a replay for it.
//!
//! It has an owner, an operation, and it expires by itself; its owner renews it as long as it needs it. It stands in
//! `sync_state`, for us, and as a running job in the platform's `sync_job`, for the platform. A fence whose owner died is
//! taken over by the next one who raises one, and [`sweep`] removes what it left.
//!
//! The platform looks for active jobs before it inserts one, so one may still slip in while the fence goes up.
//! Nothing can keep that from happening; the flip notices it, and so does lowering, by what `slipped_in`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use super::platform_jobs::{self, PlatformJob};
use super::{Database, SlotScope, sync_lock};
use crate::error::{Error, ErrorKind, Result};

/// Whose fence, around which sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// The sync.
    pub sync_id: Uuid,
    /// The tenant.
    pub organization_id: Uuid,
    /// The operation that raises it.
    pub operation_id: Uuid,
}

/// What keeps a fence from being raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InTheWay {
    /// The sync.
    pub sync_id: Uuid,
    /// What it is.
    pub what: Obstacle,
}

/// A reason to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A job of the platform.
    Job(PlatformJob),
    /// The fence of another operation.
    Fence {
        /// That operation.
        owner: Uuid,
        /// Since when.
        since: DateTime<Utc>,
    },
}

/// The fence of a sync, standing or expired.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Standing {
    owner: Uuid,
    job_id: Uuid,
    other_jobs: i64,
    raised_at: DateTime<Utc>,
    expired: bool,
}

/// Raises the fence around every sync, or around none. Repeated by its owner it is renewed. Answers what is in the way; when
/// that is nothing, it is up.
///
/// # Errors
/// `NotFound` when the organisation has no such sync.
pub async fn raise(database: &Database, holds: &[Hold], lasts: Duration) -> Result<Vec<InTheWay>> {
    const DOING: &str = "raising the fence";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let holds = lock(&mut transaction, holds).await?;
    let mut in_the_way = Vec::new();
    for hold in &holds {
        in_the_way.extend(obstacle(&mut transaction, hold).await?);
    }
    if !in_the_way.is_empty() {
        return Ok(in_the_way);
    }
    for hold in &holds {
        raise_one(&mut transaction, hold, lasts).await?;
    }
    transaction.commit().await.during(DOING)?;
    Ok(in_the_way)
}

/// Moves the end of the fence. One that expired and that nobody took away meanwhile stands again.
///
/// # Errors
/// `Conflict` when the operation does not hold the fence any more.
pub async fn renew(database: &Database, holds: &[Hold], lasts: Duration) -> Result<()> {
    const DOING: &str = "renewing the fence";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let mut holds = holds.to_vec();
    holds.sort_unstable();
    for hold in &holds {
        if !extend(&mut transaction, hold, lasts).await? {
            return Err(lost(hold));
        }
    }
    transaction.commit().await.during(DOING)
}

/// Takes the fence down, and answers what broke through it while it stood. Of another operation's fence, or of none, it does
/// nothing.
///
/// # Errors
/// `NotFound` when the organisation has no such sync.
pub async fn lower(database: &Database, holds: &[Hold]) -> Result<Vec<InTheWay>> {
    const DOING: &str = "lowering the fence";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let mut holds = holds.to_vec();
    holds.sort_unstable();
    let mut came_in_between = Vec::new();
    for hold in &holds {
        // A flip of this operation that is still under way is waited for; none comes after it.
        sync_lock::lock(&mut transaction, hold.organization_id, hold.sync_id).await?;
        if let Some(standing) = read(&mut transaction, hold).await?.filter(|it| it.owner == hold.operation_id) {
            let job = slipped_in(&mut transaction, hold, &standing).await?;
            came_in_between.extend(job.map(|job| InTheWay { sync_id: hold.sync_id, what: Obstacle::Job(job) }));
            clear(&mut transaction, hold.organization_id, hold.sync_id, standing.job_id).await?;
        }
    }
    transaction.commit().await.during(DOING)?;
    Ok(came_in_between)
}

/// What would keep these fences from being raised now. Changes nothing.
///
/// # Errors
/// `NotFound` when the organisation has no such sync.
pub async fn in_the_way(database: &Database, holds: &[Hold]) -> Result<Vec<InTheWay>> {
    let mut connection = database.pool().acquire().await.during("looking for what is in the way")?;
    let mut found = Vec::new();
    for hold in holds {
        sync_lock::require_sync(&mut connection, hold.organization_id, hold.sync_id).await?;
        found.extend(obstacle(&mut connection, hold).await?);
    }
    Ok(found)
}

/// Removes what expired fences left, of every organisation: housekeeping, on nobody's behalf. Answers how many there were.
///
/// # Errors
/// Those of the database.
pub async fn sweep(database: &Database) -> Result<u64> {
    const DOING: &str = "removing expired fences";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    // One that somebody is just renewing, lowering or taking over is left to him.
    let expired: Vec<(Uuid, Uuid, Uuid)> = sqlx::query_as(
        "SELECT organization_id, sync_id, fence_job_id FROM sync_multiplexer.sync_state
         WHERE fence_owner IS NOT NULL AND fence_expires_at <= clock_timestamp()
         ORDER BY sync_id FOR UPDATE SKIP LOCKED",
    )
    .fetch_all(&mut *transaction)
    .await
    .during(DOING)?;
    let mut swept = 0;
    for (organization_id, sync_id, job_id) in expired {
        clear(&mut transaction, organization_id, sync_id, job_id).await?;
        swept += 1;
    }
    transaction.commit().await.during(DOING)?;
    Ok(swept)
}

/// Refuses what must not happen to a sync while another operation's fence stands around it.
///
/// # Errors
/// `Conflict`, naming the operation.
pub async fn admit(connection: &mut PgConnection, scope: &SlotScope, operation_id: Uuid) -> Result<()> {
    let hold = Hold { sync_id: scope.sync_id, organization_id: scope.organization_id, operation_id };
    match read(connection, &hold).await? {
        Some(standing) if !standing.expired && standing.owner != operation_id => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "operation {} is switching sync {}, and nothing else may write to its slots meanwhile: try again when it is \
                 done",
                standing.owner, scope.sync_id
            ),
        )),
        _ => Ok(()),
    }
}

/// What broke through the fence since it was raised: a job of the platform that is active, or was. The caller holds the
/// locks of the sync.
///
/// # Errors
/// `Conflict` when the operation does not hold the fence, or let it expire.
pub(super) async fn breach(connection: &mut PgConnection, hold: &Hold) -> Result<Option<PlatformJob>> {
    let standing = read(connection, hold).await?.filter(|it| it.owner == hold.operation_id && !it.expired);
    let Some(standing) = standing else { return Err(lost(hold)) };
    if !platform_jobs::is_running(connection, hold.organization_id, standing.job_id).await? {
        return Err(lost(hold));
    }
    if let Some(job) = slipped_in(connection, hold, &standing).await? {
        return Ok(Some(job));
    }
    // A job that is not there any more may have been there behind the fence.
    let jobs = platform_jobs::count_others(connection, hold.organization_id, hold.sync_id, standing.job_id).await?;
    if jobs == standing.other_jobs { Ok(None) } else { Err(lost(hold)) }
}

/// The job of the platform that is active although the fence stands, or was, when there is one to be named.
async fn slipped_in(connection: &mut PgConnection, hold: &Hold, standing: &Standing) -> Result<Option<PlatformJob>> {
    let Hold { sync_id, organization_id, .. } = *hold;
    if let Some(job) = platform_jobs::active(connection, organization_id, sync_id, Some(standing.job_id)).await? {
        return Ok(Some(job));
    }
    if platform_jobs::count_others(connection, organization_id, sync_id, standing.job_id).await? == standing.other_jobs
    {
        return Ok(None);
    }
    platform_jobs::newest(connection, organization_id, sync_id, standing.job_id).await
}

/// Locks every sync against role changes and against new jobs, in the order of their ids.
pub(super) async fn lock(connection: &mut PgConnection, holds: &[Hold]) -> Result<Vec<Hold>> {
    let mut holds = holds.to_vec();
    holds.sort_unstable();
    for hold in &holds {
        sync_lock::lock(connection, hold.organization_id, hold.sync_id).await?;
    }
    for hold in &holds {
        platform_jobs::lock_sync(connection, hold.organization_id, hold.sync_id).await?;
    }
    Ok(holds)
}

async fn obstacle(connection: &mut PgConnection, hold: &Hold) -> Result<Option<InTheWay>> {
    let Hold { sync_id, organization_id, operation_id } = *hold;
    let standing = read(connection, hold).await?;
    let what = match &standing {
        // What slipped in while it went up is for the flip to notice.
        Some(standing) if standing.owner == operation_id => None,
        Some(standing) if !standing.expired => {
            Some(Obstacle::Fence { owner: standing.owner, since: standing.raised_at })
        }
        _ => {
            let left_behind = standing.as_ref().map(|it| it.job_id);
            platform_jobs::active(connection, organization_id, sync_id, left_behind).await?.map(Obstacle::Job)
        }
    };
    Ok(what.map(|what| InTheWay { sync_id, what }))
}

/// Nothing is in the way, and the sync is locked.
async fn raise_one(connection: &mut PgConnection, hold: &Hold, lasts: Duration) -> Result<()> {
    let Hold { sync_id, organization_id, operation_id } = *hold;
    if let Some(left_behind) = read(connection, hold).await? {
        if left_behind.owner == operation_id
            && platform_jobs::is_running(connection, organization_id, left_behind.job_id).await?
        {
            extend(connection, hold, lasts).await?;
            return Ok(());
        }
        clear(connection, organization_id, sync_id, left_behind.job_id).await?;
    }
    let job_id = Uuid::now_v7();
    let others = platform_jobs::count_others(connection, organization_id, sync_id, job_id).await?;
    platform_jobs::add(connection, organization_id, sync_id, job_id).await?;
    sqlx::query(
        "UPDATE sync_multiplexer.sync_state
         SET fence_owner = $3, fence_job_id = $4, fence_other_jobs = $5, fence_raised_at = clock_timestamp(),
             fence_expires_at = clock_timestamp() + $6 * interval '1 second', updated_at = now()
         WHERE sync_id = $1 AND organization_id = $2",
    )
    .bind(sync_id)
    .bind(organization_id)
    .bind(operation_id)
    .bind(job_id)
    .bind(others)
    .bind(seconds(lasts))
    .execute(connection)
    .await
    .during("raising the fence")?;
    Ok(())
}

/// Answers whether the operation holds the fence.
async fn extend(connection: &mut PgConnection, hold: &Hold, lasts: Duration) -> Result<bool> {
    let extended = sqlx::query(
        "UPDATE sync_multiplexer.sync_state
         SET fence_expires_at = clock_timestamp() + $4 * interval '1 second', updated_at = now()
         WHERE sync_id = $1 AND organization_id = $2 AND fence_owner = $3",
    )
    .bind(hold.sync_id)
    .bind(hold.organization_id)
    .bind(hold.operation_id)
    .bind(seconds(lasts))
    .execute(connection)
    .await
    .during("renewing the fence")?;
    Ok(extended.rows_affected() == 1)
}

async fn read(connection: &mut PgConnection, hold: &Hold) -> Result<Option<Standing>> {
    sqlx::query_as(
        "SELECT fence_owner AS owner, fence_job_id AS job_id, fence_other_jobs AS other_jobs,
                fence_raised_at AS raised_at, fence_expires_at <= clock_timestamp() AS expired
         FROM sync_multiplexer.sync_state
         WHERE sync_id = $1 AND organization_id = $2 AND fence_owner IS NOT NULL",
    )
    .bind(hold.sync_id)
    .bind(hold.organization_id)
    .fetch_optional(connection)
    .await
    .during("looking for a fence")
}

async fn clear(connection: &mut PgConnection, organization_id: Uuid, sync_id: Uuid, job_id: Uuid) -> Result<()> {
    platform_jobs::remove(connection, organization_id, sync_id, job_id).await?;
    sqlx::query(
        "UPDATE sync_multiplexer.sync_state
         SET fence_owner = NULL, fence_job_id = NULL, fence_other_jobs = NULL, fence_raised_at = NULL,
             fence_expires_at = NULL, updated_at = now()
         WHERE sync_id = $1 AND organization_id = $2",
    )
    .bind(sync_id)
    .bind(organization_id)
    .execute(connection)
    .await
    .during("removing the fence")?;
    Ok(())
}

fn lost(hold: &Hold) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "operation {} no longer holds the fence around sync {}: it expired, or its job was ended at the platform; \
             nothing was switched, so switch again",
            hold.operation_id, hold.sync_id
        ),
    )
}

fn seconds(lasts: Duration) -> f64 {
    lasts.as_secs_f64()
}
