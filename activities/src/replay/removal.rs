//! Taking out of a slot what the raw store no longer has.
//!
//! A plan says what a complete listing lacked. That was then: each object is looked for once more before anything is
//! deleted, and one that is back is written instead.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::batch::{Carrier, READS_IN_FLIGHT, Ready};
use crate::database::ledger::{self, ContentDigest, LedgerEntry};
use crate::database::segments::BatchRecord;
use crate::database::{Database, PlannedChange};
use crate::destinations::{EntityRef, StoredEntity};
use crate::error::Result;
use crate::raw_store::ListedObject;

/// What was taken out of the slot.
#[derive(Debug, Default, PartialEq, Eq)]
struct Removal {
    /// Keys of the objects whose points went with it.
    forgotten: Vec<String>,
    /// Entities of those objects that are still there.
    in_doubt: Vec<String>,
}

impl Carrier<'_> {
    /// Makes everything that the destination is to be given for `changes`, and changes nothing yet.
    ///
    /// # Errors
    ///
    /// Those of the store and the embedder.
    pub(crate) async fn prepare_batch(&mut self, changes: &[PlannedChange]) -> Result<Ready> {
        let (mut writes, mut gone) = (Vec::new(), BTreeMap::new());
        for (change, is_there) in self.look(changes).await? {
            match change {
                PlannedChange::Write(object) => writes.push(object),
                PlannedChange::Delete { object_key, .. } if is_there => {
                    writes.push(ListedObject { key: object_key, size: 0, token: String::new(), modified_ms: 0 });
                }
                PlannedChange::Delete { object_key, entity_id } => {
                    gone.insert(object_key, entity_id);
                }
            }
        }
        self.ready(&writes, gone).await
    }

    /// Does what is ready; `next_index` is where the cursor goes afterwards. `in_hand` are entities that an attempt before this
    /// one may have written or removed and has not recorded.
    ///
    /// Whoever calls this holds the [right](crate::database::batch_hold::BatchHold) to write the batch, and has announced its
    /// entities.
    ///
    /// # Errors
    ///
    /// Those of the destination; nothing is recorded then, and doing it again is safe.
    pub(crate) async fn land(
        &self,
        database: &Database,
        mut ready: Ready,
        next_index: u32,
        in_hand: &[String],
    ) -> Result<BatchRecord> {
        // First, so that nothing that was just written goes with what was there before.
        let gone = std::mem::take(&mut ready.gone);
        let (keys, ids) = gone.iter().map(|(key, id)| (key.as_str(), id.as_str())).unzip();
        let removed = self.take_out(database, ids, &keys).await?;
        let record = self.write_ready(ready, next_index).await?;
        let superseded = self.superseded(database, &record).await?;
        // What an attempt had in hand that ended before it was recorded, and whose objects are gone or broken now.
        let written: HashSet<&str> = record.accepted.iter().map(|entry| entry.entity_id.as_str()).collect();
        let abandoned = in_hand.iter().map(String::as_str).filter(|id| !written.contains(id)).collect();
        let abandoned = self.take_out(database, abandoned, &HashSet::new()).await?;
        Ok(BatchRecord {
            deleted: gone.into_keys().collect(),
            forgotten: [removed.forgotten, superseded, abandoned.forgotten].concat(),
            in_doubt: [removed.in_doubt, abandoned.in_doubt].concat(),
            ..record
        })
    }

    /// Keys of other objects whose points were just written over, because they carry the same entity. The next plan finds out
    /// what they are by then: gone, or a copy of an entity whose own object is there, which is a dead letter.
    async fn superseded(&self, database: &Database, record: &BatchRecord) -> Result<Vec<String>> {
        if record.accepted.is_empty() {
            return Ok(Vec::new());
        }
        let (keys, ids) =
            record.accepted.iter().map(|entry| (entry.object_key.as_str(), entry.entity_id.as_str())).unzip();
        let others = ledger::with_entities(database, &self.slot.scope, &ids, &keys).await?;
        Ok(others.into_iter().map(|other| other.object_key).collect())
    }

    /// The changes, each with whether an object to delete is there after all.
    async fn look(&self, changes: &[PlannedChange]) -> Result<Vec<(PlannedChange, bool)>> {
        stream::iter(changes.to_vec())
            .map(async |change| {
                let is_there = match &change {
                    PlannedChange::Write(_) => true,
                    PlannedChange::Delete { object_key, .. } => self.store.holds_entity(object_key).await?,
                };
                Ok((change, is_there))
            })
            .buffered(READS_IN_FLIGHT)
            .try_collect()
            .await
    }

    /// Deletes entities, unless another object than `keys` carries them: it is still there, and they are what it became.
    async fn take_out(&self, database: &Database, ids: HashSet<&str>, keys: &HashSet<&str>) -> Result<Removal> {
        if ids.is_empty() {
            return Ok(Removal::default());
        }
        let others = ledger::with_entities(database, &self.slot.scope, &ids, keys).await?;
        let mut there = self.still_there(&others).await?;
        let kept = self.kept_by(&there).await?;
        let delete: Vec<_> =
            ids.into_iter().filter(|id| !kept.contains(*id)).map(|id| EntityRef(id.to_owned())).collect();
        if !delete.is_empty() {
            self.slot.destination.delete(&delete).await?;
        }
        there.retain(|other| !kept.contains(&other.entity_id));
        let forgotten = others.into_iter().filter(|other| !kept.contains(&other.entity_id));
        Ok(Removal {
            forgotten: forgotten.map(|other| other.object_key).collect(),
            in_doubt: there.into_iter().map(|other| other.entity_id).collect(),
        })
    }

    /// Those of the entries whose objects are still there.
    async fn still_there(&self, entries: &[LedgerEntry]) -> Result<Vec<LedgerEntry>> {
        let mut there = Vec::new();
        for entry in entries {
            if self.store.holds_entity(&entry.object_key).await? {
                there.push(entry.clone());
            }
        }
        Ok(there)
    }

    /// Entities whose points are what one of `others` became. Those of the rest were written over by an object that is gone,
    /// so they are deleted, and what carries them is written anew.
    async fn kept_by(&self, others: &[LedgerEntry]) -> Result<HashSet<String>> {
        if others.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: HashSet<&String> = others.iter().map(|other| &other.entity_id).collect();
        let ids: Vec<_> = ids.into_iter().map(|id| EntityRef(id.clone())).collect();
        let stored: HashMap<String, StoredEntity> =
            self.slot.destination.read(&ids).await?.into_iter().map(|it| (it.entity.0.clone(), it)).collect();
        let mut kept = HashSet::new();
        for other in others {
            let is_it = match stored.get(&other.entity_id) {
                Some(stored) => ContentDigest::of(&stored.content_hash)? == other.content,
                None => other.points == 0,
            };
            if is_it {
                kept.insert(other.entity_id.clone());
            }
        }
        Ok(kept)
    }
}
