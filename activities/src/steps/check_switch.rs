//! `check_switch`: validates a switch, opens the operation's record and lists every blocker. Changes no role.

use proto::v1::{Blocker, CheckSwitchInput, CheckSwitchOutput};

use super::switch_request::{command, result};
use crate::context::Context;
use crate::database::operations::{self, NewOperation, OperationKind};
use crate::database::roles;
use crate::error::{Error, ErrorKind, Result};

pub(crate) async fn run(context: &Context, input: CheckSwitchInput) -> Result<CheckSwitchOutput> {
    let request = input.request.unwrap_or_default();
    let command = command(&request, &input.operation_id)?;
    let check = roles::check_switch(&context.database, &command).await?;
    operations::begin(
        &context.database,
        &NewOperation {
            operation_id: command.operation_id,
            organization_id: command.organization_id,
            sync_id: command.sync_id,
            slot_id: Some(command.target_slot_id),
            kind: OperationKind::Switch,
            workflow_id: input.workflow_id,
            run_id: input.run_id,
            requested_by: request.requested_by.clone(),
            options: serde_json::to_value(&request).map_err(|error| {
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
    })
}
