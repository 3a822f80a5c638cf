//! `prepare_destination`: makes the destination match the profile and proves that it takes a write. Undo: `clear_scope`.

use proto::v1::{Done, PrepareDestinationInput};

use super::phase;
use crate::context::Context;
use crate::error::Result;
use crate::replay::OpenSlot;

pub(crate) async fn run(context: &Context, input: PrepareDestinationInput) -> Result<Done> {
    phase::enter(context, input.slot.as_ref(), "prepare").await?;
    let slot = OpenSlot::open(context, input.slot.as_ref()).await?;
    slot.destination.prepare().await?;
    slot.destination.check().await?;
    Ok(Done {})
}
