//! `create_shadow`: adds the slot with role shadow, or finds the one to continue. Undo: `drop_shadow`.
//!
//! It answers only when the slot has its place to itself, so that what follows may be undone by clearing that place.

use proto::v1::{CreateShadowInput, CreateShadowOutput, SlotRef};

use super::{phase, place};
use crate::context::Context;
use crate::database::shadow::{self, NewShadow, Shadow};
use crate::database::{SlotState, platform, slots};
use crate::error::Result;
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
    if slot.built.is_some_and(|built| built.state == SlotState::Empty) {
        place::require_vacant(&*OpenSlot::destination(context, scope).await?).await?;
    }
    let slot = SlotRef {
        organization_id: scope.organization_id.to_string(),
        sync_id: scope.sync_id.to_string(),
        slot_id: scope.slot_id.to_string(),
        operation_id: operation_id.to_string(),
    };
    Ok(CreateShadowOutput { created, slot: Some(slot) })
}
