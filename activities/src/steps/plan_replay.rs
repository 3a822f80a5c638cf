//! `plan_replay`: freezes what the slot lacks into segments. Undo: `drop_plan`.

use proto::v1::{PlanReplayInput, PlanReplayOutput};

use super::phase;
use crate::context::Context;
use crate::database::{plans, slots};
use crate::error::Result;
use crate::ids;

pub(crate) async fn run(context: &Context, input: PlanReplayInput) -> Result<PlanReplayOutput> {
    let scope = ids::scope(input.slot.as_ref())?;
    phase::enter(context, input.slot.as_ref(), "plan").await?;
    // From here on the slot may differ from the raw store, so it cannot be promoted until it is verified again.
    slots::mark_building(&context.database, &scope).await?;
    let listing = Box::pin(context.store.sync(scope.sync_id).list());
    let segment_entities = (input.segment_entities > 0).then_some(input.segment_entities);
    let plan_id = ids::uuid("plan_id", &input.plan_id)?;
    let plan = plans::create(&context.database, &scope, plan_id, listing, segment_entities).await?;
    phase::enter(context, input.slot.as_ref(), "replay").await?;
    Ok(PlanReplayOutput {
        segments: plan.segments,
        entities: plan.entities,
        listed: plan.listed,
        unchanged: plan.unchanged,
        vanished: plan.vanished,
    })
}
