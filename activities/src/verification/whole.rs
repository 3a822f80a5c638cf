//! A whole slot, compared: the points of every entity with what was recorded, and a sample read back against the raw store.
//!
//! What seems to differ is [looked at again](super::suspects), because the platform may be writing to the slot. What does
//! differ is [in doubt](crate::database::doubts) from then on: the next plan writes it again, or removes it.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Comparison;
use super::counts::Miscount;
use super::suspects::Looks;
use crate::database::fence::{self, Hold, Obstacle};
use crate::database::{Database, doubts, ledger};
use crate::error::Result;
use crate::raw_store::SyncStore;
use crate::replay::{Carrier, OpenSlot};

impl Comparison {
    /// Compares a slot, and puts in doubt what differs. `sample` entities are read back.
    ///
    /// # Errors
    ///
    /// Those of the store, the destination and the database.
    pub(crate) async fn of_slot(database: &Database, store: SyncStore, slot: &OpenSlot, sample: u32) -> Result<Self> {
        let carrier = Carrier::new(slot, store.clone()).await?;
        let looks = Looks { database, slot, store: &store, carrier: &carrier };
        let mut comparison = Self::default();
        let was_written = is_written(database, slot).await?;
        let miscounts = comparison.compare_counts(database, slot).await?;
        // The slot's id as a seed: repeating a verification compares the same entities.
        let seed = slot.scope.slot_id.as_u64_pair().0;
        let sample = ledger::sample(database, &slot.scope, sample, seed).await?;
        let doubted = comparison.read_back(slot, &carrier, &sample).await?;

        let suspects = miscounts.iter().map(|it| &it.entity_id).chain(doubted.iter().map(|(id, _)| id));
        let convicted = looks.convict(suspects.cloned().collect()).await?;
        for Miscount { entity_id, want, have } in miscounts.iter().filter(|it| convicted.contains(&it.entity_id)) {
            comparison.miscount(entity_id, *want, *have);
        }
        for (entity_id, words) in doubted.iter().filter(|(id, _)| convicted.contains(id)) {
            comparison.content_differs(entity_id, words);
        }
        let is_live = !miscounts.is_empty() || was_written || is_written(database, slot).await?;
        let result = &mut comparison.result;
        if convicted.is_empty() && is_live {
            // All that differs is what the platform wrote meanwhile.
            result.points_found = result.points_expected;
        } else if result.points_found != result.points_expected {
            let counted = format!("{} points are counted and {} recorded", result.points_found, result.points_expected);
            comparison.example(counted);
        }
        put_in_doubt(database, slot, &convicted).await?;
        Ok(comparison)
    }
}

/// Whether the platform may be writing to the slot.
async fn is_written(database: &Database, slot: &OpenSlot) -> Result<bool> {
    let (sync_id, organization_id) = (slot.scope.sync_id, slot.scope.organization_id);
    let nobody = Hold { sync_id, organization_id, operation_id: Uuid::nil() };
    let in_the_way = fence::in_the_way(database, &[nobody]).await?;
    Ok(in_the_way.iter().any(|it| matches!(it.what, Obstacle::Job(_))))
}

async fn put_in_doubt(database: &Database, slot: &OpenSlot, convicted: &BTreeSet<String>) -> Result<()> {
    if convicted.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = convicted.iter().map(String::as_str).collect();
    doubts::put(database, &slot.scope, &ids).await
}
