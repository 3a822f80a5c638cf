//! `flip_roles`: changes the roles of all syncs of a switch in one transaction, or answers what it did before.

use proto::v1::{FlipRolesInput, FlipRolesOutput};

use super::phase;
use super::switch_request::{command, in_the_way, switched};
use crate::context::Context;
use crate::database::roles::{self, Flipped};
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: FlipRolesInput) -> Result<FlipRolesOutput> {
    let request = input.request.unwrap_or_default();
    let mut commands = Vec::with_capacity(input.members.len());
    for member in &input.members {
        phase::enter(context, member.slot.as_ref(), "flip").await?;
        commands.push(command(&request, member)?);
    }
    match roles::flip(&context.database, &commands).await? {
        Flipped::Done(outcomes) => {
            for (command, outcome) in commands.iter().zip(&outcomes) {
                tracing::info!(
                    sync_id = %command.sync_id,
                    slot_id = %outcome.new_active,
                    generation = outcome.generation,
                    "the active slot changed"
                );
            }
            let switched = commands.iter().zip(&outcomes).map(|(command, outcome)| switched(command.sync_id, outcome));
            Ok(FlipRolesOutput { switched: switched.collect(), came_in_between: None })
        }
        Flipped::Breached(by) => Ok(FlipRolesOutput { switched: Vec::new(), came_in_between: Some(in_the_way(by)) }),
    }
}
