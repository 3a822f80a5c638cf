//! `raise_fence`: keeps jobs of the platform, and everybody else's plans, away from the syncs of a switch. Undo: `lower_fence`.
//!
//! Once the fence is up nobody else switches, so the rules are asked again: what another switch has changed since the check is
//! noticed before any work is done.

use std::time::Duration;

use proto::v1::{RaiseFenceInput, RaiseFenceOutput};

use super::phase;
use super::switch_request::{command, in_the_way, switched};
use crate::context::Context;
use crate::database::fence::{self, Hold};
use crate::database::roles::{self, FlipCommand};
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: RaiseFenceInput) -> Result<RaiseFenceOutput> {
    let request = input.request.unwrap_or_default();
    let mut commands = Vec::with_capacity(input.members.len());
    for member in &input.members {
        phase::enter(context, member.slot.as_ref(), "fence").await?;
        commands.push(command(&request, member)?);
    }
    let holds: Vec<Hold> = commands.iter().map(FlipCommand::hold).collect();
    let lasts = Duration::from_secs(input.lasts_seconds.into());
    let found = fence::raise(&context.database, &holds, lasts).await?;
    let mut output =
        RaiseFenceOutput { in_the_way: found.into_iter().map(in_the_way).collect(), ..RaiseFenceOutput::default() };
    if output.in_the_way.is_empty() {
        for command in &commands {
            let check = roles::check_switch(&context.database, command).await?;
            output.switched.extend(check.finished.map(|outcome| switched(command.sync_id, &outcome)));
            if !check.blockers.is_empty() {
                return Err(roles::refusal(&check.blockers));
            }
        }
    }
    Ok(output)
}
