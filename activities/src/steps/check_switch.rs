//! `check_switch`: validates a switch, opens the operation's record and lists every blocker. Changes no role.
//!
//! A rollback may leave its target open. What it means is decided once and kept in the record, together with the generation
//! at which it is so: the same operation asked again goes to the same slot, and not back and forth.

use proto::v1::{Blocker, CheckSwitchInput, CheckSwitchOutput, SwitchRequest};
use uuid::Uuid;

use super::switch_request::{command, result};
use crate::context::Context;
use crate::database::operations::{self, NewOperation, OperationKind};
use crate::database::roles;
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

pub(crate) async fn run(context: &Context, input: CheckSwitchInput) -> Result<CheckSwitchOutput> {
    let asked = input.request.unwrap_or_default();
    let resolved = if asked.rollback && asked.target_slot_id.is_empty() {
        Some(resolve(context, &asked, ids::uuid("operation_id", &input.operation_id)?).await?)
    } else {
        None
    };
    let request = resolved.as_ref().unwrap_or(&asked);
    let command = command(request, &input.operation_id)?;
    let check = roles::check_switch(&context.database, &command).await?;
    operations::begin(
        &context.database,
        &NewOperation {
            operation_id: command.operation_id,
            organization_id: command.organization_id,
            sync_id: command.sync_id,
            slot_id: Some(command.target_slot_id),
            kind: if command.rollback { OperationKind::Rollback } else { OperationKind::Switch },
            workflow_id: input.workflow_id,
            run_id: input.run_id,
            requested_by: request.requested_by.clone(),
            options: serde_json::to_value(request).map_err(|error| {
                Error::new(ErrorKind::Internal, "the request cannot be written as JSON").with_source(error)
            })?,
            phase: "check".to_owned(),
        },
    )
    .await?;
    Ok(CheckSwitchOutput {
        finished: check.finished.as_ref().map(|outcome| result(&command, outcome)),
        blockers: check
            .blockers
            .into_iter()
            .map(|it| Blocker { kind: it.kind.name().to_owned(), message: it.message, next_step: it.next_step })
            .collect(),
        resolved,
    })
}

/// The request with the slot that was active before the last switch as its target; what it meant the first time, when it
/// was asked before.
async fn resolve(context: &Context, asked: &SwitchRequest, operation_id: Uuid) -> Result<SwitchRequest> {
    let organization_id = ids::uuid("organization_id", &asked.organization_id)?;
    let sync_id = ids::uuid("sync_id", &asked.sync_id)?;
    match operations::get(&context.database, organization_id, operation_id).await {
        Ok(recorded) if recorded.kind == OperationKind::Rollback && recorded.sync_id == Some(sync_id) => {
            return serde_json::from_value(recorded.options).map_err(|error| {
                Error::new(ErrorKind::Internal, "the recorded request is not readable by this version")
                    .with_source(error)
            });
        }
        // Another operation's id: refused when this one is recorded.
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let before = roles::predecessor(&context.database, organization_id, sync_id).await?;
    Ok(SwitchRequest {
        target_slot_id: before.slot_id.to_string(),
        expected_generation: asked.expected_generation.or(Some(before.generation)),
        ..asked.clone()
    })
}
