//! `remove_slot`: removes a cleared slot with all its records in one transaction, or answers what this operation did before.

use proto::v1::{RemoveSlotInput, RetireResult};

use super::phase;
use super::retire_request::result;
use crate::context::Context;
use crate::database::retire;
use crate::error::Result;
use crate::ids;

pub(crate) async fn run(context: &Context, input: RemoveSlotInput) -> Result<RetireResult> {
    let scope = ids::scope(input.slot.as_ref())?;
    phase::enter(context, input.slot.as_ref(), "remove").await?;
    let removed = retire::remove_slot(&context.database, &scope, ids::operation(input.slot.as_ref())?).await?;
    tracing::info!(slot_id = %scope.slot_id, points = removed.points, "the slot is retired");
    Ok(result(&removed))
}
