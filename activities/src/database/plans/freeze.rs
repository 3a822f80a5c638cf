//! Writing plan and segments.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::difference::Difference;
use super::{PlanOptions, PlanSummary};
use crate::database::classify::During;
use crate::database::segment_entries::{self, PlannedChange};
use crate::database::{SlotScope, staged_listing};
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::ListedObject;

const DOING: &str = "freezing the plan";

/// Segments a plan aims at; enough for lanes to share the work evenly, few enough for a short workflow history.
const AIMED_SEGMENTS: i64 = 200;

/// Bounds of a segment the planner chooses, in entities: from one batch, so that a small store shows its progress too, to
/// less than a minute of work.
const CHOSEN_ENTITIES: std::ops::RangeInclusive<i64> = 64..=4000;

/// Writes plan and segments in place of the earlier plan, holding one segment in memory at a time.
pub(super) async fn freeze(
    connection: &mut PgConnection,
    scope: &SlotScope,
    plan_id: Uuid,
    difference: Difference,
    options: &PlanOptions,
) -> Result<PlanSummary> {
    let writes = bigint(difference.pending)?;
    let deletes = bigint(difference.deletes())?;
    let aimed = (writes + deletes + AIMED_SEGMENTS - 1) / AIMED_SEGMENTS;
    let size =
        options.segment_entities.map_or(aimed.clamp(*CHOSEN_ENTITIES.start(), *CHOSEN_ENTITIES.end()), i64::from);
    let write_segments = (writes + size - 1) / size;
    let delete_segments = (deletes + size - 1) / size;
    // Segments are numbered by a 32 bit integer in the database and on the wire.
    let numbers = i32::try_from(write_segments).ok().zip(i32::try_from(delete_segments).ok());
    let (write_segments, delete_segments) = numbers.ok_or_else(too_large)?;
    let segments = write_segments.checked_add(delete_segments).ok_or_else(too_large)?;
    let oldest_change: Option<DateTime<Utc>> = difference.oldest_change_ms.and_then(DateTime::from_timestamp_millis);

    sqlx::query("DELETE FROM sync_multiplexer.plan WHERE slot_id = $1 AND organization_id = $2")
        .bind(scope.slot_id)
        .bind(scope.organization_id)
        .execute(&mut *connection)
        .await
        .during(DOING)?;
    let summary = sqlx::query_as(
        "INSERT INTO sync_multiplexer.plan
             (plan_id, slot_id, sync_id, organization_id, listed, unchanged, left_out, entities, oldest_change, segments,
              segment_entities, vanished, vanished_sample, deletes, held_back, delete_segments, in_doubt, operation_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                 $18)
         RETURNING plan_id, segments, delete_segments, entities, deletes, held_back, listed, unchanged, left_out,
                   oldest_change, vanished_sample",
    )
    .bind(plan_id)
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(bigint(difference.listed)?)
    .bind(bigint(difference.unchanged)?)
    .bind(bigint(difference.left_out)?)
    .bind(writes)
    .bind(oldest_change)
    .bind(segments)
    .bind(i32::try_from(size).map_err(|_| too_large())?)
    .bind(bigint(difference.vanished)?)
    .bind(&difference.vanished_sample)
    .bind(deletes)
    .bind(bigint(difference.held_back)?)
    .bind(delete_segments)
    .bind(bigint(difference.in_doubt)?)
    .bind(options.operation_id)
    .fetch_one(&mut *connection)
    .await
    .during(DOING)?;

    let segment = |number| Segment { plan_id, organization_id: scope.organization_id, number };
    staged_listing::execute(
        connection,
        "DECLARE pending_in_order NO SCROLL CURSOR FOR
         SELECT object_key, size, token, modified_ms FROM pg_temp.pending ORDER BY object_key",
    )
    .await?;
    for number in 0..write_segments {
        let rows: Vec<(String, i64, String, i64)> = fetch(connection, "pending_in_order", size).await?;
        let object = |(key, size, token, modified_ms): (String, i64, String, i64)| {
            PlannedChange::Write(ListedObject { key, size: size.cast_unsigned(), token, modified_ms })
        };
        segment(number).insert(connection, rows.into_iter().map(object).collect(), &[]).await?;
    }
    staged_listing::execute(
        connection,
        "DECLARE vanished_in_order NO SCROLL CURSOR FOR
         SELECT object_key, entity_id, in_doubt FROM pg_temp.vanished ORDER BY object_key",
    )
    .await?;
    for number in write_segments..segments {
        let rows: Vec<(String, String, bool)> = fetch(connection, "vanished_in_order", size).await?;
        // As if an earlier attempt at this segment had left them.
        let in_hand: Vec<Vec<u8>> =
            rows.iter().filter(|(_, _, in_doubt)| *in_doubt).map(|(_, id, _)| id.clone().into_bytes()).collect();
        let delete = |(object_key, entity_id, _)| PlannedChange::Delete { object_key, entity_id };
        segment(number).insert(connection, rows.into_iter().map(delete).collect(), &in_hand).await?;
    }
    Ok(summary)
}

async fn fetch<Row>(connection: &mut PgConnection, cursor: &'static str, rows: i64) -> Result<Vec<Row>>
where
    Row: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    // `FETCH` takes no parameters; both are ours.
    let statement = sqlx::AssertSqlSafe(format!("FETCH FORWARD {rows} FROM {cursor}"));
    sqlx::query_as(statement).persistent(false).fetch_all(connection).await.during(DOING)
}

struct Segment {
    plan_id: Uuid,
    organization_id: Uuid,
    number: i32,
}

impl Segment {
    async fn insert(
        self,
        connection: &mut PgConnection,
        entries: Vec<PlannedChange>,
        in_hand: &[Vec<u8>],
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO sync_multiplexer.segment (plan_id, segment_no, organization_id, entries, entry_count, in_hand)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.plan_id)
        .bind(self.number)
        .bind(self.organization_id)
        .bind(segment_entries::encode(&entries)?)
        .bind(i32::try_from(entries.len()).map_err(|_| too_large())?)
        .bind(in_hand)
        .execute(connection)
        .await
        .during(DOING)?;
        Ok(())
    }
}

fn bigint(count: u64) -> Result<i64> {
    i64::try_from(count).map_err(|_| too_large())
}

fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, "the raw store lists more entities than a plan can hold")
}
