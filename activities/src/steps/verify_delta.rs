//! `verify_delta`: compares exactly the entities that a finished plan changed, and the count of all points.

use proto::v1::{VerifyDeltaInput, VerifyResult};

use super::phase;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::replay::OpenSlot;
use crate::verification::Comparison;

pub(crate) async fn run(context: &Context, input: VerifyDeltaInput) -> Result<VerifyResult> {
    phase::enter(context, input.slot.as_ref(), "verify").await?;
    let operation_id = ids::operation(input.slot.as_ref())?;
    let plan_id = ids::uuid("plan_id", &input.plan_id)?;
    let slot = OpenSlot::open(context, input.slot.as_ref()).await?;
    let store = context.store.sync(slot.scope.sync_id);
    let comparison = Comparison::of_delta(&context.database, store, &slot, plan_id).await?;
    if comparison.record(context, &slot.scope, plan_id, operation_id).await? {
        return Ok(comparison.result);
    }
    Err(Error::new(
        ErrorKind::VerificationFailed,
        format!(
            "what was carried over differs from the raw store in {} places: {}; the next round of catching up writes these \
             entities again. If they differ again, fork to another connection",
            comparison.differences(),
            comparison.result.examples.join("; "),
        ),
    ))
}
