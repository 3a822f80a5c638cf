//! `flip_roles`: changes the roles in one transaction, or answers what this operation did before.

use proto::v1::{FlipRolesInput, SwitchResult};

use super::switch_request::{command, result};
use crate::context::Context;
use crate::database::{operations, roles};
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: FlipRolesInput) -> Result<SwitchResult> {
    let command = command(&input.request.unwrap_or_default(), &input.operation_id)?;
    operations::set_phase(&context.database, command.organization_id, command.operation_id, "flip").await?;
    let outcome = roles::flip(&context.database, &command).await?;
    tracing::info!(
        sync_id = %command.sync_id,
        slot_id = %outcome.new_active,
        generation = outcome.generation,
        "the active slot changed"
    );
    Ok(result(&command, &outcome))
}
