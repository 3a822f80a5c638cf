//! Freezing what is to be done: the difference between a listing of the raw store and what the slot holds.
//!
//! A plan is made in one transaction or not at all, from a complete listing, whatever the size of the store: the listing is
//! staged in a temporary table, read in key order beside the ledger (`difference`), checked (`guard`), and cut into
//! segments one at a time (`freeze`). A slot has one plan; a new one replaces it, when no batch of the old one is being written
//! ([`super::batch_hold`]), and takes over what it left [in doubt](super::doubts). [`super::segments`] works through it.

mod difference;
mod freeze;
mod guard;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::classify::During;
use super::slots::Role;
use super::staged_listing::StagingConnection;
use super::{Database, SlotScope, batch_hold, dead_letters, doubts, fence, retire, staged_listing};
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::ListedObject;

/// Largest segment that can be asked for, in entities: what a worker holds in memory per lane.
const MAX_SEGMENT_ENTITIES: u32 = 100_000;

/// How to plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOptions {
    /// Entities of a segment; the planner chooses when absent.
    pub segment_entities: Option<u32>,
    /// Largest share of the slot's entities, in percent, that may be gone from the raw store without a confirmation.
    pub max_drop_percent: u32,
    /// As many entities may be gone in any case.
    pub confirm_drop: u64,
    /// Believe that an entity is gone although the platform still knows it.
    pub allow_incomplete: bool,
    /// Try objects again that are dead letters in the same version.
    pub retry_dead_letters: bool,
    /// On whose behalf. While another operation's fence stands around the sync, no plan is made.
    pub operation_id: Uuid,
}

impl PlanOptions {
    /// The share that may be gone when nobody says otherwise.
    pub const DEFAULT_MAX_DROP_PERCENT: u32 = 20;
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            segment_entities: None,
            max_drop_percent: Self::DEFAULT_MAX_DROP_PERCENT,
            confirm_drop: 0,
            allow_incomplete: false,
            retry_dead_letters: true,
            operation_id: Uuid::nil(),
        }
    }
}

/// What a plan holds.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PlanSummary {
    /// The plan.
    pub plan_id: Uuid,
    /// Segments, numbered from 0.
    #[sqlx(try_from = "i32")]
    pub segments: u32,
    /// Of those, the last ones, which only delete. They are for when all others are done: what an object was renamed to has
    /// been written by then.
    #[sqlx(try_from = "i32")]
    pub delete_segments: u32,
    /// Objects to write: new ones, and those of another version.
    #[sqlx(try_from = "i64")]
    pub entities: u64,
    /// Objects to delete: in the ledger and not listed, or of an entity in doubt. The latter are written again where they are
    /// there.
    #[sqlx(try_from = "i64")]
    pub deletes: u64,
    /// In the ledger, not listed, and not to be deleted, because the platform still knows the entity.
    #[sqlx(try_from = "i64")]
    pub held_back: u64,
    /// Objects listed; a key listed twice counts once.
    #[sqlx(try_from = "i64")]
    pub listed: u64,
    /// Of those, already in the slot with the same version.
    #[sqlx(try_from = "i64")]
    pub unchanged: u64,
    /// Of those, dead letters in the same version that are not tried again.
    #[sqlx(try_from = "i64")]
    pub left_out: u64,
    /// When the oldest of the objects to write was modified.
    pub oldest_change: Option<DateTime<Utc>>,
    /// The first 20 of what the ledger has and the listing lacks, as object keys in byte order.
    pub vanished_sample: Vec<String>,
}

/// How far a slot is behind the raw store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Entities to write or delete.
    pub entities: u64,
    /// When the oldest object to write was modified.
    pub oldest_change: Option<DateTime<Utc>>,
}

/// Reads the whole `listing` and freezes how the slot differs from it, in byte order of the keys. Letters of objects that
/// are gone go too.
///
/// A retry with the same `plan_id` reads no listing and answers as before.
///
/// # Errors
/// `NotFound` for a slot this product did not build; `InvalidInput` for an impossible segment size; `Conflict` when the slot
/// is active or being retired, another operation's fence stands around the sync, or the plan id belongs to another slot;
/// `RawStoreInvalid` for an empty listing, and for one that lacks more of
/// what the slot holds than the options allow; `Unavailable` when another plan was made meanwhile; the first error of the
/// listing, as it is. After any of them the slot's earlier plan is untouched.
pub async fn create(
    database: &Database,
    scope: &SlotScope,
    plan_id: Uuid,
    listing: BoxStream<'_, Result<ListedObject>>,
    options: &PlanOptions,
) -> Result<PlanSummary> {
    const DOING: &str = "planning the replay";
    if options.segment_entities.is_some_and(|entities| entities == 0 || entities > MAX_SEGMENT_ENTITIES) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a segment holds 1 to {MAX_SEGMENT_ENTITIES} entities"),
        ));
    }
    let mut connection = StagingConnection::acquire(database).await?;
    let mut transaction = connection.begin().await.during(DOING)?;
    scope.require(&mut transaction).await?;
    if let Some(summary) = finished(&mut transaction, scope, plan_id).await? {
        return Ok(summary);
    }
    fence::admit(&mut transaction, scope, options.operation_id).await?;
    let earlier = current(&mut transaction, scope).await?;
    staged_listing::stage(&mut transaction, listing).await?;

    // After the listing, which takes long. What batches write until then is in the ledger when it is read, so that a listing
    // that is older than it only finds more to do.
    batch_hold::keep_batches_out(&mut transaction, scope).await?;
    lock_target(&mut transaction, scope).await?;
    // Asked again, because the fence may have been raised meanwhile. Its owner plans after it raised it, so either he waits
    // for this slot's lock and replaces this plan, or he was first, and the fence is seen here.
    fence::admit(&mut transaction, scope, options.operation_id).await?;
    // Another attempt of the same activity may have finished while this one listed.
    if let Some(summary) = finished(&mut transaction, scope, plan_id).await? {
        return Ok(summary);
    }
    // Or this attempt was taken for dead long ago, and its plan has been made, worked through and replaced since.
    if current(&mut transaction, scope).await? != earlier {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!("another plan of slot {} was made while this one was listing", scope.slot_id),
        ));
    }
    doubts::move_from_plan(&mut transaction, scope).await?;
    let in_doubt = doubts::take(&mut transaction, scope).await?;
    let mut difference = difference::find(&mut transaction, scope, options.retry_dead_letters).await?;
    difference.settle(&mut transaction, in_doubt).await?;
    if !options.allow_incomplete {
        guard::hold_back(&mut transaction, scope, &mut difference).await?;
    }
    guard::check(scope, &difference, options)?;
    dead_letters::forget_unlisted(&mut transaction, scope).await?;
    let summary = freeze::freeze(&mut transaction, scope, plan_id, difference, options).await?;
    transaction.commit().await.during(DOING)?;
    connection.keep();
    Ok(summary)
}

/// How much a plan made now would hold, and since when the oldest of it waits. Changes nothing; reads the whole `listing`.
///
/// # Errors
/// Those of [`create`] that are about the slot and the listing.
pub async fn measure(
    database: &Database,
    scope: &SlotScope,
    listing: BoxStream<'_, Result<ListedObject>>,
    options: &PlanOptions,
) -> Result<Backlog> {
    const DOING: &str = "measuring how far the slot is behind";
    let mut connection = StagingConnection::acquire(database).await?;
    let mut transaction = connection.begin().await.during(DOING)?;
    scope.require(&mut transaction).await?;
    staged_listing::stage(&mut transaction, listing).await?;
    let mut difference = difference::find(&mut transaction, scope, options.retry_dead_letters).await?;
    if !options.allow_incomplete {
        guard::hold_back(&mut transaction, scope, &mut difference).await?;
    }
    guard::check(scope, &difference, options)?;
    transaction.rollback().await.during(DOING)?;
    connection.keep();
    Ok(Backlog {
        entities: difference.pending + difference.deletes(),
        oldest_change: difference.oldest_change_ms.and_then(DateTime::from_timestamp_millis),
    })
}

/// Removes the slot's plan with its segments, when no batch of it is being written; none is written afterwards. Answers whether
/// there was one. The ledger stays.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn drop_plan(database: &Database, scope: &SlotScope) -> Result<bool> {
    let mut transaction = database.pool().begin().await.during("removing the plan")?;
    scope.require(&mut transaction).await?;
    batch_hold::keep_batches_out(&mut transaction, scope).await?;
    doubts::move_from_plan(&mut transaction, scope).await?;
    let removed = sqlx::query("DELETE FROM sync_multiplexer.plan WHERE slot_id = $1 AND organization_id = $2")
        .bind(scope.slot_id)
        .bind(scope.organization_id)
        .execute(&mut *transaction)
        .await
        .during("removing the plan")?
        .rows_affected();
    transaction.commit().await.during("removing the plan")?;
    Ok(removed > 0)
}

/// The slot's present plan.
pub(super) async fn current(connection: &mut PgConnection, scope: &SlotScope) -> Result<Option<Uuid>> {
    sqlx::query_scalar("SELECT plan_id FROM sync_multiplexer.plan WHERE slot_id = $1 AND organization_id = $2")
        .bind(scope.slot_id)
        .bind(scope.organization_id)
        .fetch_optional(connection)
        .await
        .during("looking for the plan")
}

/// The stored summary, when the plan exists already.
async fn finished(connection: &mut PgConnection, scope: &SlotScope, plan_id: Uuid) -> Result<Option<PlanSummary>> {
    let owner: Option<(Uuid, Uuid)> =
        sqlx::query_as("SELECT slot_id, organization_id FROM sync_multiplexer.plan WHERE plan_id = $1")
            .bind(plan_id)
            .fetch_optional(&mut *connection)
            .await
            .during("looking for the plan")?;
    match owner {
        None => Ok(None),
        Some(owner) if owner == (scope.slot_id, scope.organization_id) => sqlx::query_as(
            "SELECT plan_id, segments, delete_segments, entities, deletes, held_back, listed, unchanged, left_out,
                    oldest_change, vanished_sample
             FROM sync_multiplexer.plan WHERE plan_id = $1 AND organization_id = $2",
        )
        .bind(plan_id)
        .bind(scope.organization_id)
        .fetch_optional(connection)
        .await
        .during("reading the plan"),
        Some(_) => Err(Error::new(ErrorKind::Conflict, format!("plan id {plan_id} is taken: choose a new one"))),
    }
}

/// Locks the slot against other planners and makes sure that it is neither the active one nor being removed.
async fn lock_target(connection: &mut PgConnection, scope: &SlotScope) -> Result<()> {
    let role: Option<Option<Role>> = sqlx::query_scalar(
        "SELECT joined.role
         FROM sync_multiplexer.slot
         JOIN public.sync_connection AS joined ON joined.id = slot.slot_id AND joined.sync_id = slot.sync_id
         WHERE slot.slot_id = $1 AND slot.sync_id = $2 AND slot.organization_id = $3
         FOR NO KEY UPDATE OF slot",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during("locking the slot")?;
    match role {
        None => Err(scope.not_found()),
        Some(Some(Role::Active)) => Err(Error::new(
            ErrorKind::Conflict,
            format!("slot {} is active: nothing is replayed into an active slot", scope.slot_id),
        )),
        Some(_) => retire::require_unmarked(connection, scope).await,
    }
}
