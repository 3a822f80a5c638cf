//! `create_shadow`: adds the slot with role shadow, or finds the one to continue. Undo: `drop_shadow`.

use proto::v1::{CreateShadowInput, CreateShadowOutput, SlotRef};

use super::phase;
use crate::context::Context;
use crate::database::shadow::{self, NewShadow, Shadow};
use crate::error::Result;
use crate::ids;
use crate::profile::CompleteProfile;
use crate::replay::Feed;

pub(crate) async fn run(context: &Context, input: CreateShadowInput) -> Result<CreateShadowOutput> {
    let scope = ids::scope(input.slot.as_ref())?;
    let operation_id = ids::operation(input.slot.as_ref())?;
    phase::enter(context, input.slot.as_ref(), "create").await?;
    let profile = CompleteProfile::new(input.profile)?;
    let feed = Feed::open(context, &profile).await?;
    let new = NewShadow {
        scope,
        connection_id: ids::uuid("destination_connection_id", &input.destination_connection_id)?,
        profile: profile.to_stored()?,
        profile_name: profile.profile.name.clone(),
        fingerprint: profile.fingerprint,
        embedder_model: feed.model().map(str::to_owned),
        operation_id,
    };
    let (created, scope) = match shadow::create(&context.database, &new).await? {
        Shadow::Created(scope) => (true, scope),
        Shadow::Continued(scope) => (false, scope),
    };
    let slot = SlotRef {
        organization_id: scope.organization_id.to_string(),
        sync_id: scope.sync_id.to_string(),
        slot_id: scope.slot_id.to_string(),
        operation_id: operation_id.to_string(),
    };
    Ok(CreateShadowOutput { created, slot: Some(slot) })
}
