//! What a carrier notes before it writes.

use uuid::Uuid;

use crate::database::{Database, SlotScope, segments};
use crate::error::Result;

/// The segment that a carrier works on: where it announces what it is about to write.
#[derive(Debug, Clone)]
pub(crate) struct Hand {
    pub(crate) database: Database,
    pub(crate) scope: SlotScope,
    pub(crate) plan_id: Uuid,
    pub(crate) segment_no: u32,
    /// The attempt's claim on the segment.
    pub(crate) claim: Uuid,
}

impl Hand {
    /// Notes entities whose points are about to be written.
    pub(super) async fn announce(&self, entity_ids: &[&str]) -> Result<()> {
        let Self { database, scope, plan_id, segment_no, claim } = self;
        segments::announce(database, scope, *plan_id, *segment_no, *claim, entity_ids).await
    }
}
