//! `begin_follow`: validates the request and opens the operation's record. Changes nothing else.

use proto::v1::{BeginFollowInput, Done};

use crate::context::Context;
use crate::database::operations::{self, NewOperation, OperationKind, OperationState};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

pub(crate) async fn run(context: &Context, input: BeginFollowInput) -> Result<Done> {
    let request = input.request.unwrap_or_default();
    let organization_id = ids::uuid("organization_id", &request.organization_id)?;
    let sync_id = ids::uuid("sync_id", &request.sync_id)?;
    let operation_id = ids::uuid("operation_id", &input.operation_id)?;
    let options = serde_json::to_value(&request)
        .map_err(|error| Error::new(ErrorKind::Internal, "the request cannot be written as JSON").with_source(error))?;
    let new = NewOperation {
        operation_id,
        organization_id,
        sync_id,
        // It is about all slots that there will be.
        slot_id: None,
        kind: OperationKind::Follow,
        workflow_id: input.workflow_id,
        run_id: input.run_id,
        requested_by: request.requested_by,
        options,
        phase: "begin".to_owned(),
    };
    let recorded = operations::begin(&context.database, &new).await?;
    if recorded.state != OperationState::Running {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("operation {operation_id} has ended; follow again under a new operation id"),
        ));
    }
    Ok(Done {})
}
