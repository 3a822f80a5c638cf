//! A retire request as a command for the database, and its outcome as an answer.

use chrono::SecondsFormat;
use proto::v1::{RetireRequest, RetireResult};

use crate::database::SlotScope;
use crate::database::retire::{RetireCommand, Retirement};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

pub(super) fn command(request: &RetireRequest, operation_id: &str, workflow_id: &str) -> Result<RetireCommand> {
    if request.force && request.reason.trim().is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "force needs a reason, for the audit trail"));
    }
    Ok(RetireCommand {
        scope: SlotScope {
            organization_id: ids::uuid("organization_id", &request.organization_id)?,
            sync_id: ids::uuid("sync_id", &request.sync_id)?,
            slot_id: ids::uuid("slot_id", &request.slot_id)?,
        },
        force: request.force,
        operation_id: ids::uuid("operation_id", operation_id)?,
        workflow_id: workflow_id.to_owned(),
        requested_by: request.requested_by.clone(),
        reason: request.reason.clone(),
    })
}

pub(super) fn result(retirement: &Retirement) -> RetireResult {
    RetireResult {
        operation_id: retirement.operation_id.to_string(),
        slot_id: retirement.slot_id.to_string(),
        points_removed: retirement.points,
        forced: retirement.forced_before.is_some(),
        retired_at: retirement
            .removed_at
            .map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true))
            .unwrap_or_default(),
        ..RetireResult::default()
    }
}
