//! The slots of a sync whose vectors another slot may take over.

use serde_json::Value;
use uuid::Uuid;

use super::classify::During;
use super::{Database, SlotScope};
use crate::error::Result;

/// A slot that something was written to, with vectors of the model that was asked for.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Donor {
    /// Id of the row in `sync_connection`.
    pub slot_id: Uuid,
    /// The connection it writes through.
    pub connection_id: Uuid,
    /// How it is built, as JSON.
    pub profile: Value,
}

/// The other slots of the sync with vectors of `model`: active first, then shadows, then deprecated ones; oldest first
/// within a role.
///
/// # Errors
/// `NotFound` for a slot this product did not build.
pub async fn of_model(database: &Database, scope: &SlotScope, model: &str) -> Result<Vec<Donor>> {
    const DOING: &str = "looking for slots with the same vectors";
    let mut connection = database.pool().acquire().await.during(DOING)?;
    scope.require(&mut connection).await?;
    sqlx::query_as(
        "SELECT slot.slot_id, joined.connection_id, slot.profile
         FROM sync_multiplexer.slot
         JOIN public.sync_connection AS joined ON joined.id = slot.slot_id AND joined.sync_id = slot.sync_id
         WHERE slot.sync_id = $1 AND slot.organization_id = $2 AND slot.slot_id <> $3
           AND slot.state <> 'empty' AND slot.embedder_model = $4
           -- What the platform wrote may still be in there, and nobody knows which model made its vectors.
           AND NOT slot.adopted
         ORDER BY array_position(ARRAY['active', 'shadow', 'deprecated'], joined.role::text),
                  joined.created_at, joined.id",
    )
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .bind(scope.slot_id)
    .bind(model)
    .fetch_all(&mut *connection)
    .await
    .during(DOING)
}
