//! Entities that seem to differ, looked at again.
//!
//! The platform writes an entity to the slot and to the raw store one after the other, in either order, so between the two
//! the slot differs from the raw store, and soon after it does not, or the next plan knows. What still differs after some
//! looks is no live write.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::BATCH;
use super::content::{Verdict, judge};
use crate::database::{Database, ledger};
use crate::destinations::EntityRef;
use crate::error::Result;
use crate::raw_store::{SyncStore, entity_file_name};
use crate::replay::{Carrier, OpenSlot};

/// Before each look: in all, longer than the platform takes from one write of an entity to the next.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(600), Duration::from_millis(1600)];

/// What it takes to look.
pub(super) struct Looks<'a> {
    pub(super) database: &'a Database,
    pub(super) slot: &'a OpenSlot,
    pub(super) store: &'a SyncStore,
    pub(super) carrier: &'a Carrier<'a>,
}

impl Looks<'_> {
    /// Those of `suspects` that differ at every look.
    ///
    /// # Errors
    ///
    /// Those of the store, the destination and the database.
    pub(super) async fn convict(&self, mut suspects: BTreeSet<String>) -> Result<BTreeSet<String>> {
        for pause in PAUSES {
            if suspects.is_empty() {
                break;
            }
            tokio::time::sleep(pause).await;
            let mut convicted = BTreeSet::new();
            let all: Vec<&str> = suspects.iter().map(String::as_str).collect();
            for some in all.chunks(BATCH) {
                convicted.extend(self.look(some).await?);
            }
            suspects = convicted;
        }
        Ok(suspects)
    }

    /// Those that differ now, from the raw store as well as from what is recorded of it.
    async fn look(&self, ids: &[&str]) -> Result<Vec<String>> {
        let wanted: HashSet<&str> = ids.iter().copied().collect();
        let held = ledger::with_entities(self.database, &self.slot.scope, &wanted, &HashSet::new()).await?;
        let verdicts = judge(self.slot, self.carrier, &held).await?;
        let (mut differing, mut excused) = (BTreeSet::new(), HashSet::new());
        for (entry, verdict) in held.iter().zip(verdicts) {
            match verdict {
                Verdict::Differs(_) => drop(differing.insert(entry.entity_id.clone())),
                Verdict::Same | Verdict::Changed => drop(excused.insert(entry.entity_id.as_str())),
            }
        }
        differing.retain(|id| !excused.contains(id.as_str()));

        let recorded: HashSet<&str> = held.iter().map(|entry| entry.entity_id.as_str()).collect();
        let unknown: Vec<_> =
            ids.iter().filter(|id| !recorded.contains(*id)).map(|id| EntityRef((*id).to_owned())).collect();
        if !unknown.is_empty() {
            for stored in self.slot.destination.read(&unknown).await? {
                // What the raw store has and nobody carried over yet is new there.
                if !self.store.holds_entity(&entity_file_name(&stored.entity.0)).await? {
                    differing.insert(stored.entity.0);
                }
            }
        }
        Ok(differing.into_iter().collect())
    }
}
