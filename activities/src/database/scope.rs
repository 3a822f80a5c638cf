//! Naming a slot so that tenants cannot meet.

use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
use crate::error::{Error, ErrorKind, Result};

/// One slot of one sync of one organisation. All three must fit together, or the slot does not exist for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotScope {
    /// The tenant.
    pub organization_id: Uuid,
    /// The sync the slot belongs to.
    pub sync_id: Uuid,
    /// The id of the row in `sync_connection`.
    pub slot_id: Uuid,
}

impl SlotScope {
    /// Fails with `NotFound` unless this product built that slot for that sync and organisation.
    pub(super) async fn require(&self, connection: &mut PgConnection) -> Result<()> {
        let exists: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM sync_multiplexer.slot
                            WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3)",
        )
        .bind(self.slot_id)
        .bind(self.sync_id)
        .bind(self.organization_id)
        .fetch_one(connection)
        .await
        .during("looking for the slot")?;
        if exists { Ok(()) } else { Err(self.not_found()) }
    }

    /// The answer for a slot that is not there, or not the caller's.
    pub(super) fn not_found(&self) -> Error {
        Error::new(ErrorKind::NotFound, format!("slot {} does not exist in sync {}", self.slot_id, self.sync_id))
    }
}
