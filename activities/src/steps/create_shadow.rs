//! `create_shadow`: adds the slot with role shadow, finds the one to continue, or adopts one of the platform's. Undo:
//! `drop_shadow`.
//!
//! It answers only when the slot has its place to itself, so that what follows may be undone by clearing that place. An
//! adopted slot is in the platform's place instead: what is there is recorded, and undoing clears nothing.

use futures::{StreamExt, stream};
use proto::v1::{CreateShadowInput, CreateShadowOutput, SlotRef};
use uuid::Uuid;

use super::{phase, place};
use crate::context::Context;
use crate::database::shadow::{self, NewShadow, Shadow};
use crate::database::{Role, Slot, SlotScope, SlotState, adoption, platform, slots};
use crate::error::{ErrorKind, Result};
use crate::ids;
use crate::profile::CompleteProfile;
use crate::replay::{Feed, OpenSlot, collection, destination};

pub(crate) async fn run(context: &Context, input: CreateShadowInput) -> Result<CreateShadowOutput> {
    let scope = ids::scope(input.slot.as_ref())?;
    let operation_id = ids::operation(input.slot.as_ref())?;
    let connection_id = ids::uuid("destination_connection_id", &input.destination_connection_id)?;
    phase::enter(context, input.slot.as_ref(), "create").await?;
    let profile = CompleteProfile::new(input.profile)?;
    let collection_id = collection(&platform::sync(&context.database, scope.organization_id, scope.sync_id).await?)?;
    let planned = destination(context, scope, collection_id, connection_id, &profile).await?.place();
    place::require_apart_from_the_platform(context, scope, collection_id, connection_id, &profile).await?;
    let present =
        slots::find_by_connection(&context.database, scope.organization_id, scope.sync_id, connection_id).await?;
    if let Some(slot) = present.filter(is_the_platforms) {
        let scope = SlotScope { slot_id: slot.slot_id, ..scope };
        place::require_that_of_the_platform(context, scope, collection_id, connection_id, &profile).await?;
    }
    let feed = Feed::open(context, &profile).await?;
    let new = NewShadow {
        scope,
        connection_id,
        profile: profile.to_stored()?,
        profile_name: profile.profile.name.clone(),
        fingerprint: profile.fingerprint,
        place: planned,
        embedder_model: feed.model().map(str::to_owned),
        operation_id,
    };
    let (created, scope) = match shadow::create(&context.database, &new).await? {
        Shadow::Created(scope) => (true, scope),
        Shadow::Continued(scope) => (false, scope),
    };
    // Now that nobody else gets the place. A slot that was written to has points of its own there.
    let slot = slots::get(&context.database, &scope).await?;
    if let Some(built) = slot.built.filter(|built| built.state == SlotState::Empty) {
        if built.adopted {
            record_what_is_there(context, scope, operation_id).await?;
        } else {
            place::require_vacant(&*OpenSlot::destination(context, scope).await?).await?;
        }
    }
    let slot = SlotRef {
        organization_id: scope.organization_id.to_string(),
        sync_id: scope.sync_id.to_string(),
        slot_id: scope.slot_id.to_string(),
        operation_id: operation_id.to_string(),
    };
    Ok(CreateShadowOutput { created, slot: Some(slot) })
}

/// Whether a slot would be adopted: the platform made it, and no adoption of it has ended.
fn is_the_platforms(slot: &Slot) -> bool {
    slot.role == Some(Role::Deprecated)
        && slot.built.as_ref().is_none_or(|built| built.adopted && built.state != SlotState::Ready)
}

/// Gives an adopted slot its first ledger: what the destination has of this sync.
async fn record_what_is_there(context: &Context, scope: SlotScope, operation_id: Uuid) -> Result<()> {
    let destination = OpenSlot::destination(context, scope).await?;
    let scan = match destination.scan().await {
        // Nothing was built there yet.
        Err(error) if error.kind() == ErrorKind::NotFound => stream::empty().boxed(),
        scan => scan?,
    };
    let entities = adoption::seed(&context.database, &scope, operation_id, scan).await?;
    tracing::info!(slot_id = %scope.slot_id, entities, "adopted a slot that the platform made");
    Ok(())
}
