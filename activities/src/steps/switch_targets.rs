//! Which slot of which sync a switch means.
//!
//! A request may leave that open: a rollback goes back to where the last switch came from, and a collection is all the syncs
//! that feed it. It is decided once and kept in the operation's record, for each sync, together with the generation at which
//! it is so: the same operation asked again goes to the same slots, and not back and forth.

use proto::v1::{Blocker, SlotRef, SwitchMember, SwitchRequest};
use uuid::Uuid;

use super::switch_request::invalid;
use crate::context::Context;
use crate::database::operations::{self, OperationKind};
use crate::database::slots::Slot;
use crate::database::{Role, SlotState, collection, roles, slots};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

/// What a request means.
pub(super) enum Targets {
    /// One request for each sync, as if it had been asked for alone, in the order of the syncs.
    Found(Vec<SwitchRequest>),
    /// Some syncs of the collection have no slot to switch to, or several.
    Open(Vec<Blocker>),
}

/// Decides it, or finds what was decided when the operation was asked for the first time.
pub(super) async fn find(context: &Context, request: &SwitchRequest, operation_id: Uuid) -> Result<Targets> {
    let organization_id = ids::uuid("organization_id", &request.organization_id)?;
    if request.collection_id.is_empty() {
        if !request.destination_connection_id.is_empty() {
            return Err(invalid("destination_connection_id is about a collection: name a target_slot_id".to_owned()));
        }
        let alone = SwitchRequest { operation_id: operation_id.to_string(), ..request.clone() };
        if !(request.rollback && request.target_slot_id.is_empty()) {
            return Ok(Targets::Found(vec![alone]));
        }
        let sync_id = ids::uuid("sync_id", &request.sync_id)?;
        if let Some(decided) = decided(context, organization_id, sync_id, operation_id).await? {
            return Ok(Targets::Found(vec![decided]));
        }
        return Ok(Targets::Found(vec![back(context, alone, organization_id, sync_id).await?]));
    }
    let about_one_sync = [&request.sync_id, &request.target_slot_id, &request.expected_active_slot_id];
    if about_one_sync.iter().any(|field| !field.is_empty()) || request.expected_generation.is_some() {
        return Err(invalid("a request about a collection names no sync, slot or expectation".to_owned()));
    }
    let collection_id = ids::uuid("collection_id", &request.collection_id)?;
    let connection_id = ids::optional_uuid("destination_connection_id", &request.destination_connection_id)?;
    let (mut found, mut open) = (Vec::new(), Vec::new());
    for sync_id in collection::syncs(&context.database, organization_id, collection_id).await? {
        let member = member_operation(operation_id, sync_id);
        if let Some(decided) = decided(context, organization_id, sync_id, member).await? {
            found.push(decided);
            continue;
        }
        let alone = SwitchRequest { sync_id: sync_id.to_string(), operation_id: member.to_string(), ..request.clone() };
        match choose(context, alone, organization_id, sync_id, connection_id).await {
            Ok(request) => found.push(request),
            Err(error) if error.kind() == ErrorKind::Conflict => open.push(Blocker {
                kind: error.kind().name().to_owned(),
                message: error.message().to_owned(),
                next_step: "mend that, or switch the other syncs one by one".to_owned(),
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(if open.is_empty() { Targets::Found(found) } else { Targets::Open(open) })
}

/// The operation of one sync of a collection.
fn member_operation(operation_id: Uuid, sync_id: Uuid) -> Uuid {
    Uuid::new_v5(&operation_id, sync_id.as_bytes())
}

/// A request about one sync as a member of the switch.
pub(super) fn member(request: &SwitchRequest) -> SwitchMember {
    SwitchMember {
        slot: Some(SlotRef {
            organization_id: request.organization_id.clone(),
            sync_id: request.sync_id.clone(),
            slot_id: request.target_slot_id.clone(),
            operation_id: request.operation_id.clone(),
        }),
        expected_active_slot_id: request.expected_active_slot_id.clone(),
        expected_generation: request.expected_generation,
        ..SwitchMember::default()
    }
}

/// What the operation meant when it was asked for the first time.
async fn decided(
    context: &Context,
    organization_id: Uuid,
    sync_id: Uuid,
    operation_id: Uuid,
) -> Result<Option<SwitchRequest>> {
    let recorded = match operations::get(&context.database, organization_id, operation_id).await {
        Ok(recorded) => recorded,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_this =
        recorded.sync_id == Some(sync_id) && matches!(recorded.kind, OperationKind::Switch | OperationKind::Rollback);
    if !is_this {
        // Another operation's id: refused when this one is recorded.
        return Ok(None);
    }
    serde_json::from_value(recorded.options).map(Some).map_err(|error| {
        Error::new(ErrorKind::Internal, "the recorded request is not readable by this version").with_source(error)
    })
}

/// Back to the slot that was active before the last switch.
async fn back(
    context: &Context,
    request: SwitchRequest,
    organization_id: Uuid,
    sync_id: Uuid,
) -> Result<SwitchRequest> {
    let before = roles::predecessor(&context.database, organization_id, sync_id).await?;
    Ok(SwitchRequest {
        target_slot_id: before.slot_id.to_string(),
        expected_generation: request.expected_generation.or(Some(before.generation)),
        ..request
    })
}

/// The slot of one sync of a collection.
async fn choose(
    context: &Context,
    request: SwitchRequest,
    organization_id: Uuid,
    sync_id: Uuid,
    connection_id: Option<Uuid>,
) -> Result<SwitchRequest> {
    if request.rollback && connection_id.is_none() {
        return back(context, request, organization_id, sync_id).await;
    }
    let slots = slots::list(&context.database, organization_id, sync_id).await?;
    let wanted = |slot: &&Slot| match connection_id {
        // Whatever is wrong with it, the rules say it better.
        Some(connection_id) => slot.connection_id == connection_id,
        None => {
            slot.role == Some(Role::Shadow)
                && slot.retired_by.is_none()
                && slot.built.as_ref().is_some_and(|built| built.state == SlotState::Ready)
        }
    };
    let mut found = slots.iter().filter(wanted);
    match (found.next(), found.next(), connection_id) {
        (Some(slot), None, _) => Ok(SwitchRequest { target_slot_id: slot.slot_id.to_string(), ..request }),
        (Some(_), Some(_), _) => Err(conflict(format!(
            "sync {sync_id} has more than one ready shadow: say by destination_connection_id which one is meant"
        ))),
        (None, _, None) => Err(conflict(format!("sync {sync_id} has no ready shadow: fork it first"))),
        (None, _, Some(connection_id)) => {
            Err(conflict(format!("sync {sync_id} has no slot on connection {connection_id}: fork it to there first")))
        }
    }
}

fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict, message)
}
