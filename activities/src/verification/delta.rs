//! What one plan changed, compared entity by entity.
//!
//! Everything that the plan wrote is read back; everything that it deleted is looked for. Left out is what it did not carry
//! over: a dead letter, and an object that was gone by then. Then all points are counted. Should the count not be what is
//! recorded, every entity's points are compared to name those that differ.
//!
//! What differs is [in doubt](crate::database::doubts) from then on: the next plan writes it again, or removes it.

use std::collections::HashSet;

use uuid::Uuid;

use super::content::{Verdict, judge};
use super::counts::{Miscount, miscounts};
use super::{BATCH, Comparison, MOST_IN_DOUBT};
use crate::database::ledger::{self, LedgerEntry};
use crate::database::{Database, PlannedChange, doubts, segments};
use crate::destinations::EntityRef;
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::{SyncStore, entity_file_name};
use crate::replay::{Carrier, OpenSlot};

impl Comparison {
    /// Compares what a plan of the slot changed, and puts in doubt what differs.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is not the slot's plan any more; `Internal` when it is not worked through.
    pub(crate) async fn of_delta(
        database: &Database,
        store: SyncStore,
        slot: &OpenSlot,
        plan_id: Uuid,
    ) -> Result<Self> {
        let totals = segments::totals(database, &slot.scope, plan_id).await?;
        if totals.segments_done != totals.segments {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "{} of {} segments are done; what a plan changes is compared when all are",
                    totals.segments_done, totals.segments
                ),
            ));
        }
        let mut delta = Delta {
            database,
            slot,
            carrier: Carrier::new(slot, store.clone()).await?,
            store,
            comparison: Self::default(),
            differing: Vec::new(),
        };
        for segment_no in 0..totals.segments {
            let segment = segments::read(database, &slot.scope, plan_id, segment_no).await?;
            for changes in segment.entries.chunks(BATCH) {
                delta.compare(changes).await?;
            }
        }
        delta.compare_left_out().await?;
        delta.count().await?;
        if !delta.differing.is_empty() {
            let ids: Vec<_> = delta.differing.iter().take(MOST_IN_DOUBT).map(String::as_str).collect();
            doubts::put(database, &slot.scope, &ids).await?;
        }
        Ok(delta.comparison)
    }
}

struct Delta<'a> {
    database: &'a Database,
    slot: &'a OpenSlot,
    carrier: Carrier<'a>,
    store: SyncStore,
    comparison: Comparison,
    differing: Vec<String>,
}

impl Delta<'_> {
    /// Compares what became of a batch of changes.
    async fn compare(&mut self, changes: &[PlannedChange]) -> Result<()> {
        let keys: Vec<&str> = changes
            .iter()
            .map(|change| match change {
                PlannedChange::Write(object) => object.key.as_str(),
                PlannedChange::Delete { object_key, .. } => object_key.as_str(),
            })
            .collect();
        let held = ledger::of_objects(self.database, &self.slot.scope, &keys).await?;
        self.compare_written(&held).await?;

        let still: HashSet<&str> = held.iter().map(|entry| entry.entity_id.as_str()).collect();
        let gone: HashSet<&str> = changes
            .iter()
            .filter_map(|change| match change {
                PlannedChange::Delete { entity_id, .. } => Some(entity_id.as_str()),
                PlannedChange::Write(_) => None,
            })
            .filter(|id| !still.contains(id))
            .collect();
        self.compare_gone(gone).await
    }

    /// Entities that the slot is known to hold.
    async fn compare_written(&mut self, entries: &[LedgerEntry]) -> Result<()> {
        self.comparison.result.entities_compared += entries.len() as u64;
        let verdicts = judge(self.slot, &self.carrier, entries).await?;
        let mut doubted = Vec::new();
        for (entry, verdict) in entries.iter().zip(verdicts) {
            match verdict {
                Verdict::Same => self.comparison.result.sampled += 1,
                Verdict::Changed => {}
                Verdict::Differs(_) => doubted.push(entry.clone()),
            }
        }
        // A second look: the platform writes to the slot before it writes to the raw store, or after.
        for (entity_id, words) in self.comparison.read_back(self.slot, &self.carrier, &doubted).await? {
            self.comparison.content_differs(&entity_id, &words);
            self.differing.push(entity_id);
        }
        Ok(())
    }

    /// Entities that were deleted. One that another object carries, or that is back, is not.
    async fn compare_gone(&mut self, gone: HashSet<&str>) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        self.comparison.result.entities_compared += gone.len() as u64;
        let others = ledger::with_entities(self.database, &self.slot.scope, &gone, &HashSet::new()).await?;
        let carried: HashSet<&str> = others.iter().map(|other| other.entity_id.as_str()).collect();
        let ids: Vec<_> =
            gone.iter().filter(|id| !carried.contains(*id)).map(|id| EntityRef((*id).to_owned())).collect();
        for stored in self.slot.destination.read(&ids).await? {
            if self.store.holds_entity(&entity_file_name(&stored.entity.0)).await? {
                continue;
            }
            self.comparison.miscount(&stored.entity.0, 0, stored.chunks.len() as u64);
            self.differing.push(stored.entity.0);
        }
        Ok(())
    }

    /// Entities that the plan took out although an object carries them: nothing that was recorded says that they are missing.
    async fn compare_left_out(&mut self) -> Result<()> {
        let in_doubt = doubts::list(self.database, &self.slot.scope).await?;
        if in_doubt.is_empty() {
            return Ok(());
        }
        let ids: HashSet<&str> = in_doubt.iter().map(String::as_str).collect();
        let held = ledger::with_entities(self.database, &self.slot.scope, &ids, &HashSet::new()).await?;
        self.compare_written(&held).await?;
        for id in &ids - &held.iter().map(|entry| entry.entity_id.as_str()).collect() {
            self.comparison.left_out(id);
        }
        Ok(())
    }

    /// Compares the number of all points; where it differs, finds out why.
    async fn count(&mut self) -> Result<()> {
        let result = &mut self.comparison.result;
        result.points_expected = ledger::totals(self.database, &self.slot.scope).await?.points;
        result.points_found = self.slot.destination.count().await?;
        if result.points_expected == result.points_found {
            return Ok(());
        }
        let known: HashSet<String> = self.differing.iter().cloned().collect();
        let mut live = false;
        for miscount in miscounts(self.database, self.slot, MOST_IN_DOUBT).await? {
            if known.contains(&miscount.entity_id) {
                continue;
            }
            if self.is_live_write(&miscount).await? {
                live = true;
                continue;
            }
            let Miscount { entity_id, want, have } = miscount;
            self.comparison.miscount(&entity_id, want, have);
            self.differing.push(entity_id);
        }
        let result = &mut self.comparison.result;
        if live && self.differing.is_empty() {
            // All that differs is what the platform wrote meanwhile.
            result.points_found = result.points_expected;
        } else {
            let counted = format!("{} points are counted and {} recorded", result.points_found, result.points_expected);
            self.comparison.example(counted);
        }
        Ok(())
    }

    /// Whether the platform wrote the entity since, so that the next plan carries it over.
    async fn is_live_write(&self, miscount: &Miscount) -> Result<bool> {
        let id = HashSet::from([miscount.entity_id.as_str()]);
        let held = ledger::with_entities(self.database, &self.slot.scope, &id, &HashSet::new()).await?;
        if held.is_empty() {
            return self.store.holds_entity(&entity_file_name(&miscount.entity_id)).await;
        }
        let verdicts = judge(self.slot, &self.carrier, &held).await?;
        Ok(verdicts.into_iter().all(|verdict| verdict == Verdict::Changed))
    }
}
