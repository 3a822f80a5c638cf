//! `finish_destination`: leaves bulk load and waits until everything is indexed and countable.

use proto::v1::{Done, FinishDestinationInput};

use super::phase;
use crate::context::Context;
use crate::error::Result;
use crate::ids;
use crate::replay::OpenSlot;

pub(crate) async fn run(context: &Context, input: FinishDestinationInput) -> Result<Done> {
    phase::enter(context, input.slot.as_ref(), "finish").await?;
    OpenSlot::destination(context, ids::scope(input.slot.as_ref())?).await?.finish().await?;
    Ok(Done {})
}
