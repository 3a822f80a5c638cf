//! The reverse window: until when a deprecated slot is kept for a rollback.
//!
//! The flip opens it, in its own transaction; promoting the slot again ends it. Whether it is open is decided here, by the
//! clock of the database, for everybody: rollback asks for an open one, retire for a closed one. A slot that the platform
//! made has a window too: that of the flip which demoted it.

use chrono::{DateTime, Utc};

use super::classify::During;
use super::{Database, SlotScope};
use crate::error::Result;

/// The reverse window of a deprecated slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct ReverseWindow {
    /// When it ends.
    pub kept_until: DateTime<Utc>,
    /// Whether that is still to come.
    pub is_open: bool,
}

impl ReverseWindow {
    /// From the columns of an outer join with the view.
    pub(super) fn from_columns(kept_until: Option<DateTime<Utc>>, is_open: Option<bool>) -> Option<Self> {
        Some(Self { kept_until: kept_until?, is_open: is_open? })
    }
}

/// The window of a slot; absent when it is not deprecated, or was demoted without one.
///
/// # Errors
/// Those of reading. A slot that the organisation does not have has no window.
pub async fn of(database: &Database, scope: &SlotScope) -> Result<Option<ReverseWindow>> {
    sqlx::query_as(
        "SELECT kept_until, is_open FROM sync_multiplexer.reverse_window
         WHERE slot_id = $1 AND sync_id = $2 AND organization_id = $3",
    )
    .bind(scope.slot_id)
    .bind(scope.sync_id)
    .bind(scope.organization_id)
    .fetch_optional(database.pool())
    .await
    .during("reading the reverse window")
}
