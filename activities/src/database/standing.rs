//! How everything stands at the moment, for gauges: over all organisations, so never for a caller of one of them.

use std::time::Duration;

use super::Database;
use super::classify::During;
use super::operations::OperationKind;
use crate::error::Result;

/// How the worst of the slots stands that are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorstLag {
    /// Entities it was behind when it was last compared.
    pub entities: u64,
    /// Age of the time up to which it has everything; of the follow while there is none.
    pub age: Duration,
}

/// The worst lag of any slot that is followed; none at all when no slot is.
///
/// # Errors
/// Those of the database.
pub async fn worst_lag(database: &Database) -> Result<WorstLag> {
    let (entities, seconds): (Option<i64>, Option<f64>) = sqlx::query_as(
        "SELECT max(standing.behind_entities),
                max(extract(epoch FROM clock_timestamp() - coalesce(standing.caught_up_at, follow.started_at)))::float8
         FROM sync_multiplexer.follow_state AS standing
         JOIN sync_multiplexer.operation AS follow
           ON follow.operation_id = standing.operation_id AND follow.state = 'running'
         JOIN sync_multiplexer.slot
           ON slot.slot_id = standing.slot_id AND slot.organization_id = standing.organization_id AND slot.state = 'ready'
         JOIN public.sync_connection AS joined ON joined.id = standing.slot_id
         LEFT JOIN sync_multiplexer.reverse_window AS kept ON kept.slot_id = standing.slot_id
         LEFT JOIN sync_multiplexer.retirement
           ON retirement.slot_id = standing.slot_id AND retirement.removed_at IS NULL
         WHERE retirement.slot_id IS NULL
           AND (joined.role = 'shadow' OR (joined.role = 'deprecated' AND kept.is_open))",
    )
    .fetch_one(database.pool())
    .await
    .during("measuring the lag")?;
    Ok(WorstLag {
        entities: entities.unwrap_or_default().unsigned_abs(),
        age: Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default(),
    })
}

/// How many operations of each kind have not ended.
///
/// # Errors
/// Those of the database.
pub async fn running_operations(database: &Database) -> Result<Vec<(OperationKind, u64)>> {
    let running: Vec<(OperationKind, i64)> =
        sqlx::query_as("SELECT kind, count(*) FROM sync_multiplexer.operation WHERE state = 'running' GROUP BY kind")
            .fetch_all(database.pool())
            .await
            .during("counting operations")?;
    let count =
        |kind: OperationKind| running.iter().find(|(it, _)| *it == kind).map_or(0, |(_, count)| count.unsigned_abs());
    Ok(OperationKind::ALL.iter().map(|kind| (*kind, count(*kind))).collect())
}
