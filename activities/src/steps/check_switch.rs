//! `check_switch`: validates a switch, opens the operation's records and lists every blocker. Changes no role; a dry run leaves
//! no record either.

use proto::v1::{Blocker, CheckSwitchInput, CheckSwitchOutput, SwitchMember, SwitchRequest};

use super::switch_request::{command, in_the_way, switched};
use super::switch_targets::{self, Targets, member};
use crate::context::Context;
use crate::database::operations::{self, NewOperation, OperationKind, OperationState};
use crate::database::roles::{self, FlipCommand};
use crate::database::{dead_letters, fence};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

pub(crate) async fn run(context: &Context, input: CheckSwitchInput) -> Result<CheckSwitchOutput> {
    let request = input.request.clone().unwrap_or_default();
    let operation_id = ids::uuid("operation_id", &input.operation_id)?;
    let requests = match switch_targets::find(context, &request, operation_id).await? {
        Targets::Found(requests) => requests,
        Targets::Open(blockers) => return Ok(CheckSwitchOutput { blockers, ..CheckSwitchOutput::default() }),
    };
    let mut output = CheckSwitchOutput::default();
    let mut holds = Vec::new();
    for request in &requests {
        let member = member(request);
        let command = command(request, &member)?;
        let check = roles::check_switch(&context.database, &command).await?;
        let mut ended = None;
        if !request.dry_run {
            ended = record(context, request, &command, &input).await?;
            output.opened.extend(member.slot.clone());
        }
        if let Some(outcome) = check.finished {
            output.switched.push(switched(command.sync_id, &outcome));
            continue;
        }
        let blockers = check.blockers.into_iter().map(|it| Blocker {
            kind: it.kind.name().to_owned(),
            message: it.message,
            next_step: it.next_step,
        });
        output.blockers.extend(blockers.chain(ended));
        if output.blockers.is_empty() {
            holds.push(command.hold());
            let dead_letters = dead_letters::count(&context.database, &command.scope()).await?;
            output.members.push(SwitchMember { dead_letters, ..member });
        } else {
            output.members.push(member);
        }
    }
    output.in_the_way = fence::in_the_way(&context.database, &holds).await?.into_iter().map(in_the_way).collect();
    Ok(output)
}

/// Opens the record of one sync. Answers why not, when the operation ended before.
async fn record(
    context: &Context,
    request: &SwitchRequest,
    command: &FlipCommand,
    input: &CheckSwitchInput,
) -> Result<Option<Blocker>> {
    let recorded = operations::begin(
        &context.database,
        &NewOperation {
            operation_id: command.operation_id,
            organization_id: command.organization_id,
            sync_id: command.sync_id,
            slot_id: Some(command.target_slot_id),
            kind: if command.rollback { OperationKind::Rollback } else { OperationKind::Switch },
            workflow_id: input.workflow_id.clone(),
            run_id: input.run_id.clone(),
            requested_by: request.requested_by.clone(),
            options: serde_json::to_value(request).map_err(|error| {
                Error::new(ErrorKind::Internal, "the request cannot be written as JSON").with_source(error)
            })?,
            phase: "check".to_owned(),
        },
    )
    .await?;
    // One id is one operation, and it ends once.
    Ok(matches!(recorded.state, OperationState::Failed | OperationState::Cancelled).then(|| Blocker {
        kind: ErrorKind::Conflict.name().to_owned(),
        message: format!("operation {} ended before ({})", command.operation_id, recorded.state),
        next_step: "try again under a new operation id".to_owned(),
    }))
}
