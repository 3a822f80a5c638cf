//! Entities of which it is not known what a slot holds.
//!
//! What an attempt announced and did not record is known to its segment, until the plan is replaced or removed. Then it is
//! moved here, and the next plan takes it. What a verification found to differ is [put] here as well, and what a batch took
//! out of the slot although an object carries it. So whatever a slot may hold and the ledger does not say is either in the
//! hand of a segment or in doubt.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::classify::During;
use super::{Database, SlotScope};
use crate::error::Result;

const DOING: &str = "noting entities in doubt";
const READING: &str = "reading the entities in doubt";

/// Adds what the segments of the slot's plan have in hand. The caller keeps batches out and removes the plan.
pub(super) async fn move_from_plan(connection: &mut PgConnection, scope: &SlotScope) -> Result<()> {
    sqlx::query(
        "UPDATE sync_multiplexer.slot
         SET in_doubt = ARRAY(
             SELECT unnest(slot.in_doubt)
             UNION
             SELECT unnest(segment.in_hand)
             FROM sync_multiplexer.segment
             JOIN sync_multiplexer.plan USING (plan_id, organization_id)
             WHERE plan.slot_id = slot.slot_id AND plan.organization_id = slot.organization_id
         )
         WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3
           AND EXISTS (
             SELECT FROM sync_multiplexer.segment
             JOIN sync_multiplexer.plan USING (plan_id, organization_id)
             WHERE plan.slot_id = slot.slot_id AND plan.organization_id = slot.organization_id
               AND segment.in_hand <> '{}'
         )",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .execute(connection)
    .await
    .during(DOING)?;
    Ok(())
}

/// Takes every entity in doubt; whoever takes them settles them in the same transaction.
pub(super) async fn take(connection: &mut PgConnection, scope: &SlotScope) -> Result<BTreeSet<String>> {
    let ids: Option<Vec<Vec<u8>>> = sqlx::query_scalar(
        "WITH doubted AS (
             SELECT slot_id, in_doubt FROM sync_multiplexer.slot
             WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3 AND in_doubt <> '{}'
             FOR NO KEY UPDATE
         )
         UPDATE sync_multiplexer.slot SET in_doubt = '{}' FROM doubted WHERE slot.slot_id = doubted.slot_id
         RETURNING doubted.in_doubt",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(connection)
    .await
    .during(READING)?;
    Ok(texts(ids))
}

/// Makes the next plan look at these entities, whatever the ledger says of them.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn put(database: &Database, scope: &SlotScope, entity_ids: &[&str]) -> Result<()> {
    let mut connection = database.pool().acquire().await.during(DOING)?;
    note(&mut connection, scope, entity_ids).await
}

/// The entities that came in doubt since the slot's plan was made.
///
/// # Errors
/// Those of the database.
pub async fn list(database: &Database, scope: &SlotScope) -> Result<BTreeSet<String>> {
    let ids: Option<Vec<Vec<u8>>> = sqlx::query_scalar(
        "SELECT in_doubt FROM sync_multiplexer.slot WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(database.pool())
    .await
    .during(READING)?;
    Ok(texts(ids))
}

/// [`put`], in a transaction of the caller's.
pub(super) async fn note(connection: &mut PgConnection, scope: &SlotScope, entity_ids: &[&str]) -> Result<()> {
    let noted = sqlx::query(
        "UPDATE sync_multiplexer.slot
         SET in_doubt = ARRAY(SELECT DISTINCT unnest(slot.in_doubt || $4::bytea[]))
         WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(entity_ids.iter().map(|id| id.as_bytes()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .during(DOING)?
    .rows_affected();
    if noted > 0 { Ok(()) } else { Err(scope.not_found()) }
}

fn texts(ids: Option<Vec<Vec<u8>>>) -> BTreeSet<String> {
    ids.unwrap_or_default().iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect()
}
