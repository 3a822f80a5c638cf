//! `followed_slots`: lists the slots of a sync that are to be kept fresh. Read only.

use proto::v1::{FollowedSlotsInput, FollowedSlotsOutput, SlotRef};

use crate::context::Context;
use crate::database::slots;
use crate::error::Result;
use crate::ids;

pub(crate) async fn run(context: &Context, input: FollowedSlotsInput) -> Result<FollowedSlotsOutput> {
    let organization_id = ids::uuid("organization_id", &input.organization_id)?;
    let sync_id = ids::uuid("sync_id", &input.sync_id)?;
    let slots = slots::list(&context.database, organization_id, sync_id).await?;
    let followed = slots.iter().filter(|slot| slot.is_followed()).map(|slot| SlotRef {
        organization_id: input.organization_id.clone(),
        sync_id: input.sync_id.clone(),
        slot_id: slot.slot_id.to_string(),
        operation_id: input.operation_id.clone(),
    });
    Ok(FollowedSlotsOutput { slots: followed.collect() })
}
