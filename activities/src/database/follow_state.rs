//! How followed slots stand: written by the follow at the end of every round, read by people.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::classify::During;
use super::{Database, SlotScope};
use crate::error::{Error, ErrorKind, Result};

/// How a slot stands that is or was followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowState {
    /// When it was last compared with the raw store.
    pub compared_at: Option<DateTime<Utc>>,
    /// How far it was behind then: entities, and the age of the oldest change in milliseconds.
    pub lag: Option<(u64, u64)>,
    /// A time up to which it has everything.
    pub caught_up_at: Option<DateTime<Utc>>,
    /// Since when every round fails.
    pub failing: Option<Failing>,
}

/// Why rounds fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The first of the rounds that failed in a row.
    pub since: DateTime<Utc>,
    /// Kind of the last failure.
    pub kind: String,
    /// What went wrong.
    pub message: String,
}

/// Records how a slot stands, in place of what was recorded before.
///
/// # Errors
/// `NotFound` for a slot this product did not build; `Internal` for a state that contradicts itself.
pub async fn record(database: &Database, scope: &SlotScope, operation_id: Uuid, state: &FollowState) -> Result<()> {
    const DOING: &str = "recording how a slot is followed";
    let number = |count: u64| {
        i64::try_from(count).map_err(|_| Error::new(ErrorKind::Internal, format!("{count} is no lag of a slot")))
    };
    let lag = state.lag.filter(|_| state.compared_at.is_some());
    let (entities, oldest_ms) = match lag {
        Some((entities, oldest_ms)) => (Some(number(entities)?), Some(number(oldest_ms)?)),
        None => (None, None),
    };
    let failing = state.failing.as_ref();
    let mut transaction = database.pool().begin().await.during(DOING)?;
    scope.require(&mut transaction).await?;
    sqlx::query(
        "INSERT INTO sync_multiplexer.follow_state
             (slot_id, sync_id, organization_id, operation_id, behind_entities, oldest_change_ms, compared_at, caught_up_at,
              failing_since, error_kind, error_message)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (slot_id) DO UPDATE
         SET operation_id = excluded.operation_id, behind_entities = excluded.behind_entities,
             oldest_change_ms = excluded.oldest_change_ms, compared_at = excluded.compared_at,
             caught_up_at = excluded.caught_up_at, failing_since = excluded.failing_since,
             error_kind = excluded.error_kind, error_message = excluded.error_message, updated_at = now()",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(operation_id)
    .bind(entities)
    .bind(oldest_ms)
    .bind(lag.and(state.compared_at))
    .bind(state.caught_up_at)
    .bind(failing.map(|failing| failing.since))
    .bind(failing.map(|failing| failing.kind.as_str()))
    .bind(failing.map(|failing| failing.message.replace('\0', "\u{FFFD}")))
    .execute(&mut *transaction)
    .await
    .during(DOING)?;
    transaction.commit().await.during(DOING)
}

/// How the slots of a sync stand that are or were followed, by slot.
///
/// # Errors
/// Those of the database; of a sync that is not the organisation's there is none.
pub async fn list(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<Vec<(Uuid, FollowState)>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        slot_id: Uuid,
        behind_entities: Option<i64>,
        oldest_change_ms: Option<i64>,
        compared_at: Option<DateTime<Utc>>,
        caught_up_at: Option<DateTime<Utc>>,
        failing_since: Option<DateTime<Utc>>,
        error_kind: Option<String>,
        error_message: Option<String>,
    }
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT slot_id, behind_entities, oldest_change_ms, compared_at, caught_up_at, failing_since, error_kind,
                error_message
         FROM sync_multiplexer.follow_state
         WHERE organization_id = $1 AND sync_id = $2
         ORDER BY slot_id",
    )
    .bind(organization_id)
    .bind(sync_id)
    .fetch_all(database.pool())
    .await
    .during("reading how slots are followed")?;
    let state = |row: Row| FollowState {
        compared_at: row.compared_at,
        lag: row
            .behind_entities
            .zip(row.oldest_change_ms)
            .map(|(entities, ms)| (entities.unsigned_abs(), ms.unsigned_abs())),
        caught_up_at: row.caught_up_at,
        failing: match (row.failing_since, row.error_kind, row.error_message) {
            (Some(since), Some(kind), Some(message)) => Some(Failing { since, kind, message }),
            _ => None,
        },
    };
    Ok(rows.into_iter().map(|row| (row.slot_id, state(row))).collect())
}
