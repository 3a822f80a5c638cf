//! The slots of a sync.

use std::collections::HashMap;
use std::sync::Arc;

use activities::database::follow_state::{self, FollowState};
use activities::database::{SlotScope, active_destination, platform, slots};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::Api;
use super::caller::Caller;
use super::extract::Ids;
use super::problem::Problem;

/// The sync of a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct SyncPath {
    /// The sync
    pub(super) sync_id: Uuid,
}

/// The slot of a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct SlotPath {
    /// The sync
    pub(super) sync_id: Uuid,
    /// The slot: a destination of the sync
    pub(super) slot_id: Uuid,
}

impl SlotPath {
    pub(super) fn scope(&self, caller: &Caller) -> SlotScope {
        SlotScope { organization_id: caller.organization_id, sync_id: self.sync_id, slot_id: self.slot_id }
    }
}

/// A destination of a sync.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Slot {
    pub(super) slot_id: Uuid,
    /// The connection it writes through.
    pub(super) destination_connection_id: Uuid,
    pub(super) destination_name: String,
    /// The kind of destination, such as `qdrant_native`.
    pub(super) destination_short_name: String,
    /// What it is to the sync; absent only while the platform's roles are not put right yet.
    pub(super) role: Option<Role>,
    pub(super) created_at: DateTime<Utc>,
    /// Entities recorded in the slot; of one that the platform built, those that the platform knows.
    pub(super) entity_count: u64,
    /// How far it is built; absent when the platform built it.
    pub(super) state: Option<SlotState>,
    pub(super) profile_name: Option<String>,
    /// Equal for slots that are built alike.
    pub(super) profile_fingerprint: Option<String>,
    /// Points recorded in the slot; absent when the platform built it.
    pub(super) points: Option<u64>,
    /// Entities that could not be carried over.
    pub(super) dead_letters: u64,
    /// Until when a deprecated slot is kept for a rollback.
    pub(super) kept_until: Option<DateTime<Utc>>,
    /// The operation that is removing it.
    pub(super) retiring_operation_id: Option<Uuid>,
    /// Entities it was behind the raw store when it was last compared with it.
    pub(super) behind_entities: Option<u64>,
    /// A time up to which it has everything.
    pub(super) caught_up_at: Option<DateTime<Utc>>,
}

/// What a slot is to its sync.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Serves reads and receives writes.
    Active,
    /// Receives writes only.
    Shadow,
    /// Kept for a rollback.
    Deprecated,
}

/// How far a slot is built.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SlotState {
    /// Nothing is written.
    Empty,
    /// A replay writes to it.
    Building,
    /// Complete; the only state that can be promoted.
    Ready,
}

/// The destination that readers must use, as of a generation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActiveSlot {
    #[serde(flatten)]
    slot: Slot,
    /// Role changes of the sync so far; at another number it may be another slot.
    generation: u64,
}

/// List the destinations of a sync: the active one, then shadows, then deprecated ones.
#[utoipa::path(get, path = "/destinations", tag = "destinations", params(SyncPath),
    responses((status = 200, body = Vec<Slot>)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<SyncPath>,
) -> Result<Json<Vec<Slot>>, Problem> {
    Ok(Json(read(&api, &caller, path.sync_id).await?))
}

/// The active destination of a sync, and the generation it belongs to.
#[utoipa::path(get, path = "/destinations/active", tag = "destinations", params(SyncPath),
    responses((status = 200, body = ActiveSlot)))]
pub(super) async fn active(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<SyncPath>,
) -> Result<Json<ActiveSlot>, Problem> {
    // Slot and generation come from one statement; what else is known of the slot is added.
    let active = active_destination::resolve(&api.database, caller.organization_id, path.sync_id).await;
    let active = match active {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            platform::sync(&api.database, caller.organization_id, path.sync_id).await?;
            return Err(nothing_active(path.sync_id));
        }
        other => other?,
    };
    let listed = read(&api, &caller, path.sync_id).await?;
    let slot = listed.into_iter().find(|slot| slot.slot_id == active.slot_id);
    let slot = slot.ok_or_else(|| nothing_active(path.sync_id))?;
    Ok(Json(ActiveSlot { slot: Slot { role: Some(Role::Active), ..slot }, generation: active.generation }))
}

fn nothing_active(sync_id: Uuid) -> Problem {
    Problem::new(ErrorKind::NotFound, format!("No active destination found for sync {sync_id}"))
}

async fn read(api: &Api, caller: &Caller, sync_id: Uuid) -> Result<Vec<Slot>, Problem> {
    let (database, organization_id) = (&api.database, caller.organization_id);
    let listed = slots::list(database, organization_id, sync_id).await?;
    let mut followed: HashMap<_, _> =
        follow_state::list(database, organization_id, sync_id).await?.into_iter().collect();
    let known = if listed.iter().any(|slot| slot.built.is_none()) {
        platform::known_entities(database, organization_id, sync_id).await?
    } else {
        0
    };
    Ok(listed
        .into_iter()
        .map(|slot| {
            let followed = followed.remove(&slot.slot_id);
            message(slot, followed, known)
        })
        .collect())
}

fn message(slot: slots::Slot, followed: Option<FollowState>, known_to_platform: u64) -> Slot {
    let is_built = slot.built.is_some();
    let state = slot.built.as_ref().map(|built| match built.state {
        slots::SlotState::Empty => SlotState::Empty,
        slots::SlotState::Building => SlotState::Building,
        slots::SlotState::Ready => SlotState::Ready,
    });
    let (profile_name, profile_fingerprint) = slot.built.map(|built| (built.profile_name, built.fingerprint)).unzip();
    let followed = followed.unwrap_or_default();
    Slot {
        slot_id: slot.slot_id,
        destination_connection_id: slot.connection_id,
        destination_name: slot.connection_name,
        destination_short_name: slot.short_name,
        role: slot.role.map(role),
        created_at: slot.created_at,
        entity_count: if is_built { slot.entities } else { known_to_platform },
        state,
        profile_name,
        profile_fingerprint,
        points: is_built.then_some(slot.points),
        dead_letters: slot.dead_letters,
        kept_until: slot.window.map(|window| window.kept_until),
        retiring_operation_id: slot.retired_by,
        behind_entities: followed.lag.map(|(entities, _)| entities),
        caught_up_at: followed.caught_up_at,
    }
}

/// The word for a role.
pub(super) fn role(role: slots::Role) -> Role {
    match role {
        slots::Role::Active => Role::Active,
        slots::Role::Shadow => Role::Shadow,
        slots::Role::Deprecated => Role::Deprecated,
    }
}
