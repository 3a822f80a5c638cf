//! `verify_slot`: compares the slot with what was recorded, entity by entity by point count, and reads a sample back
//! against the raw store.

use proto::v1::{VerifyResult, VerifySlotInput};

use super::phase;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::replay::OpenSlot;
use crate::verification::Comparison;

/// Entities read back when the request says nothing.
const DEFAULT_SAMPLE: u32 = 100;

pub(crate) async fn run(context: &Context, input: VerifySlotInput) -> Result<VerifyResult> {
    phase::enter(context, input.slot.as_ref(), "verify").await?;
    let operation_id = ids::operation(input.slot.as_ref())?;
    let plan_id = ids::uuid("plan_id", &input.plan_id)?;
    let slot = OpenSlot::open(context, input.slot.as_ref()).await?;
    let store = context.store.sync(slot.scope.sync_id);
    let sample = if input.sample == 0 { DEFAULT_SAMPLE } else { input.sample };
    let comparison = Comparison::of_slot(&context.database, store, &slot, sample).await?;

    // One verification per plan: an attempt that is repeated records the same one.
    if comparison.record(context, &slot.scope, plan_id, operation_id).await? {
        return Ok(comparison.result);
    }
    Err(Error::new(
        ErrorKind::VerificationFailed,
        format!(
            "the slot differs from the raw store in {} places: {}; nothing was switched. Fork again to mend what changed, or \
             to another connection",
            comparison.differences(),
            comparison.result.examples.join("; "),
        ),
    ))
}
