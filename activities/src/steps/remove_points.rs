//! `remove_points`: removes the points of a slot that is marked as retiring, and nothing else.
//!
//! The points are counted first. So a destination that is away, refuses us, or is another one since, is found out before the
//! point of no return, and a stop of all operations is waited out before it.

use proto::v1::{RemovePointsInput, RemovePointsOutput};
use uuid::Uuid;

use super::{phase, place};
use crate::context::Context;
use crate::database::{plans, retire, slots};
use crate::error::{ErrorKind, Result};
use crate::ids;
use crate::replay::OpenSlot;

/// `workflow_id` is the workflow that asks, for what holds it back.
pub(crate) async fn run(context: &Context, workflow_id: &str, input: RemovePointsInput) -> Result<RemovePointsOutput> {
    let scope = ids::scope(input.slot.as_ref())?;
    let operation_id = ids::operation(input.slot.as_ref())?;
    phase::enter(context, input.slot.as_ref(), "clear").await?;
    let marked = retire::of(&context.database, &scope, operation_id).await?;
    if marked.removed_at.is_some() {
        return Ok(RemovePointsOutput { points_removed: marked.points });
    }
    let written_to = slots::get(&context.database, &scope).await?.built.and_then(|built| built.place);
    let destination = OpenSlot::destination(context, scope).await?;
    place::require_unmoved(scope, written_to.as_deref(), destination.as_ref())?;
    let points = match destination.count().await {
        // Nothing was ever built there, or it is cleared already.
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        counted => counted?,
    };
    let lane = context.throttle.lane(scope.organization_id, workflow_id, Uuid::new_v4(), None);
    let admission = lane.entities(1).await?;
    retire::begin_clearing(&context.database, &scope, operation_id, points).await?;
    // What a follower was about to write would stay behind. No plan is made of a marked slot, and without one no batch is
    // written.
    plans::drop_plan(&context.database, &scope).await?;
    let removed = destination.clear().await?;
    admission.end().await?;
    let noted = retire::note_cleared(&context.database, &scope, operation_id, removed).await?;
    tracing::info!(slot_id = %scope.slot_id, points = noted.points, "retire: the points are gone");
    Ok(RemovePointsOutput { points_removed: noted.points })
}
