//! What proves that a slot equals the raw store: a plan made by the switch itself, behind its fence, worked through and
//! verified. That a slot was built and verified once, or was fed by somebody until a minute ago, proves nothing about now.

use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use super::roles::FlipCommand;
use crate::error::{Error, ErrorKind, Result};

#[derive(sqlx::FromRow)]
struct Proof {
    operation_id: Option<Uuid>,
    unfinished: i64,
    /// Absent while it was not verified.
    passed: Option<bool>,
}

/// Refuses a switch to a slot that is not proved, unless what is missing was left out by force.
///
/// # Errors
/// `Conflict`, with what is missing.
pub(super) async fn require(connection: &mut PgConnection, command: &FlipCommand) -> Result<()> {
    if command.force && !command.skipped.is_empty() {
        return Ok(());
    }
    let scope = command.scope();
    let proof: Option<Proof> = sqlx::query_as(
        "SELECT plan.operation_id, verification.passed,
                (SELECT count(*) FROM sync_multiplexer.segment
                 WHERE segment.plan_id = plan.plan_id AND segment.state <> 'done') AS unfinished
         FROM sync_multiplexer.plan
         LEFT JOIN sync_multiplexer.verification
                ON verification.verification_id = plan.plan_id AND verification.slot_id = plan.slot_id
         WHERE plan.slot_id = $1 AND plan.sync_id = $2 AND plan.organization_id = $3",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(connection)
    .await
    .during("looking for the last catch-up")?;
    let missing = match proof {
        Some(proof) if proof.operation_id == Some(command.operation_id) => match (proof.unfinished, proof.passed) {
            (0, Some(true)) => return Ok(()),
            (0, Some(false)) => "its verification found differences",
            (0, None) => "it was not verified",
            _ => "a part of the last catch-up is not done",
        },
        _ => "its last catch-up is not one of this switch",
    };
    Err(Error::new(
        ErrorKind::Conflict,
        format!("slot {} is not proved to equal the raw store, because {missing}: switch again", scope.slot_id),
    ))
}
