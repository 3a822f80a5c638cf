//! A slot on a shelf, and what it has to be in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;
use uuid::Uuid;

use super::ENTITIES;
use super::store::{Store, copy_of, entity_id};
use crate::chunking::{Chunker, ChunkerSettings};
use crate::database::ledger::{self, ContentDigest};
use crate::database::{Database, SlotScope, dead_letters};
use crate::destinations::StoredEntity;
use crate::raw_store::entity_file_name;
use crate::replay::Carrier;
use crate::replay::shelf::{Echo, Shelf};
use crate::replay::slot::{Feed, OpenSlot};

/// A slot with its shelf.
pub(super) struct Slot {
    pub(super) open: OpenSlot,
    pub(super) shelf: Arc<Shelf>,
}

impl Slot {
    pub(super) fn new(scope: SlotScope, place: &str) -> Self {
        let shelf = Arc::new(Shelf::new(place));
        let chunker = Chunker::new(ChunkerSettings { max_tokens: 64, overlap_tokens: 0 }).unwrap();
        let open = OpenSlot {
            scope,
            collection_id: Uuid::from_u128(1),
            source_short_name: None,
            feed: Feed::Chunks { chunker: Arc::new(chunker), embedder: Arc::new(Echo::default()) },
            destination: Arc::<Shelf>::clone(&shelf),
            destination_kind: "pgvector",
            health: Arc::default(),
        };
        Self { open, shelf }
    }

    /// One that nobody else knows.
    pub(super) fn aside(sync_id: Uuid) -> Self {
        let id = Uuid::from_u128(3);
        Self::new(SlotScope { organization_id: id, sync_id, slot_id: id }, "aside")
    }

    /// Compares the slot with a [clean build](clean_build) of the store, entity by entity.
    pub(super) async fn assert_is(&self, clean: &[StoredEntity], database: &Database, store: &Store, context: &str) {
        // Of a dead letter the last good version stays; a clean build has none.
        let broken: BTreeSet<String> = dead_letters::list(database, &self.open.scope, 100)
            .await
            .unwrap()
            .into_iter()
            .filter(|it| it.letter.entity_id.is_empty())
            .map(|it| it.letter.object_key)
            .collect();
        let left_out: BTreeSet<String> = (0..ENTITIES)
            .filter(|number| {
                broken.contains(&copy_of(*number)) || broken.contains(&entity_file_name(&entity_id(*number)))
            })
            .map(entity_id)
            .collect();
        let good = |content: Vec<StoredEntity>| -> Vec<StoredEntity> {
            content.into_iter().filter(|it| !left_out.contains(&it.entity.0)).collect()
        };
        let (found, expected) = (good(self.shelf.content()), good(clean.to_vec()));
        if found == expected {
            return;
        }
        let ids = |content: &[StoredEntity]| content.iter().map(|it| it.entity.0.clone()).collect::<BTreeSet<_>>();
        let differing: Vec<_> = found
            .iter()
            .filter(|it| expected.iter().any(|other| other.entity == it.entity && other != *it))
            .map(|it| &it.entity.0)
            .collect();
        let held = ledger::stream(database, &self.open.scope).await.unwrap();
        let held: Vec<_> = held.map_ok(|it| (it.object_key, it.entity_id, it.points)).try_collect().await.unwrap();
        let listed: Vec<_> = store.listing().await.into_iter().map(|it| it.key).collect();
        panic!(
            "{context}: the slot is not a clean build: it has {:?} beyond one and lacks {:?}, and {differing:?} are another \
             version;\nthe ledger has {held:?};\nthe store has {listed:?}; broken are {broken:?}",
            &ids(&found) - &ids(&expected),
            &ids(&expected) - &ids(&found),
        );
    }

    /// What a verification compares: the ledger says what is on the shelf.
    pub(super) async fn assert_ledger_tells_the_truth(&self, database: &Database, context: &str) {
        let entries: Vec<_> = ledger::stream(database, &self.open.scope).await.unwrap().try_collect().await.unwrap();
        let mut recorded: BTreeMap<String, (u32, ContentDigest)> = BTreeMap::new();
        for entry in entries.into_iter().filter(|entry| entry.points > 0) {
            assert!(
                recorded.insert(entry.entity_id.clone(), (entry.points, entry.content)).is_none(),
                "{context}: {} is carried twice",
                entry.entity_id
            );
        }
        let stored = self.shelf.content().into_iter().map(|it| {
            let points = u32::try_from(it.chunks.len()).unwrap();
            (it.entity.0, (points, ContentDigest::of(&it.content_hash).unwrap()))
        });
        assert!(recorded.into_iter().eq(stored), "{context}: the ledger says something else than the shelf");
    }
}

/// What the store would become in a slot that is built from nothing.
pub(super) async fn clean_build(store: &Store, sync_id: Uuid) -> Vec<StoredEntity> {
    let clean = Slot::aside(sync_id);
    let listed = store.listing().await;
    let end = u32::try_from(listed.len()).unwrap();
    Carrier::new(&clean.open, store.open()).await.unwrap().carry(&listed, end).await.unwrap();
    clean.shelf.content()
}
