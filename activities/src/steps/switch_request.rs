//! A switch request as a command for the database, and its outcome as an answer.

use chrono::SecondsFormat;
use proto::v1::{SwitchRequest, SwitchResult};
use uuid::Uuid;

use crate::database::roles::{FlipCommand, FlipOutcome};
use crate::error::Result;
use crate::ids;

pub(super) fn command(request: &SwitchRequest, operation_id: &str) -> Result<FlipCommand> {
    Ok(FlipCommand {
        organization_id: ids::uuid("organization_id", &request.organization_id)?,
        sync_id: ids::uuid("sync_id", &request.sync_id)?,
        target_slot_id: ids::uuid("target_slot_id", &request.target_slot_id)?,
        expected_active: ids::optional_uuid("expected_active_slot_id", &request.expected_active_slot_id)?,
        expected_generation: request.expected_generation,
        operation_id: ids::uuid("operation_id", operation_id)?,
        requested_by: request.requested_by.clone(),
        reason: request.reason.clone(),
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
        not_announced: String::new(),
    }
}
