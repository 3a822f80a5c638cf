//! `mark_retiring`: from now on nothing promotes or continues the slot. Undo: `unmark_retiring`.

use proto::v1::{Done, MarkRetiringInput};

use super::retire_request::command;
use crate::context::Context;
use crate::database::{operations, retire};
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: MarkRetiringInput) -> Result<Done> {
    let command = command(&input.request.unwrap_or_default(), &input.operation_id, &input.workflow_id)?;
    operations::set_phase(&context.database, command.scope.organization_id, command.operation_id, "mark").await?;
    retire::mark(&context.database, &command).await?;
    Ok(Done {})
}
