//! What a carrier does about its segment before it writes: it notes what it is about to write, and takes the right to.

use crate::database::batch_hold::{Attempt, BatchHold};
use crate::database::{Database, segments};
use crate::error::Result;

/// The attempt at a segment on whose behalf a carrier writes.
#[derive(Debug, Clone)]
pub(crate) struct Hand {
    pub(crate) database: Database,
    pub(crate) attempt: Attempt,
}

impl Hand {
    /// Notes entities whose points are about to be written or removed.
    pub(crate) async fn announce(&self, entity_ids: &[&str]) -> Result<()> {
        if entity_ids.is_empty() {
            return Ok(());
        }
        segments::announce(&self.database, &self.attempt, entity_ids).await
    }

    /// Waits for the right to write one batch.
    pub(crate) async fn hold(&self) -> Result<BatchHold> {
        BatchHold::take(&self.database, self.attempt).await
    }
}
