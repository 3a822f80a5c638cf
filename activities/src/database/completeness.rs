//! Is everything the platform knows in the raw store?
//!
//! The platform writes its `entity` rows and the raw store at about the same time, and jobs may run meanwhile. So the rows
//! are read first, then the listing, and what seems missing is looked up among the rows once more: an entity that was
//! added while we listed is not missed, and one that was deleted is not missed either.

use futures::stream::BoxStream;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::binary_copy::BinaryRows;
use super::classify::During;
use super::staged_listing::StagingConnection;
use super::{Database, staged_listing, sync_lock};
use crate::error::Result;
use crate::raw_store::ListedObject;

/// The platform's entity rows compared with a listing of the raw store.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StoreComparison {
    /// Objects listed; a key listed twice counts once.
    #[sqlx(try_from = "i64")]
    pub listed: u64,
    /// Their sizes together.
    #[sqlx(try_from = "i64")]
    pub bytes: u64,
    /// Entities the platform has a row for.
    #[sqlx(try_from = "i64")]
    pub known_to_platform: u64,
    /// Of those, entities whose object was not listed.
    #[sqlx(try_from = "i64")]
    pub missing: u64,
    /// The first 20 of the missing, as entity ids in byte order.
    pub missing_sample: Vec<String>,
}

/// Reads the whole `listing` and compares it with what the platform knows of the sync. Memory does not grow with either.
///
/// `object_key` gives the object an entity is stored in, in the form of [`ListedObject::key`].
///
/// # Errors
/// `NotFound` when the organisation has no such sync; the first error of the listing, as it is.
pub async fn compare_with_listing(
    database: &Database,
    organization_id: Uuid,
    sync_id: Uuid,
    listing: BoxStream<'_, Result<ListedObject>>,
    object_key: fn(&str) -> String,
) -> Result<StoreComparison> {
    let mut connection = StagingConnection::acquire(database).await?;
    let mut transaction = connection.begin().await.during("comparing the raw store")?;
    sync_lock::require_sync(&mut transaction, organization_id, sync_id).await?;
    stage_known(&mut transaction, organization_id, sync_id, object_key).await?;
    staged_listing::stage(&mut transaction, listing).await?;

    // `COLLATE "default"` lets the platform's own index find the row.
    let comparison = sqlx::query_as(
        "WITH missing AS MATERIALIZED (
             SELECT DISTINCT known.entity_id
             FROM pg_temp.known
             WHERE NOT EXISTS (SELECT FROM pg_temp.listing WHERE listing.object_key = known.object_key)
               AND EXISTS (SELECT FROM public.entity
                           WHERE entity.sync_id = $1 AND entity.organization_id = $2
                             AND entity.entity_id = known.entity_id COLLATE \"default\")
         )
         SELECT (SELECT count(*) FROM pg_temp.listing) AS listed,
                (SELECT coalesce(sum(size), 0)::bigint FROM pg_temp.listing) AS bytes,
                (SELECT count(DISTINCT entity_id) FROM pg_temp.known) AS known_to_platform,
                (SELECT count(*) FROM missing) AS missing,
                ARRAY(SELECT entity_id FROM missing ORDER BY entity_id LIMIT 20) AS missing_sample",
    )
    .bind(sync_id)
    .bind(organization_id)
    .persistent(false)
    .fetch_one(&mut *transaction)
    .await
    .during("comparing the raw store")?;
    transaction.rollback().await.during("comparing the raw store")?;
    Ok(comparison)
}

/// Fills `pg_temp.known (object_key, entity_id)` from the platform's rows, a page of a cursor at a time: a stream of rows
/// and a `COPY` cannot share a connection.
async fn stage_known(
    connection: &mut PgConnection,
    organization_id: Uuid,
    sync_id: Uuid,
    object_key: fn(&str) -> String,
) -> Result<()> {
    const DOING: &str = "reading what the platform knows";
    staged_listing::execute(
        connection,
        "CREATE TEMPORARY TABLE known (object_key text COLLATE \"C\" NOT NULL, entity_id text COLLATE \"C\" NOT NULL)
         ON COMMIT DROP",
    )
    .await?;
    sqlx::query(
        "DECLARE platform_entity NO SCROLL CURSOR FOR
         SELECT entity_id::text FROM public.entity WHERE sync_id = $1 AND organization_id = $2",
    )
    .bind(sync_id)
    .bind(organization_id)
    .persistent(false)
    .execute(&mut *connection)
    .await
    .during(DOING)?;
    loop {
        let page: Vec<String> = sqlx::query_scalar("FETCH FORWARD 5000 FROM platform_entity")
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .during(DOING)?;
        if page.is_empty() {
            break;
        }
        let mut rows = BinaryRows::new();
        for entity_id in &page {
            rows.row(2).text(&object_key(entity_id)).text(entity_id);
        }
        rows.end();
        let mut copy = connection
            .copy_in_raw("COPY pg_temp.known (object_key, entity_id) FROM STDIN (FORMAT binary)")
            .await
            .during(DOING)?;
        copy.send(rows.as_slice()).await.during(DOING)?;
        copy.finish().await.during(DOING)?;
    }
    staged_listing::execute(connection, "CLOSE platform_entity").await?;
    staged_listing::execute(connection, "ANALYZE pg_temp.known").await
}
