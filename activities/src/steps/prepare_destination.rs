//! `prepare_destination`: makes the destination match the profile and proves that it takes a write. Undo: `clear_scope`.

use proto::v1::{Done, PrepareDestinationInput};

use super::phase;
use crate::context::Context;
use crate::error::Result;
use crate::ids;
use crate::replay::OpenSlot;

pub(crate) async fn run(context: &Context, input: PrepareDestinationInput) -> Result<Done> {
    phase::enter(context, input.slot.as_ref(), "prepare").await?;
    let destination = OpenSlot::destination(context, ids::scope(input.slot.as_ref())?).await?;
    destination.prepare().await?;
    destination.check().await?;
    Ok(Done {})
}
