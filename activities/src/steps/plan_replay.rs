//! `plan_replay`: freezes how the slot differs from the raw store into segments. Undo: `drop_plan`.

use chrono::Utc;
use proto::v1::{Lag, PlanReplayInput, PlanReplayOutput};

use super::phase;
use crate::context::Context;
use crate::database::plans::{self, PlanOptions};
use crate::database::slots;
use crate::error::Result;
use crate::ids;

pub(crate) async fn run(context: &Context, input: PlanReplayInput) -> Result<PlanReplayOutput> {
    let scope = ids::scope(input.slot.as_ref())?;
    let (planning, replaying) = if input.catch_up { ("catch-up", "catch-up") } else { ("plan", "replay") };
    phase::enter(context, input.slot.as_ref(), planning).await?;
    let plan_id = ids::uuid("plan_id", &input.plan_id)?;
    let options = PlanOptions {
        segment_entities: (input.segment_entities > 0).then_some(input.segment_entities),
        max_drop_percent: input.max_drop_percent.unwrap_or(PlanOptions::DEFAULT_MAX_DROP_PERCENT),
        confirm_drop: input.confirm_drop,
        allow_incomplete: input.allow_incomplete,
        retry_dead_letters: !input.catch_up,
        operation_id: ids::operation(input.slot.as_ref())?,
    };
    let listing = Box::pin(context.store.sync(scope.sync_id).list());
    let plan = plans::create(&context.database, &scope, plan_id, listing, &options).await?;
    // From here on the slot may differ from what was verified, so it cannot be promoted until it is verified again. Not
    // before: a listing that was refused changed nothing.
    if !input.follow {
        slots::mark_building(&context.database, &scope).await?;
    }
    phase::enter(context, input.slot.as_ref(), replaying).await?;
    let oldest_change_ms = plan.oldest_change.map_or(0, |oldest| (Utc::now() - oldest).num_milliseconds().max(0));
    Ok(PlanReplayOutput {
        segments: plan.segments,
        entities: plan.entities,
        listed: plan.listed,
        unchanged: plan.unchanged,
        vanished: plan.deletes,
        delete_segments: plan.delete_segments,
        held_back: plan.held_back,
        lag: Some(Lag { entities: plan.entities + plan.deletes, oldest_change_ms: oldest_change_ms.unsigned_abs() }),
    })
}
