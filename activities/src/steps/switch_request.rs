//! A switch request as a command for the database, and its outcome as an answer.

use std::time::Duration;

use chrono::SecondsFormat;
use proto::v1::{SwitchRequest, SwitchResult};
use uuid::Uuid;

use crate::database::roles::{FlipCommand, FlipOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

/// The reverse window when the request says nothing, and the longest one that can be asked for, in seconds.
const DEFAULT_REVERSE_WINDOW: u32 = 7 * 24 * 3600;
const MAX_REVERSE_WINDOW: u32 = 90 * 24 * 3600;

pub(super) fn command(request: &SwitchRequest, operation_id: &str) -> Result<FlipCommand> {
    let window = request.reverse_window_seconds.unwrap_or(DEFAULT_REVERSE_WINDOW);
    if window > MAX_REVERSE_WINDOW {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("reverse_window_seconds must be at most {MAX_REVERSE_WINDOW} (90 days), got {window}"),
        ));
    }
    if request.rollback && request.reason.trim().is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "a rollback needs a reason, for the audit trail"));
    }
    Ok(FlipCommand {
        organization_id: ids::uuid("organization_id", &request.organization_id)?,
        sync_id: ids::uuid("sync_id", &request.sync_id)?,
        target_slot_id: ids::uuid("target_slot_id", &request.target_slot_id)?,
        expected_active: ids::optional_uuid("expected_active_slot_id", &request.expected_active_slot_id)?,
        expected_generation: request.expected_generation,
        operation_id: ids::uuid("operation_id", operation_id)?,
        requested_by: request.requested_by.clone(),
        reason: request.reason.clone(),
        reverse_window: Duration::from_secs(window.into()),
        rollback: request.rollback,
    })
}

pub(super) fn result(command: &FlipCommand, outcome: &FlipOutcome) -> SwitchResult {
    SwitchResult {
        operation_id: command.operation_id.to_string(),
        sync_id: command.sync_id.to_string(),
        new_active_slot_id: outcome.new_active.to_string(),
        previous_active_slot_id: outcome.previous_active.as_ref().map(Uuid::to_string).unwrap_or_default(),
        generation: outcome.generation,
        switched_at: outcome.switched_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        kept_until: outcome
            .kept_until
            .map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true))
            .unwrap_or_default(),
        not_announced: String::new(),
    }
}
