//! `drop_shadow`: undo of `create_shadow`. Removes the slot if this operation made it and it is still a
//! shadow; gives it back to the platform if this operation adopted it.

use proto::v1::{Done, UndoInput};

use crate::context::Context;
use crate::database::shadow;
use crate::error::Result;
use crate::ids;

pub(crate) async fn run(context: &Context, input: UndoInput) -> Result<Done> {
    let scope = ids::scope(input.slot.as_ref())?;
    let removed = shadow::drop_shadow(&context.database, &scope, ids::operation(input.slot.as_ref())?).await?;
    tracing::info!(slot_id = %scope.slot_id, removed, "undo: the slot");
    Ok(Done {})
}
