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

/// What became of deletions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Removal {
    /// Keys of objects that are gone, from the raw store and from the destination.
    deleted: Vec<String>,
    /// Keys of other objects whose points went with them.
    forgotten: Vec<String>,
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
        let Removal { deleted, forgotten } = self.remove(database, std::mem::take(&mut ready.gone)).await?;
        let record = self.write_ready(ready, next_index).await?;
        let superseded = self.superseded(database, &record).await?;
        let abandoned = self.abandon(database, &record, in_hand).await?;
        Ok(BatchRecord { deleted, forgotten: [forgotten, superseded, abandoned].concat(), ..record })
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

    /// Deletes what an attempt had in hand that ended before it was recorded, and whose objects are gone or broken now. Answers
    /// the keys of what the ledger has of them: an earlier version, which was written over or removed.
    async fn abandon(&self, database: &Database, record: &BatchRecord, in_hand: &[String]) -> Result<Vec<String>> {
        let recorded: HashSet<&str> = record.accepted.iter().map(|entry| entry.entity_id.as_str()).collect();
        let abandoned: HashSet<&str> = in_hand.iter().map(String::as_str).filter(|id| !recorded.contains(id)).collect();
        if abandoned.is_empty() {
            return Ok(Vec::new());
        }
        let entities: Vec<_> = abandoned.iter().map(|id| EntityRef((*id).to_owned())).collect();
        self.slot.destination.delete(&entities).await?;
        let others = ledger::with_entities(database, &self.slot.scope, &abandoned, &HashSet::new()).await?;
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

    /// Deletes the entities of objects that are gone, `gone` by object key, unless another object carries them now.
    async fn remove(&self, database: &Database, gone: BTreeMap<String, String>) -> Result<Removal> {
        if gone.is_empty() {
            return Ok(Removal::default());
        }
        let others = self.other_carriers(database, &gone).await?;
        let kept = self.kept_by(&others).await?;
        let delete: HashSet<&String> = gone.values().filter(|id| !kept.contains(*id)).collect();
        let delete: Vec<_> = delete.into_iter().map(|id| EntityRef(id.clone())).collect();
        if !delete.is_empty() {
            self.slot.destination.delete(&delete).await?;
        }
        let forgotten =
            others.into_iter().filter(|other| !kept.contains(&other.entity_id)).map(|other| other.object_key).collect();
        Ok(Removal { deleted: gone.into_keys().collect(), forgotten })
    }

    /// What the slot was given from other objects that carry the same entities and are still there.
    async fn other_carriers(&self, database: &Database, gone: &BTreeMap<String, String>) -> Result<Vec<LedgerEntry>> {
        let mut there = Vec::new();
        let (keys, ids) = gone.iter().map(|(key, id)| (key.as_str(), id.as_str())).unzip();
        for other in ledger::with_entities(database, &self.slot.scope, &ids, &keys).await? {
            if self.store.holds_entity(&other.object_key).await? {
                there.push(other);
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
