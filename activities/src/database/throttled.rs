//! What holds operations back right now: said by whoever waits, while it waits; read by people.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Database;
use super::classify::During;
use super::text_enum::text_enum;
use super::throttle_turn::Taker;
use crate::error::Result;

text_enum! {
    /// Who holds an operation back.
    pub enum ThrottledBy {
        /// A limit of its own.
        Operation = "operation",
        /// A limit of all operations together.
        Global = "global",
        /// The destination, by how it is.
        Destination = "destination",
    }
}

/// How long a word counts that nobody renews: whoever waits says it far more often.
const LASTS: Duration = Duration::from_secs(30);

/// How long ago somebody must have waited last before nobody does.
const OVER_AFTER: Duration = Duration::from_secs(5);

/// Who holds an operation back, why, and since when.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Throttled {
    /// The workflow.
    pub workflow_id: String,
    /// Who.
    pub throttled_by: ThrottledBy,
    /// In words.
    pub why: String,
    /// Since when, over all its lanes.
    pub since: DateTime<Utc>,
}

/// Notes that a lane waits, or still does. Answers since when the operation is held back by the same: another lane may have
/// begun to wait before.
///
/// # Errors
/// Those of the database.
pub async fn note(
    database: &Database,
    taker: &Taker,
    by: ThrottledBy,
    why: &str,
    since: DateTime<Utc>,
) -> Result<DateTime<Utc>> {
    sqlx::query_scalar(
        "INSERT INTO sync_multiplexer.throttled AS noted
             (organization_id, workflow_id, throttled_by, why, since, seen_at)
         VALUES ($1, $2, $3, $4, least($5, now()), now())
         ON CONFLICT (organization_id, workflow_id, throttled_by) DO UPDATE
         SET why = excluded.why, seen_at = excluded.seen_at,
             since = CASE WHEN noted.seen_at < now() - make_interval(secs => $6) THEN excluded.since
                          ELSE least(noted.since, excluded.since) END
         RETURNING since",
    )
    .bind(taker.organization_id)
    .bind(&taker.workflow_id)
    .bind(by.as_str())
    .bind(why)
    .bind(since)
    .bind(LASTS.as_secs_f64())
    .fetch_one(database.pool())
    .await
    .during("noting what holds an operation back")
}

/// Takes back what lanes of the operation said, unless one of them waits still.
///
/// # Errors
/// Those of the database.
pub async fn over(database: &Database, taker: &Taker) -> Result<()> {
    sqlx::query(
        "DELETE FROM sync_multiplexer.throttled
         WHERE organization_id = $1 AND workflow_id = $2 AND seen_at < now() - make_interval(secs => $3)",
    )
    .bind(taker.organization_id)
    .bind(&taker.workflow_id)
    .bind(OVER_AFTER.as_secs_f64())
    .execute(database.pool())
    .await
    .during("noting that nothing holds an operation back")?;
    Ok(())
}

/// What holds operations of an organisation back now, or one workflow of it; the longest first.
///
/// # Errors
/// Those of the database.
pub async fn current(database: &Database, organization_id: Uuid, workflow_id: Option<&str>) -> Result<Vec<Throttled>> {
    sqlx::query_as(
        "SELECT workflow_id, throttled_by, why, since
         FROM sync_multiplexer.throttled
         WHERE organization_id = $1 AND ($2::text IS NULL OR workflow_id = $2)
           AND seen_at >= now() - make_interval(secs => $3)
         ORDER BY since, workflow_id, throttled_by",
    )
    .bind(organization_id)
    .bind(workflow_id)
    .bind(LASTS.as_secs_f64())
    .fetch_all(database.pool())
    .await
    .during("reading what holds operations back")
}
