//! The one lock of a sync: its row of `sync_state`.
//!
//! Creating or removing a slot, its state and its role change under it. It is taken before any other row, so these changes
//! wait for each other and never deadlock.

use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use crate::error::{Error, ErrorKind, Result};

/// Locks the sync until the end of the transaction and returns its generation.
pub(super) async fn lock(connection: &mut PgConnection, organization_id: Uuid, sync_id: Uuid) -> Result<i64> {
    require_sync(connection, organization_id, sync_id).await?;
    sqlx::query(
        "INSERT INTO sync_multiplexer.sync_state (sync_id, organization_id) VALUES ($1, $2)
         ON CONFLICT (sync_id) DO NOTHING",
    )
    .bind(sync_id)
    .bind(organization_id)
    .execute(&mut *connection)
    .await
    .during("preparing the state of the sync")?;
    sqlx::query_scalar(
        "SELECT generation FROM sync_multiplexer.sync_state WHERE sync_id = $1 AND organization_id = $2 FOR UPDATE",
    )
    .bind(sync_id)
    .bind(organization_id)
    .fetch_optional(connection)
    .await
    .during("locking the sync")?
    .ok_or_else(|| not_found(sync_id))
}

/// Fails with `NotFound` unless the organisation has this sync.
pub(super) async fn require_sync(connection: &mut PgConnection, organization_id: Uuid, sync_id: Uuid) -> Result<()> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM public.sync WHERE id = $1 AND organization_id = $2)")
            .bind(sync_id)
            .bind(organization_id)
            .fetch_one(connection)
            .await
            .during("looking for the sync")?;
    if exists { Ok(()) } else { Err(not_found(sync_id)) }
}

/// The answer for a sync that is not there, or not the caller's.
pub(super) fn not_found(sync_id: Uuid) -> Error {
    Error::new(ErrorKind::NotFound, format!("sync {sync_id} does not exist"))
}
