//! Where readers must look: the contract for readers, read the way a reader does.

use serde_json::Value;
use uuid::Uuid;

use super::classify::During;
use super::{Database, sync_lock};
use crate::error::{Error, ErrorKind, Result};

/// The active destination of a sync, as of one generation. At another generation it may be another one.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ActiveDestination {
    /// The sync.
    pub sync_id: Uuid,
    /// The tenant.
    pub organization_id: Uuid,
    /// The collection that the sync feeds; absent when no source connection says so.
    pub collection_id: Option<Uuid>,
    /// The name of that collection in URLs.
    pub collection_readable_id: Option<String>,
    /// The connection to read through.
    pub connection_id: Uuid,
    /// The kind of destination, such as `qdrant_native`.
    pub short_name: String,
    /// The slot.
    pub slot_id: Uuid,
    /// How it was built; absent when the platform built it.
    pub profile: Option<Value>,
    /// The number of role changes of the sync so far.
    #[sqlx(try_from = "i64")]
    pub generation: u64,
}

/// Resolves the active destination. One statement, so that slot and generation belong together.
///
/// # Errors
/// `NotFound` when the organisation has no such sync, or the sync has no active destination.
pub async fn resolve(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<ActiveDestination> {
    let mut connection = database.pool().acquire().await.during("resolving the active destination")?;
    sync_lock::require_sync(&mut connection, organization_id, sync_id).await?;
    sqlx::query_as(
        "SELECT sync_id, organization_id, collection_id, collection_readable_id, connection_id, short_name, slot_id,
                profile, generation
         FROM sync_multiplexer.active_destination WHERE sync_id = $1 AND organization_id = $2",
    )
    .bind(sync_id)
    .bind(organization_id)
    .fetch_optional(&mut *connection)
    .await
    .during("resolving the active destination")?
    .ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("sync {sync_id} has no active destination: switch to a slot of it, see `syncmux list`"),
        )
    })
}
