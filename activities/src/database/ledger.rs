//! What a slot is known to hold.
//!
//! Rows are written by [`super::segments::checkpoint`] only, in the transaction that moves the cursor. Here they are read:
//! in the order of entity ids for a comparison with the destination, and as a sample to compare in full.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::PgConnection;

use super::classify::{During, classify};
use super::{Database, SlotScope};
use crate::error::{Error, ErrorKind, Result};

/// One entity a slot was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Key of the object in the raw store.
    pub object_key: String,
    /// The entity in it.
    pub entity_id: String,
    /// Version of the object, as listed.
    pub token: String,
    /// Hash of what was written: equal for equal text and metadata.
    pub content_hash: [u8; 32],
    /// Points the destination acknowledged; 0 for an entity without text.
    pub points: u32,
}

/// Sums over a slot's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct LedgerTotals {
    /// Entities recorded.
    #[sqlx(try_from = "i64")]
    pub entities: u64,
    /// Of those, without text.
    #[sqlx(try_from = "i64")]
    pub textless: u64,
    /// Points recorded.
    #[sqlx(try_from = "i64")]
    pub points: u64,
}

/// Every entity with points and how many, in byte order of the entity id. An id that several objects carry comes once,
/// with the points of all. Holds a connection of the pool until the stream is dropped.
///
/// # Errors
/// `NotFound` for a slot this product did not build; errors of reading come through the stream.
pub async fn stream_by_entity<'a>(
    database: &'a Database,
    scope: &SlotScope,
) -> Result<BoxStream<'a, Result<(String, u64)>>> {
    require(database, scope).await?;
    Ok(sqlx::query_as::<_, (String, i64)>(
        "SELECT entity_id, sum(points) FROM sync_multiplexer.ledger
         WHERE slot_id = $1 AND organization_id = $2 AND points > 0
         GROUP BY entity_id
         ORDER BY entity_id",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .fetch(database.pool())
    .map_ok(|(entity_id, points)| (entity_id, points.unsigned_abs()))
    .map_err(|error| classify("reading the ledger", error))
    .boxed())
}

/// At most `n` entities with points, chosen evenly by `seed`: the same seed over the same ledger gives the same sample.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn sample(database: &Database, scope: &SlotScope, n: u32, seed: u64) -> Result<Vec<LedgerRow>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        object_key: String,
        entity_id: String,
        token: String,
        content_hash: Vec<u8>,
        #[sqlx(try_from = "i32")]
        points: u32,
    }
    require(database, scope).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT object_key, entity_id, token, content_hash, points FROM sync_multiplexer.ledger
         WHERE slot_id = $1 AND organization_id = $2 AND points > 0
         ORDER BY hashtextextended(object_key, $3), object_key
         LIMIT $4",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .bind(seed.cast_signed())
    .bind(i64::from(n))
    .fetch_all(database.pool())
    .await
    .during("sampling the ledger")?;
    rows.into_iter()
        .map(|row| {
            let content_hash = row
                .content_hash
                .try_into()
                .map_err(|_| Error::new(ErrorKind::Internal, "a content hash in the ledger is not 32 bytes long"))?;
            Ok(LedgerRow {
                object_key: row.object_key,
                entity_id: row.entity_id,
                token: row.token,
                content_hash,
                points: row.points,
            })
        })
        .collect()
}

/// Adds the ledger up.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn totals(database: &Database, scope: &SlotScope) -> Result<LedgerTotals> {
    require(database, scope).await?;
    sqlx::query_as(
        "SELECT count(*) AS entities, count(*) FILTER (WHERE points = 0) AS textless,
                coalesce(sum(points), 0)::bigint AS points
         FROM sync_multiplexer.ledger
         WHERE slot_id = $1 AND organization_id = $2",
    )
    .bind(scope.slot_id)
    .bind(scope.organization_id)
    .fetch_one(database.pool())
    .await
    .during("adding up the ledger")
}

/// Records what the destination acknowledged, one statement for all rows.
pub(super) async fn upsert(connection: &mut PgConnection, scope: &SlotScope, rows: &[LedgerRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let points = rows
        .iter()
        .map(|row| i32::try_from(row.points))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::new(ErrorKind::Internal, "an entity has more points than can be recorded"))?;
    sqlx::query(
        "INSERT INTO sync_multiplexer.ledger
             (slot_id, sync_id, organization_id, object_key, entity_id, token, content_hash, points)
         SELECT $1, $2, $3, object_key, entity_id, token, content_hash, points
         FROM unnest($4::text[], $5::text[], $6::text[], $7::bytea[], $8::integer[])
              AS row (object_key, entity_id, token, content_hash, points)
         ON CONFLICT (slot_id, object_key) DO UPDATE
         SET entity_id = excluded.entity_id, token = excluded.token, content_hash = excluded.content_hash,
             points = excluded.points, written_at = now()",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(rows.iter().map(|row| row.object_key.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.entity_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.token.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.content_hash.as_slice()).collect::<Vec<_>>())
    .bind(points)
    .execute(connection)
    .await
    .during("writing the ledger")?;
    Ok(())
}

async fn require(database: &Database, scope: &SlotScope) -> Result<()> {
    let mut connection = database.pool().acquire().await.during("reading the ledger")?;
    scope.require(&mut connection).await
}
