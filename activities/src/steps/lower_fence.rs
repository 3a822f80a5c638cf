//! `lower_fence`: takes a fence down, whether or not it is up, and says what its owner switched behind it.
//!
//! A flip needs the fence and takes the same lock, so after this step none can happen any more, and what happened is known.

use proto::v1::{LowerFenceInput, LowerFenceOutput};

use super::switch_request::{holds, switched};
use crate::context::Context;
use crate::database::{fence, roles};
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: LowerFenceInput) -> Result<LowerFenceOutput> {
    let holds = holds(&input.slots)?;
    fence::lower(&context.database, &holds).await?;
    let mut output = LowerFenceOutput::default();
    for hold in &holds {
        let made = roles::made_by(&context.database, hold).await?;
        output.switched.extend(made.map(|outcome| switched(hold.sync_id, &outcome)));
    }
    Ok(output)
}
