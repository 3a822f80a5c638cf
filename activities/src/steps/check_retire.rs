//! `check_retire`: validates a retire, opens the operation's record and lists every blocker. Changes nothing else; a dry run
//! leaves no record either.

use proto::v1::{Blocker, CheckRetireInput, CheckRetireOutput};

use super::retire_request::{command, result};
use crate::context::Context;
use crate::database::operations::{self, NewOperation, OperationKind, OperationState};
use crate::database::retire;
use crate::error::{Error, ErrorKind, Result};

pub(crate) async fn run(context: &Context, input: CheckRetireInput) -> Result<CheckRetireOutput> {
    let request = input.request.unwrap_or_default();
    let command = command(&request, &input.operation_id, &input.workflow_id)?;
    let check = retire::check(&context.database, &command).await?;
    if !request.dry_run {
        let recorded = operations::begin(
            &context.database,
            &NewOperation {
                operation_id: command.operation_id,
                organization_id: command.scope.organization_id,
                sync_id: command.scope.sync_id,
                slot_id: Some(command.scope.slot_id),
                kind: OperationKind::Retire,
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
        // One id is one operation, and it ends once.
        if matches!(recorded.state, OperationState::Failed | OperationState::Cancelled) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "operation {} ended before ({}): try again under a new operation id",
                    command.operation_id, recorded.state
                ),
            ));
        }
    }
    Ok(CheckRetireOutput {
        finished: check.finished.as_ref().map(result),
        blockers: check
            .blockers
            .into_iter()
            .map(|it| Blocker { kind: it.kind.name().to_owned(), message: it.message, next_step: it.next_step })
            .collect(),
    })
}
