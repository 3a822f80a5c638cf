//! Taking over a slot that the platform made, so that there is a way back from the very first migration.
//!
//! Such a slot is deprecated since the first switch, and nothing is known of what it holds. Adopting it gives it a row of
//! ours and a ledger that names each entity with its points and a version that no object has. So the first plan writes
//! every entity anew, and deletes those that the raw store no longer has. From then on the slot is one of ours: followed
//! until its reverse window ends, and the target of a rollback.
//!
//! The role stays what it is. An active slot is never adopted, and one whose window is not open neither: nothing would
//! keep it fresh. An adoption that did not finish belongs to the next fork of that connection, which begins it again;
//! undone, it leaves the platform's row and whatever points there are.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use super::ledger::{self, ContentDigest, LedgerChanges, LedgerEntry, TokenDigest};
use super::shadow::NewShadow;
use super::slots::SlotState;
use super::{Database, SlotScope};
use crate::destinations::EntityRef;
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::entity_file_name;

/// Entities recorded in one transaction.
const ENTITIES_AT_A_TIME: usize = 5_000;

/// A deprecated slot of the connection that a fork was asked for, as far as adopting it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deprecated<'a> {
    pub(super) scope: SlotScope,
    /// Absent when nothing is known of the slot: the platform's own.
    pub(super) known: Option<Known<'a>>,
    /// Whether its reverse window is open; absent when it has none.
    pub(super) is_open: Option<bool>,
}

/// What is on record of a deprecated slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) adopted: bool,
    pub(super) state: SlotState,
    pub(super) by_this_operation: bool,
    pub(super) fingerprint: &'a str,
    pub(super) embedder_model: Option<&'a str>,
}

/// What to do with a deprecated slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adoption {
    /// Give it a row of ours, in place of one that an earlier adoption left.
    Begin,
    /// This operation adopted it, or goes on with an adoption that would build the same.
    Continue,
}

/// Whether a deprecated slot may be adopted, and how.
pub(super) fn judge(new: &NewShadow, slot: Deprecated<'_>) -> Result<Adoption> {
    let slot_id = slot.scope.slot_id;
    let kept = format!("connection {} is kept for a rollback (slot {slot_id})", new.connection_id);
    match slot.known {
        Some(known) if !known.adopted || (known.state == SlotState::Ready && !known.by_this_operation) => {
            return Err(conflict(format!("{kept}: retire that slot first, or fork to another connection")));
        }
        _ => {}
    }
    match slot.is_open {
        Some(true) => {}
        Some(false) => {
            return Err(conflict(format!(
                "slot {slot_id} was made by the platform, and its reverse window has ended, so nothing would keep it \
                 fresh: fork to another connection"
            )));
        }
        None => {
            return Err(conflict(format!(
                "slot {slot_id} was made by the platform and left without a reverse window, so nothing would keep it \
                 fresh: fork to another connection"
            )));
        }
    }
    let is_same = slot.known.is_some_and(|known| {
        known.fingerprint == new.fingerprint && known.embedder_model == new.embedder_model.as_deref()
    });
    Ok(if is_same { Adoption::Continue } else { Adoption::Begin })
}

/// Gives the slot a row of ours, for the rest of the transaction. The sync is locked by the caller.
pub(super) async fn begin(connection: &mut PgConnection, scope: &SlotScope, new: &NewShadow) -> Result<()> {
    const DOING: &str = "adopting the slot";
    release(connection, scope).await?;
    // The window that the flip recorded goes on: from now on it is the slot's own column that counts.
    let adopted = sqlx::query(
        "INSERT INTO sync_multiplexer.slot
             (slot_id, organization_id, sync_id, profile, profile_name, fingerprint, place, created_by_operation,
              embedder_model, adopted, kept_until)
         SELECT joined.id, $2, $3, $4, $5, $6, $7, $8, $9, true, kept.kept_until
         FROM public.sync_connection AS joined
         JOIN sync_multiplexer.reverse_window AS kept ON kept.slot_id = joined.id AND kept.organization_id = $2
         WHERE joined.id = $1 AND joined.sync_id = $3 AND joined.role = 'deprecated'",
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
    .during(DOING)?
    .rows_affected();
    if adopted == 1 {
        Ok(())
    } else {
        let problem = format!("slot {} is not deprecated with a window although its row is locked", scope.slot_id);
        Err(Error::new(ErrorKind::Internal, problem))
    }
}

/// Makes the operation the one whose undo gives the slot back. The sync is locked by the caller.
pub(super) async fn take_over(connection: &mut PgConnection, scope: &SlotScope, new: &NewShadow) -> Result<()> {
    sqlx::query(
        "UPDATE sync_multiplexer.slot SET created_by_operation = $4, updated_at = now()
         WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3 AND created_by_operation <> $4",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(new.operation_id)
    .execute(connection)
    .await
    .during("taking over the adoption")?;
    Ok(())
}

/// Gives the slot back to the platform: everything of ours goes, the platform's row and the points stay. The sync is locked
/// by the caller.
pub(super) async fn release(connection: &mut PgConnection, scope: &SlotScope) -> Result<()> {
    // Plan, ledger and dead letters hang on this row by foreign keys that cascade.
    sqlx::query(
        "DELETE FROM sync_multiplexer.slot
         WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3 AND adopted",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .execute(connection)
    .await
    .during("giving the slot back to the platform")?;
    Ok(())
}

/// Records what an adopted slot holds, as its destination lists it, before anything is written to it. Repeated, it begins
/// anew. Answers the entities.
///
/// # Errors
/// `Conflict` when the slot is not one that the operation adopted, or was written to already; the first error of the scan.
pub async fn seed(
    database: &Database,
    scope: &SlotScope,
    operation_id: Uuid,
    scan: BoxStream<'_, Result<(EntityRef, u32)>>,
) -> Result<u64> {
    const DOING: &str = "recording what an adopted slot holds";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    require_unwritten(&mut transaction, scope, operation_id).await?;
    ledger::forget(&mut transaction, scope).await?;
    transaction.commit().await.during(DOING)?;

    let mut entities = 0;
    let mut pages = scan.try_chunks(ENTITIES_AT_A_TIME).map_err(|error| error.1).boxed();
    while let Some(page) = pages.try_next().await? {
        let mut changes = LedgerChanges::default();
        for (EntityRef(entity_id), points) in page {
            changes.put(LedgerEntry {
                object_key: entity_file_name(&entity_id),
                entity_id,
                token: TokenDigest::UNKNOWN,
                content: ContentDigest::UNKNOWN,
                points,
            });
            entities += 1;
        }
        let mut transaction = database.pool().begin().await.during(DOING)?;
        require_unwritten(&mut transaction, scope, operation_id).await?;
        ledger::apply(&mut transaction, scope, changes).await?;
        transaction.commit().await.during(DOING)?;
    }
    Ok(entities)
}

/// Locks the slot's row: an attempt that was taken for dead must not write to a ledger that is in use.
async fn require_unwritten(connection: &mut PgConnection, scope: &SlotScope, operation_id: Uuid) -> Result<()> {
    let found: Option<bool> = sqlx::query_scalar(
        "SELECT adopted AND state = 'empty' AND created_by_operation = $4 FROM sync_multiplexer.slot
         WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3
         FOR NO KEY UPDATE",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(operation_id)
    .fetch_optional(connection)
    .await
    .during("locking the slot")?;
    match found {
        Some(true) => Ok(()),
        Some(false) | None => {
            Err(conflict(format!("slot {} is no longer being adopted by operation {operation_id}", scope.slot_id)))
        }
    }
}

fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict, message)
}
