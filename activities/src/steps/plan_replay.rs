//! `plan_replay`: freezes how the slot differs from the raw store into segments. Undo: `drop_plan`.

use chrono::Utc;
use proto::v1::{Lag, PlanReplayInput, PlanReplayOutput};

use super::phase;
use crate::connections::kind_of;
use crate::context::Context;
use crate::database::plans::{self, PlanOptions};
use crate::database::{SlotScope, slots};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::metrics::{DESTINATION_KINDS, metrics};

/// A slot that somebody builds, promotes or removes is not the follower's any more.
async fn require_followed(context: &Context, scope: &SlotScope) -> Result<()> {
    if slots::get(&context.database, scope).await?.is_followed() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!(
            "slot {} is not followed now: it is active, being built or retired, or its reverse window is over; see \
             `syncmux list`",
            scope.slot_id
        ),
    ))
}

async fn count_unchanged(context: &Context, scope: &SlotScope, entities: u64) -> Result<()> {
    let slot = slots::get(&context.database, scope).await?;
    if let Some(kind) = DESTINATION_KINDS.into_iter().find(|kind| *kind == kind_of(&slot.short_name)) {
        metrics().unchanged(kind, entities);
    }
    Ok(())
}

pub(crate) async fn run(context: &Context, input: PlanReplayInput) -> Result<PlanReplayOutput> {
    let scope = ids::scope(input.slot.as_ref())?;
    let (planning, replaying) = if input.catch_up { ("catch-up", "catch-up") } else { ("plan", "replay") };
    phase::enter(context, input.slot.as_ref(), planning).await?;
    let plan_id = ids::uuid("plan_id", &input.plan_id)?;
    if input.follow {
        require_followed(context, &scope).await?;
    }
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
    count_unchanged(context, &scope, plan.unchanged).await?;
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
