//! `raise_fence`: keeps jobs of the platform, and everybody else's plans, away from the syncs of a switch. Undo: `lower_fence`.

use std::time::Duration;

use proto::v1::{RaiseFenceInput, RaiseFenceOutput};

use super::phase;
use super::switch_request::{holds, in_the_way};
use crate::context::Context;
use crate::database::fence;
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: RaiseFenceInput) -> Result<RaiseFenceOutput> {
    for slot in &input.slots {
        phase::enter(context, Some(slot), "fence").await?;
    }
    let lasts = Duration::from_secs(input.lasts_seconds.into());
    let found = fence::raise(&context.database, &holds(&input.slots)?, lasts).await?;
    Ok(RaiseFenceOutput { in_the_way: found.into_iter().map(in_the_way).collect() })
}
