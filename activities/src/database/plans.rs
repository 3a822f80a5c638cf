//! Freezing what is to be replayed: a listing of the raw store minus what the slot holds already.
//!
//! A plan is made in one transaction or not at all, from a complete listing, whatever the size of the store: the listing is
//! staged in a temporary table, compared with the ledger in SQL, and cut into segments one at a time. A slot has one plan;
//! a new one replaces it. [`super::segments`] works through it.

use futures::stream::BoxStream;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::classify::During;
use super::slots::Role;
use super::{Database, SlotScope, segment_entries, staged_listing};
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::ListedObject;

/// Segments a plan aims at; enough for lanes to share the work evenly, few enough for a short workflow history.
const AIMED_SEGMENTS: i64 = 200;

/// Bounds of a segment the planner chooses, in entities: from one batch, so that a small store shows its progress too, to less
/// than a minute of work.
const CHOSEN_ENTITIES: std::ops::RangeInclusive<i64> = 64..=4000;

/// Largest segment that can be asked for, in entities: what a worker holds in memory per lane.
const MAX_SEGMENT_ENTITIES: u32 = 100_000;

/// What a plan holds.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PlanSummary {
    /// The plan.
    pub plan_id: Uuid,
    /// Segments, numbered from 0.
    #[sqlx(try_from = "i32")]
    pub segments: u32,
    /// Entities to replay.
    #[sqlx(try_from = "i64")]
    pub entities: u64,
    /// Objects listed; a key listed twice counts once.
    #[sqlx(try_from = "i64")]
    pub listed: u64,
    /// Of those, already in the slot with the same version.
    #[sqlx(try_from = "i64")]
    pub unchanged: u64,
    /// Objects in the ledger that were not listed any more. A plan does not delete them.
    #[sqlx(try_from = "i64")]
    pub vanished: u64,
    /// The first 20 of the vanished, as object keys in byte order.
    pub vanished_sample: Vec<String>,
}

/// Reads the whole `listing` and freezes what the slot lacks, in byte order of the keys.
///
/// `segment_entities` fixes the size of the segments; without it the planner chooses. A retry with the same `plan_id` reads
/// no listing and answers as before.
///
/// # Errors
/// `NotFound` for a slot this product did not build; `InvalidInput` for an impossible segment size; `Conflict` when the slot
/// is active, or the plan id belongs to another slot; `RawStoreInvalid` for an empty listing; the first error of the
/// listing, as it is. After any of them the slot's earlier plan is untouched.
pub async fn create(
    database: &Database,
    scope: &SlotScope,
    plan_id: Uuid,
    listing: BoxStream<'_, Result<ListedObject>>,
    segment_entities: Option<u32>,
) -> Result<PlanSummary> {
    const DOING: &str = "planning the replay";
    if segment_entities.is_some_and(|entities| entities == 0 || entities > MAX_SEGMENT_ENTITIES) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a segment holds 1 to {MAX_SEGMENT_ENTITIES} entities"),
        ));
    }
    let mut connection = staged_listing::connection(database).await?;
    let mut transaction = connection.begin().await.during(DOING)?;
    scope.require(&mut transaction).await?;
    if let Some(summary) = finished(&mut transaction, scope, plan_id).await? {
        return Ok(summary);
    }
    staged_listing::stage(&mut transaction, listing).await?;

    lock_target(&mut transaction, scope).await?;
    // Another attempt of the same activity may have finished while this one listed.
    if let Some(summary) = finished(&mut transaction, scope, plan_id).await? {
        return Ok(summary);
    }
    let summary = compare(&mut transaction, scope, plan_id, segment_entities).await?;
    freeze(&mut transaction, scope, &summary).await?;
    transaction.commit().await.during(DOING)?;
    Ok(summary.plan)
}

/// Removes the slot's plan with its segments. Answers whether there was one. The ledger stays.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn drop_plan(database: &Database, scope: &SlotScope) -> Result<bool> {
    let mut transaction = database.pool().begin().await.during("removing the plan")?;
    scope.require(&mut transaction).await?;
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

/// A plan about to be frozen.
struct Draft {
    plan: PlanSummary,
    segment_entities: i32,
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
            "SELECT plan_id, segments, entities, listed, unchanged, vanished, vanished_sample
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

/// Locks the slot against other planners and makes sure that it is not the active one.
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
    .fetch_optional(connection)
    .await
    .during("locking the slot")?;
    match role {
        None => Err(scope.not_found()),
        Some(Some(Role::Active)) => Err(Error::new(
            ErrorKind::Conflict,
            format!("slot {} is active: nothing is replayed into an active slot", scope.slot_id),
        )),
        Some(_) => Ok(()),
    }
}

/// Compares the staged listing with the ledger; what is to be replayed is numbered in `pg_temp.pending`.
async fn compare(
    connection: &mut PgConnection,
    scope: &SlotScope,
    plan_id: Uuid,
    segment_entities: Option<u32>,
) -> Result<Draft> {
    const DOING: &str = "comparing the listing with the ledger";
    let listed: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_temp.listing")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .during(DOING)?;
    if listed == 0 {
        return Err(Error::new(
            ErrorKind::RawStoreInvalid,
            "the raw store of this sync lists no entity: run a resync, or check where the worker looks for it",
        ));
    }
    staged_listing::execute(
        connection,
        "CREATE TEMPORARY TABLE pending (
             position bigint PRIMARY KEY, object_key text COLLATE \"C\" NOT NULL, size bigint NOT NULL, token text NOT NULL
         ) ON COMMIT DROP",
    )
    .await?;
    let entities = sqlx::query(
        "INSERT INTO pg_temp.pending (position, object_key, size, token)
         SELECT row_number() OVER (ORDER BY listing.object_key) - 1, listing.object_key, listing.size, listing.token
         FROM pg_temp.listing
         WHERE NOT EXISTS (
             SELECT FROM sync_multiplexer.ledger
             WHERE ledger.slot_id = $1 AND ledger.organization_id = $2
               AND ledger.object_key = listing.object_key AND ledger.token = listing.token
         )
         ORDER BY listing.object_key",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .persistent(false)
    .execute(&mut *connection)
    .await
    .during(DOING)?
    .rows_affected();
    let (vanished, vanished_sample): (i64, Vec<String>) = sqlx::query_as(
        "WITH vanished AS MATERIALIZED (
             SELECT object_key FROM sync_multiplexer.ledger
             WHERE ledger.slot_id = $1 AND ledger.organization_id = $2
               AND NOT EXISTS (SELECT FROM pg_temp.listing WHERE listing.object_key = ledger.object_key)
         )
         SELECT (SELECT count(*) FROM vanished), ARRAY(SELECT object_key FROM vanished ORDER BY object_key LIMIT 20)",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .persistent(false)
    .fetch_one(connection)
    .await
    .during(DOING)?;

    let out_of_range = |_| Error::new(ErrorKind::TooLarge, "the raw store lists more entities than a plan can hold");
    let pending = i64::try_from(entities).map_err(out_of_range)?;
    let chosen = (pending + AIMED_SEGMENTS - 1) / AIMED_SEGMENTS;
    let size = segment_entities.map_or(chosen.clamp(*CHOSEN_ENTITIES.start(), *CHOSEN_ENTITIES.end()), i64::from);
    let segments = (pending + size - 1) / size;
    // Segments are numbered by a 32 bit integer in the database and on the wire.
    i32::try_from(segments).map_err(out_of_range)?;
    Ok(Draft {
        plan: PlanSummary {
            plan_id,
            segments: u32::try_from(segments).map_err(out_of_range)?,
            entities,
            listed: u64::try_from(listed).map_err(out_of_range)?,
            unchanged: u64::try_from(listed - pending).map_err(out_of_range)?,
            vanished: u64::try_from(vanished).map_err(out_of_range)?,
            vanished_sample,
        },
        segment_entities: i32::try_from(size).map_err(out_of_range)?,
    })
}

/// Writes plan and segments in place of the earlier plan, holding one segment in memory at a time.
async fn freeze(connection: &mut PgConnection, scope: &SlotScope, draft: &Draft) -> Result<()> {
    const DOING: &str = "freezing the plan";
    let Draft { plan, segment_entities } = draft;
    sqlx::query("DELETE FROM sync_multiplexer.plan WHERE slot_id = $1 AND organization_id = $2")
        .bind(scope.slot_id)
        .bind(scope.organization_id)
        .execute(&mut *connection)
        .await
        .during(DOING)?;
    let bigint = |count: u64| i64::try_from(count).expect("the counts of a draft were i64 before");
    sqlx::query(
        "INSERT INTO sync_multiplexer.plan
             (plan_id, slot_id, sync_id, organization_id, listed, unchanged, entities, segments, segment_entities,
              vanished, vanished_sample)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(plan.plan_id)
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(bigint(plan.listed))
    .bind(bigint(plan.unchanged))
    .bind(bigint(plan.entities))
    .bind(i32::try_from(plan.segments).expect("checked when the draft was made"))
    .bind(segment_entities)
    .bind(bigint(plan.vanished))
    .bind(&plan.vanished_sample)
    .execute(&mut *connection)
    .await
    .during(DOING)?;
    for segment_no in 0..i32::try_from(plan.segments).expect("checked when the draft was made") {
        let first = i64::from(segment_no) * i64::from(*segment_entities);
        let rows: Vec<(String, i64, String)> = sqlx::query_as(
            "SELECT object_key, size, token FROM pg_temp.pending
             WHERE position >= $1 AND position < $2 ORDER BY position",
        )
        .bind(first)
        .bind(first + i64::from(*segment_entities))
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .during(DOING)?;
        let entries: Vec<ListedObject> =
            rows.into_iter().map(|(key, size, token)| ListedObject { key, size: size.unsigned_abs(), token }).collect();
        sqlx::query(
            "INSERT INTO sync_multiplexer.segment (plan_id, segment_no, organization_id, entries, entry_count)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(plan.plan_id)
        .bind(segment_no)
        .bind(scope.organization_id)
        .bind(segment_entries::encode(&entries)?)
        .bind(i32::try_from(entries.len()).expect("a segment holds at most segment_entities, an i32"))
        .execute(&mut *connection)
        .await
        .during(DOING)?;
    }
    Ok(())
}
