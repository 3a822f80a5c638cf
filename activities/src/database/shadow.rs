//! Making a shadow slot, and unmaking it: do and undo side by side.
//!
//! A connection has one slot in a sync, so a second fork to the same connection continues the first one's shadow if it
//! would build the same, and is refused with a way out if it would not. The active slot and a slot of ours that is kept for
//! a rollback are never touched. Nor is their content: no two slots of a sync are in one place. A deprecated slot that the
//! platform made is adopted instead ([`super::adoption`]).

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::adoption::{self, Adoption, Deprecated, Known};
use super::classify::{During, classify, is_violation_of};
use super::slots::{Role, SlotState};
use super::{Database, SlotScope, platform, retire, sync_lock};
use crate::error::{Error, ErrorKind, Result};

/// What to do when two slots of a sync would be in one place.
pub const APART: &str =
    "name another collection (Qdrant) or namespace (Vespa) in the profile, or fork to another server";

/// A shadow to make.
#[derive(Debug, Clone)]
pub struct NewShadow {
    /// Tenant, sync, and the id the slot gets. The id is chosen by the workflow, so that a retry makes the same slot.
    pub scope: SlotScope,
    /// The connection to write through: a DESTINATION the organisation may use.
    pub connection_id: Uuid,
    /// How the slot is built, as a JSON object.
    pub profile: Value,
    /// Label of the profile.
    pub profile_name: String,
    /// Fingerprint of the profile: equal for equal settings.
    pub fingerprint: String,
    /// Where its points will be, as the destination says it.
    pub place: String,
    /// Identity of the model that will make its vectors; absent when the destination embeds texts itself.
    pub embedder_model: Option<String>,
    /// The operation that asks; only its undo may remove the slot.
    pub operation_id: Uuid,
}

/// The slot to work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shadow {
    /// This operation made it, or adopted it.
    Created(SlotScope),
    /// An earlier operation made it, with the same fingerprint. Its id is not the one that was offered.
    Continued(SlotScope),
}

/// What the connection has in the sync already.
#[derive(sqlx::FromRow)]
struct Present {
    slot_id: Uuid,
    role: Option<Role>,
    fingerprint: Option<String>,
    profile_name: Option<String>,
    embedder_model: Option<String>,
    created_by_operation: Option<Uuid>,
    adopted: Option<bool>,
    state: Option<SlotState>,
    /// Whether its reverse window is open; absent when it has none.
    is_open: Option<bool>,
}

/// Makes the shadow, or finds the one to continue; a deprecated slot that the platform made is adopted. Repeated by the same
/// operation it answers `Created` again.
///
/// # Errors
/// `NotFound` for a sync or connection the organisation does not have; `InvalidInput` when the connection is not a
/// destination; `Conflict` when the connection has a slot in this sync that must not be touched, or another slot of the
/// sync is in the same place, with what to do.
pub async fn create(database: &Database, new: &NewShadow) -> Result<Shadow> {
    const DOING: &str = "creating the shadow";
    let scope = &new.scope;
    let mut transaction = database.pool().begin().await.during(DOING)?;
    sync_lock::lock(&mut transaction, scope.organization_id, scope.sync_id).await?;
    platform::destination(&mut transaction, scope.organization_id, new.connection_id).await?;
    let present = present(&mut transaction, scope, new.connection_id).await?;
    if let Some(present) = &present {
        retire::require_unmarked(&mut transaction, &SlotScope { slot_id: present.slot_id, ..*scope }).await?;
    }
    if let Some(deprecated) = present.as_ref().and_then(|present| present.as_deprecated(new)) {
        let adopted = adopt(&mut transaction, new, deprecated).await?;
        transaction.commit().await.during(DOING)?;
        return Ok(Shadow::Created(adopted));
    }
    let shadow = present.as_ref().map_or(Ok(Shadow::Created(*scope)), |present| judge(new, present))?;
    let (Shadow::Created(found) | Shadow::Continued(found)) = shadow;
    // A slot that somebody made meanwhile has another id, and maybe another place, of which its maker knows.
    if found == *scope {
        require_free(&mut transaction, new).await?;
        match present {
            Some(_) => renew(&mut transaction, new).await?,
            None => insert(&mut transaction, new).await?,
        }
    }
    transaction.commit().await.during(DOING)?;
    Ok(shadow)
}

/// Takes over a deprecated slot; fails when that may not be.
async fn adopt(connection: &mut PgConnection, new: &NewShadow, slot: Deprecated<'_>) -> Result<SlotScope> {
    let scope = slot.scope;
    let adoption = adoption::judge(new, slot)?;
    let new = NewShadow { scope, ..new.clone() };
    require_free(connection, &new).await?;
    match adoption {
        Adoption::Begin => adoption::begin(connection, &scope, &new).await?,
        Adoption::Continue => {
            adoption::take_over(connection, &scope, &new).await?;
            renew(connection, &new).await?;
        }
    }
    Ok(scope)
}

/// Removes the slot that `operation_id` made, with its plan, ledger and dead letters. Of a slot that it adopted the
/// platform's row stays. Answers whether there was one.
///
/// As an undo it may come twice, before its step, or for a slot that was only continued: then it changes nothing. The
/// points in the destination are cleared before, by the destination.
///
/// # Errors
/// `NotFound` when the organisation has no such sync; `Conflict` when the slot is another thing by now.
pub async fn drop_shadow(database: &Database, scope: &SlotScope, operation_id: Uuid) -> Result<bool> {
    const DOING: &str = "removing the shadow";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    sync_lock::lock(&mut transaction, scope.organization_id, scope.sync_id).await?;
    let found: Option<(Option<Role>, bool)> = sqlx::query_as(
        "SELECT joined.role, slot.adopted
         FROM public.sync_connection AS joined
         JOIN sync_multiplexer.slot ON slot.slot_id = joined.id AND slot.sync_id = joined.sync_id
         WHERE joined.id = $1 AND joined.sync_id = $2 AND slot.organization_id = $3 AND slot.created_by_operation = $4
         FOR UPDATE OF joined",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(operation_id)
    .fetch_optional(&mut *transaction)
    .await
    .during(DOING)?;
    match found {
        None => return Ok(false),
        Some((Some(Role::Shadow), false)) => remove_shadow(&mut transaction, scope).await?,
        Some((Some(Role::Deprecated), true)) => adoption::release(&mut transaction, scope).await?,
        Some((role, _)) => {
            let role = role.map_or("without a role", Role::as_str);
            return Err(conflict(format!("slot {} is {role} now and is not removed by an undo", scope.slot_id)));
        }
    }
    transaction.commit().await.during(DOING)?;
    Ok(true)
}

/// Removes the platform's row of a shadow. Everything of ours hangs on it by foreign keys that cascade.
async fn remove_shadow(connection: &mut PgConnection, scope: &SlotScope) -> Result<()> {
    sqlx::query("DELETE FROM public.sync_connection WHERE id = $1 AND sync_id = $2 AND role = 'shadow'")
        .bind(scope.slot_id)
        .bind(scope.sync_id)
        .execute(connection)
        .await
        .during("removing the shadow")?;
    Ok(())
}

impl Present {
    /// The slot as one to adopt, if it is deprecated.
    fn as_deprecated(&self, new: &NewShadow) -> Option<Deprecated<'_>> {
        let known = match (self.adopted, self.state, self.created_by_operation, &self.fingerprint) {
            (Some(adopted), Some(state), Some(operation_id), Some(fingerprint)) => Some(Known {
                adopted,
                state,
                by_this_operation: operation_id == new.operation_id,
                fingerprint,
                embedder_model: self.embedder_model.as_deref(),
            }),
            _ => None,
        };
        let scope = SlotScope { slot_id: self.slot_id, ..new.scope };
        (self.role == Some(Role::Deprecated)).then_some(Deprecated { scope, known, is_open: self.is_open })
    }
}

/// What to do about a slot the connection has already, unless it is deprecated.
fn judge(new: &NewShadow, present: &Present) -> Result<Shadow> {
    let slot_id = present.slot_id;
    match present.role {
        // The other kind of slot that a fork may build was dealt with before.
        Some(Role::Shadow | Role::Deprecated) => {}
        Some(Role::Active) => {
            return Err(conflict(format!(
                "connection {} is the active destination of this sync (slot {slot_id}): fork to another connection",
                new.connection_id
            )));
        }
        None => {
            return Err(conflict(format!("slot {slot_id} has no role: run `syncmux migrate`, then fork again")));
        }
    }
    let (Some(fingerprint), Some(operation_id)) = (&present.fingerprint, present.created_by_operation) else {
        return Err(conflict(format!(
            "slot {slot_id} was added by the platform and nothing is known of its content: remove that destination from \
             the sync and its content from the destination, or fork to another connection"
        )));
    };
    if *fingerprint != new.fingerprint {
        return Err(conflict(format!(
            "slot {slot_id} of this connection is built with another profile ({}): fork with that profile to continue \
             it, retire the slot first, or fork to another connection",
            present.profile_name.as_deref().unwrap_or_default(),
        )));
    }
    // The same name in the profile, but not the same model behind it.
    if let (Some(there), Some(here)) = (&present.embedder_model, &new.embedder_model)
        && there != here
    {
        return Err(conflict(format!(
            "slot {slot_id} of this connection holds vectors of the model {there}, but this worker has {here}: give the \
             workers the model it was built with, or fork to another connection"
        )));
    }
    let found = SlotScope { slot_id, ..new.scope };
    Ok(if operation_id == new.operation_id { Shadow::Created(found) } else { Shadow::Continued(found) })
}

async fn present(connection: &mut PgConnection, scope: &SlotScope, connection_id: Uuid) -> Result<Option<Present>> {
    sqlx::query_as(
        "SELECT joined.id AS slot_id, joined.role, slot.fingerprint, slot.profile_name, slot.embedder_model,
                slot.created_by_operation, slot.adopted, slot.state, kept.is_open
         FROM public.sync_connection AS joined
         LEFT JOIN sync_multiplexer.slot ON slot.slot_id = joined.id AND slot.organization_id = $3
         LEFT JOIN sync_multiplexer.reverse_window AS kept ON kept.slot_id = joined.id AND kept.organization_id = $3
         WHERE joined.sync_id = $1 AND joined.connection_id = $2
         FOR UPDATE OF joined",
    )
    .bind(scope.sync_id)
    .bind(connection_id)
    .bind(scope.organization_id)
    .fetch_optional(connection)
    .await
    .during("looking for a slot of this connection")
}

/// Fails with `Conflict` when another slot of the sync is where this one would be.
async fn require_free(connection: &mut PgConnection, new: &NewShadow) -> Result<()> {
    let occupant: Option<(Uuid, Option<Role>, String)> = sqlx::query_as(
        "SELECT slot.slot_id, joined.role, connection.name
         FROM sync_multiplexer.slot
         JOIN public.sync_connection AS joined ON joined.id = slot.slot_id AND joined.sync_id = slot.sync_id
         JOIN public.connection ON connection.id = joined.connection_id
         WHERE slot.sync_id = $1 AND slot.organization_id = $2 AND slot.place = $3 AND slot.slot_id <> $4",
    )
    .bind(new.scope.sync_id)
    .bind(new.scope.organization_id)
    .bind(&new.place)
    .bind(new.scope.slot_id)
    .fetch_optional(connection)
    .await
    .during("looking for a slot in the same place")?;
    match occupant {
        None => Ok(()),
        Some((slot_id, role, name)) => {
            let role = role.map_or("without a role", Role::as_str);
            Err(conflict(format!(
                "slot {slot_id} ({role}, connection {name:?}) is in the same place ({}), and the two would write over \
                 each other: {APART}",
                new.place
            )))
        }
    }
}

/// Notes what may be another thing now than when the slot was made: where its connection leads, and what of the profile
/// does not count for the fingerprint.
async fn renew(connection: &mut PgConnection, new: &NewShadow) -> Result<()> {
    sqlx::query(
        "UPDATE sync_multiplexer.slot SET place = $4, profile = $5, profile_name = $6, updated_at = now()
         WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3
           AND (place, profile, profile_name) IS DISTINCT FROM ($4, $5, $6)",
    )
    .bind(new.scope.slot_id)
    .bind(new.scope.sync_id)
    .bind(new.scope.organization_id)
    .bind(&new.place)
    .bind(&new.profile)
    .bind(&new.profile_name)
    .execute(connection)
    .await
    .during("renewing the slot")?;
    Ok(())
}

async fn insert(connection: &mut PgConnection, new: &NewShadow) -> Result<()> {
    const DOING: &str = "creating the shadow";
    let scope = &new.scope;
    // The platform's times are without zone, in UTC, and have no defaults.
    sqlx::query(
        "INSERT INTO public.sync_connection (id, sync_id, connection_id, role, created_at, modified_at)
         VALUES ($1, $2, $3, 'shadow', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(new.connection_id)
    .execute(&mut *connection)
    .await
    .map_err(|error| {
        if is_violation_of(&error, "sync_connection_pkey") {
            conflict(format!("slot id {} is taken: start a new operation, which chooses another", scope.slot_id))
        } else {
            classify(DOING, error)
        }
    })?;
    sqlx::query(
        "INSERT INTO sync_multiplexer.slot
             (slot_id, organization_id, sync_id, profile, profile_name, fingerprint, place, created_by_operation,
              embedder_model)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(scope.sync_id)
    .bind(&new.profile)
    .bind(&new.profile_name)
    .bind(&new.fingerprint)
    .bind(&new.place)
    .bind(new.operation_id)
    .bind(&new.embedder_model)
    .execute(connection)
    .await
    .during(DOING)?;
    Ok(())
}

fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict, message)
}
