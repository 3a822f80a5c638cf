//! `clear_scope`: undo of `prepare_destination` and of every write. Removes the slot's points and nothing else; those of an
//! adopted slot are the platform's and stay.

use proto::v1::{Done, UndoInput};

use super::place;
use crate::context::Context;
use crate::database::{Role, SlotState, slots};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::replay::OpenSlot;

pub(crate) async fn run(context: &Context, input: UndoInput) -> Result<Done> {
    let scope = ids::scope(input.slot.as_ref())?;
    let slot = match slots::get(&context.database, &scope).await {
        Ok(slot) => slot,
        // Never made, or undone already: then there are no points of ours either.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Done {}),
        Err(error) => return Err(error),
    };
    let operation_id = ids::operation(input.slot.as_ref())?;
    let Some(built) = slot.built.filter(|built| built.created_by_operation == operation_id) else {
        return Ok(Done {});
    };
    if built.adopted {
        return Ok(Done {});
    }
    // An operation's undo may come late; by then somebody may have promoted what it made.
    if slot.role != Some(Role::Shadow) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("slot {} is no longer a shadow; its points stay", scope.slot_id),
        ));
    }
    let destination = OpenSlot::destination(context, scope).await?;
    place::require_unmoved(scope, built.place.as_deref(), destination.as_ref())?;
    match destination.clear().await {
        Ok(removed) => {
            tracing::info!(slot_id = %scope.slot_id, removed, "undo: the points");
            Ok(Done {})
        }
        // Refused before anything was replayed: no point of ours can be there, and keeping the slot would help nobody.
        Err(error) if error.kind() == ErrorKind::DestinationDenied && built.state == SlotState::Empty => {
            tracing::warn!(slot_id = %scope.slot_id, error = error.chain(), "undo: nothing was written, so nothing is cleared");
            Ok(Done {})
        }
        Err(error) => Err(error),
    }
}
