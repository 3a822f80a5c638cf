//! `announce_switch`: points readers that address the destination by a name of its own at the slot, if it is the active one.

use proto::v1::{AnnounceSwitchInput, Done};

use super::phase;
use crate::context::Context;
use crate::database::{Role, slots};
use crate::error::Result;
use crate::ids;
use crate::replay::OpenSlot;

pub(crate) async fn run(context: &Context, input: AnnounceSwitchInput) -> Result<Done> {
    let scope = ids::scope(input.slot.as_ref())?;
    phase::enter(context, input.slot.as_ref(), "announce").await?;
    let slot = slots::get(&context.database, &scope).await?;
    // By now another switch may have been made, which announces its own slot.
    if slot.role == Some(Role::Active) && slot.built.is_some() {
        OpenSlot::destination(context, scope).await?.activate().await?;
    }
    Ok(Done {})
}
