//! Switches as messages, and as commands for the database.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use proto::v1::{InTheWay as InTheWayMessage, SlotRef, SwitchMember, SwitchRequest, SwitchedSync};
use uuid::Uuid;

use crate::database::fence::{Hold, InTheWay, Obstacle};
use crate::database::roles::{FlipCommand, FlipOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

/// The reverse window when the request says nothing, and the longest one that can be asked for, in seconds.
const DEFAULT_REVERSE_WINDOW: u32 = 7 * 24 * 3600;
const MAX_REVERSE_WINDOW: u32 = 90 * 24 * 3600;

/// The flip of one sync.
pub(super) fn command(request: &SwitchRequest, member: &SwitchMember) -> Result<FlipCommand> {
    let window = request.reverse_window_seconds.unwrap_or(DEFAULT_REVERSE_WINDOW);
    if window > MAX_REVERSE_WINDOW {
        return Err(invalid(format!(
            "reverse_window_seconds must be at most {MAX_REVERSE_WINDOW} (90 days), got {window}"
        )));
    }
    if request.rollback && request.reason.trim().is_empty() {
        return Err(invalid("a rollback needs a reason, for the audit trail".to_owned()));
    }
    if request.force && request.reason.trim().is_empty() {
        return Err(invalid("force needs a reason, for the audit trail".to_owned()));
    }
    let slot = member.slot.clone().unwrap_or_default();
    Ok(FlipCommand {
        organization_id: ids::uuid("organization_id", &slot.organization_id)?,
        sync_id: ids::uuid("sync_id", &slot.sync_id)?,
        target_slot_id: ids::uuid("target_slot_id", &slot.slot_id)?,
        expected_active: ids::optional_uuid("expected_active_slot_id", &member.expected_active_slot_id)?,
        expected_generation: member.expected_generation,
        operation_id: ids::uuid("operation_id", &slot.operation_id)?,
        requested_by: request.requested_by.clone(),
        reason: request.reason.clone(),
        reverse_window: Duration::from_secs(window.into()),
        rollback: request.rollback,
        force: request.force,
        skipped: member.skipped.clone(),
    })
}

/// What a flip did to one sync, as it is answered.
pub(super) fn switched(sync_id: Uuid, outcome: &FlipOutcome) -> SwitchedSync {
    SwitchedSync {
        sync_id: sync_id.to_string(),
        new_active_slot_id: outcome.new_active.to_string(),
        previous_active_slot_id: outcome.previous_active.as_ref().map(Uuid::to_string).unwrap_or_default(),
        generation: outcome.generation,
        switched_at: time(outcome.switched_at),
        kept_until: outcome.kept_until.map(time).unwrap_or_default(),
        skipped: outcome.skipped.clone(),
        ..SwitchedSync::default()
    }
}

/// The fences that operations on these slots need.
pub(super) fn holds(slots: &[SlotRef]) -> Result<Vec<Hold>> {
    let hold = |slot: &SlotRef| {
        let scope = ids::scope(Some(slot))?;
        Ok(Hold {
            sync_id: scope.sync_id,
            organization_id: scope.organization_id,
            operation_id: ids::operation(Some(slot))?,
        })
    };
    slots.iter().map(hold).collect()
}

/// What is in the way, as it is answered.
pub(super) fn in_the_way(found: InTheWay) -> InTheWayMessage {
    let sync_id = found.sync_id.to_string();
    match found.what {
        Obstacle::Job(job) => InTheWayMessage {
            sync_id,
            job_id: job.job_id.to_string(),
            status: job.status,
            since: time(job.since),
            ..InTheWayMessage::default()
        },
        Obstacle::Fence { owner, since } => InTheWayMessage {
            sync_id,
            fence_owner: owner.to_string(),
            since: time(since),
            ..InTheWayMessage::default()
        },
    }
}

pub(super) fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
