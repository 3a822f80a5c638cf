//! What the database knows of a running workflow beyond what that tells: a workflow hears of a segment when it ends, the
//! records are written with every batch.

use proto::v1::{Progress, Throttling};
use uuid::Uuid;

use super::Database;
use super::classify::During;
use super::throttled::{self, Throttled};
use crate::error::Result;

/// Completes what a workflow answered: entities done by segments that run, and who holds it back just now.
///
/// # Errors
/// Those of the database; the progress is as it was then.
pub async fn complete(
    database: &Database,
    organization_id: Uuid,
    workflow_id: &str,
    progress: &mut Progress,
) -> Result<()> {
    let held_back = throttled::current(database, organization_id, Some(workflow_id)).await?;
    let done = match Uuid::try_parse(&progress.slot_id) {
        Ok(slot_id) if progress.segments_done < progress.segments_total => {
            done(database, organization_id, slot_id, progress).await?
        }
        _ => None,
    };
    if let Some(done) = done.filter(|done| *done > progress.entities_done) {
        progress.entities_done = done;
        let left = progress.entities_total.saturating_sub(done);
        if progress.entities_per_second > 0.0 {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a time for people; 2^53 entities are beyond any store"
            )]
            let eta = (left as f64 / progress.entities_per_second).ceil() as u64;
            progress.eta_seconds = eta;
        }
    }
    // A pause comes first, as in the workflow's own answer.
    if !progress.paused
        && let Some(longest) = held_back.into_iter().next()
    {
        progress.throttle = Some(longest.into());
    }
    Ok(())
}

/// Entities that the cursors of the slot's plan have passed, as long as it is the plan that the workflow speaks of.
async fn done(database: &Database, organization_id: Uuid, slot_id: Uuid, progress: &Progress) -> Result<Option<u64>> {
    let done: Option<i64> = sqlx::query_scalar(
        "SELECT (SELECT coalesce(sum(next_index), 0)::bigint
                 FROM sync_multiplexer.segment
                 WHERE segment.plan_id = plan.plan_id AND segment.organization_id = plan.organization_id)
         FROM sync_multiplexer.plan
         WHERE slot_id = $1 AND organization_id = $2 AND segments::bigint = $3 AND entities + deletes = $4",
    )
    .bind(slot_id)
    .bind(organization_id)
    .bind(i64::from(progress.segments_total))
    .bind(i64::try_from(progress.entities_total).unwrap_or(i64::MAX))
    .fetch_optional(database.pool())
    .await
    .during("counting what segments have done so far")?;
    Ok(done.and_then(|done| u64::try_from(done).ok()))
}

impl From<Throttled> for Throttling {
    fn from(it: Throttled) -> Self {
        Self {
            by: it.throttled_by.as_str().to_owned(),
            why: it.why,
            since_ms: u64::try_from(it.since.timestamp_millis()).unwrap_or_default(),
        }
    }
}
