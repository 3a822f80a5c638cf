//! The syncs that feed a collection.

use uuid::Uuid;

use super::Database;
use super::classify::During;
use crate::error::{Error, ErrorKind, Result};

/// Ids of the syncs that feed a collection, in their order. As everywhere, the oldest source connection of a sync says which
/// collection that is.
///
/// # Errors
/// `NotFound` when the organisation has no such collection, or nothing feeds it.
pub async fn syncs(database: &Database, organization_id: Uuid, collection_id: Uuid) -> Result<Vec<Uuid>> {
    let syncs: Vec<Uuid> = sqlx::query_scalar(
        "SELECT sync.id
         FROM public.collection
         JOIN public.sync ON sync.organization_id = collection.organization_id
         CROSS JOIN LATERAL (
             SELECT source_connection.readable_collection_id
             FROM public.source_connection
             WHERE source_connection.sync_id = sync.id AND source_connection.organization_id = sync.organization_id
             ORDER BY source_connection.created_at, source_connection.id
             LIMIT 1
         ) AS source
         WHERE collection.id = $1 AND collection.organization_id = $2
           AND source.readable_collection_id = collection.readable_id
         ORDER BY sync.id",
    )
    .bind(collection_id)
    .bind(organization_id)
    .fetch_all(database.pool())
    .await
    .during("looking for the syncs of the collection")?;
    if syncs.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("collection {collection_id} does not exist, or no sync feeds it"),
        ));
    }
    Ok(syncs)
}
