//! `mark_ready`: puts the slot into the only state that a switch accepts.

use proto::v1::{Done, MarkReadyInput};

use super::phase;
use crate::context::Context;
use crate::database::slots;
use crate::error::Result;
use crate::ids;

pub(crate) async fn run(context: &Context, input: MarkReadyInput) -> Result<Done> {
    let scope = ids::scope(input.slot.as_ref())?;
    phase::enter(context, input.slot.as_ref(), "mark-ready").await?;
    slots::mark_ready(&context.database, &scope, ids::uuid("plan_id", &input.plan_id)?).await?;
    Ok(Done {})
}
