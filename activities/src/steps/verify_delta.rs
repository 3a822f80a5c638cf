//! `verify_delta`: compares a slot with what was recorded and with the raw store, for a finished plan.

use proto::v1::{VerifyDeltaInput, VerifyResult, VerifySlotInput};

use super::verify_slot;
use crate::context::Context;
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: VerifyDeltaInput) -> Result<VerifyResult> {
    let input = VerifySlotInput { slot: input.slot, plan_id: input.plan_id, ..VerifySlotInput::default() };
    verify_slot::run(context, input).await
}
