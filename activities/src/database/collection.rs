//! The collections of the platform, as far as an operation is about one: which syncs feed it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Database;
use super::classify::During;
use crate::error::{Error, ErrorKind, Result};

/// Syncs of a collection that one operation takes on; so many still fit into the result of a workflow.
pub const MAX_SYNCS: usize = 128;

/// The syncs that feed a collection, oldest first. The oldest source connection of a sync decides which collection that is,
/// as everywhere else.
///
/// # Errors
/// `NotFound` when the organisation has no such collection; `Conflict` when no sync feeds it, or more than [`MAX_SYNCS`].
pub async fn syncs(database: &Database, organization_id: Uuid, collection_id: Uuid) -> Result<Vec<Uuid>> {
    const DOING: &str = "listing the syncs of the collection";
    let mut connection = database.pool().acquire().await.during(DOING)?;
    let readable_id: Option<String> =
        sqlx::query_scalar("SELECT readable_id FROM public.collection WHERE id = $1 AND organization_id = $2")
            .bind(collection_id)
            .bind(organization_id)
            .fetch_optional(&mut *connection)
            .await
            .during(DOING)?;
    let readable_id = readable_id.ok_or_else(|| not_found(collection_id))?;
    let syncs: Vec<Uuid> = sqlx::query_scalar(
        "SELECT sync.id
         FROM public.sync
         CROSS JOIN LATERAL (
             SELECT source_connection.readable_collection_id
             FROM public.source_connection
             WHERE source_connection.sync_id = sync.id AND source_connection.organization_id = sync.organization_id
             ORDER BY source_connection.created_at, source_connection.id
             LIMIT 1
         ) AS source
         WHERE sync.organization_id = $1 AND source.readable_collection_id = $2
         ORDER BY sync.created_at, sync.id
         LIMIT $3",
    )
    .bind(organization_id)
    .bind(&readable_id)
    .bind(i64::try_from(MAX_SYNCS).unwrap_or(i64::MAX).saturating_add(1))
    .fetch_all(&mut *connection)
    .await
    .during(DOING)?;
    if syncs.is_empty() {
        return Err(Error::new(ErrorKind::Conflict, format!("no sync feeds the collection {readable_id:?}")));
    }
    if syncs.len() > MAX_SYNCS {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "more than {MAX_SYNCS} syncs feed the collection {readable_id:?}, too many for one operation: name the \
                 syncs one by one"
            ),
        ));
    }
    Ok(syncs)
}

/// Fails with `NotFound` unless the organisation has this collection.
pub(super) async fn require(connection: &mut PgConnection, organization_id: Uuid, collection_id: Uuid) -> Result<()> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM public.collection WHERE id = $1 AND organization_id = $2)")
            .bind(collection_id)
            .bind(organization_id)
            .fetch_one(connection)
            .await
            .during("looking for the collection")?;
    if exists { Ok(()) } else { Err(not_found(collection_id)) }
}

/// The answer for a collection that is not there, or not the caller's.
pub(super) fn not_found(collection_id: Uuid) -> Error {
    Error::new(ErrorKind::NotFound, format!("collection {collection_id} does not exist"))
}
