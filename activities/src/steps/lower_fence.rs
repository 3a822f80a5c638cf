//! `lower_fence`: takes a fence down, whether or not it is up, and says what its owner switched behind it and what broke
//! through it.
//!
//! A flip needs the fence and takes the same lock, so after this step none can happen any more, and what happened is known.

use proto::v1::{LowerFenceInput, LowerFenceOutput};

use super::switch_request::{holds, in_the_way, switched};
use crate::context::Context;
use crate::database::{fence, roles};
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: LowerFenceInput) -> Result<LowerFenceOutput> {
    let holds = holds(&input.slots)?;
    let came_in_between = fence::lower(&context.database, &holds).await?.into_iter().map(in_the_way).collect();
    let mut output = LowerFenceOutput { came_in_between, ..LowerFenceOutput::default() };
    for hold in &holds {
        let made = roles::made_by(&context.database, hold).await?;
        output.switched.extend(made.map(|outcome| switched(hold.sync_id, &outcome)));
    }
    Ok(output)
}
