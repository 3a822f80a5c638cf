//! A carrier over a raw store in a folder, into a slot on a shelf.

use std::fs;
use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::super::donors::{Donor, Donors};
use super::super::shelf::{Echo, Reading, Shelf, vector};
use super::*;
use crate::chunking::{Chunker, ChunkerSettings};
use crate::database::SlotScope;
use crate::database::segments::BatchRecord;
use crate::raw_store::RawStore;

const SYNC_ID: Uuid = Uuid::from_u128(2);

/// A raw store with messages.
fn store(messages: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(format!("raw/{SYNC_ID}"));
    fs::create_dir_all(folder.join("entities")).unwrap();
    let manifest = json!({ "sync_id": SYNC_ID, "source_short_name": "slack" });
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    for (id, text) in messages {
        let entity = json!({
            "entity_id": id, "name": "n", "breadcrumbs": [], "text": text, "type": "message",
            "__entity_class__": "SlackMessageEntity", "__entity_module__": "airweave.platform.entities.slack",
        });
        fs::write(folder.join("entities").join(entity_file_name(id)), entity.to_string()).unwrap();
    }
    root
}

fn sync(root: &TempDir) -> SyncStore {
    RawStore::open(root.path().to_str().unwrap()).unwrap().sync(SYNC_ID)
}

/// In the order of the keys, as a plan has it.
async fn listing(root: &TempDir) -> Vec<ListedObject> {
    let mut listed: Vec<ListedObject> = sync(root).list().try_collect().await.unwrap();
    listed.sort_by(|left, right| left.key.cmp(&right.key));
    listed
}

fn slot(feed: Feed, shelf: &Arc<Shelf>) -> OpenSlot {
    let id = Uuid::from_u128(1);
    OpenSlot {
        scope: SlotScope { organization_id: id, sync_id: SYNC_ID, slot_id: id },
        collection_id: id,
        source_short_name: None,
        feed,
        destination: Arc::<Shelf>::clone(shelf),
        health: Arc::default(),
        destination_kind: "pgvector",
    }
}

fn chunks(embedder: &Arc<Echo>) -> Feed {
    let chunker = Chunker::new(ChunkerSettings { max_tokens: 64, overlap_tokens: 0 }).unwrap();
    Feed::Chunks { chunker: Arc::new(chunker), embedder: Arc::<Echo>::clone(embedder) }
}

async fn carry(slot: &OpenSlot, root: &TempDir, donors: Donors) -> BatchRecord {
    let listed = listing(root).await;
    let end = u32::try_from(listed.len()).unwrap();
    let mut carrier = Carrier::new(slot, sync(root)).await.unwrap().reusing(donors);
    carrier.carry(&listed, end).await.unwrap()
}

#[tokio::test]
async fn a_destination_that_embeds_is_given_whole_entities() {
    let long = "many words that another destination would have been given in pieces. ".repeat(80);
    let root = store(&[("long", &long), ("short", "a few words")]);
    let shelf = Arc::new(Shelf::new("target"));
    let slot = slot(Feed::WholeEntities, &shelf);
    let record = carry(&slot, &root, Donors::default()).await;
    assert_eq!(record.accepted.iter().map(|row| row.points).collect::<Vec<_>>(), [1, 1]);
    assert_eq!((record.chunks_embedded, record.chunks_reused, record.dead_letters.len()), (0, 0, 0));

    let carrier = Carrier::new(&slot, sync(&root)).await.unwrap();
    let stored = shelf.content();
    assert_eq!(stored.len(), 2);
    for (entry, stored) in record.accepted.into_iter().zip(stored) {
        assert_eq!(entry.object_key, entity_file_name(&stored.entity.0));
        let expected = carrier.expect(entry).await.unwrap().expect("it has not changed");
        assert_eq!(stored.content_hash, expected.content_hash);
        let [only] = stored.chunks.as_slice() else { panic!("{} chunks", stored.chunks.len()) };
        assert_eq!((only.index, &[only.text.clone()][..], only.dense.len()), (0, &expected.chunks[..], 0));
    }
}

#[tokio::test]
async fn the_record_says_where_vectors_came_from() {
    let long =
        |word: &str| format!("a sentence about {word} that goes on for a while, and then some more. ").repeat(20);
    let root = store(&[("a", &long("apples")), ("b", &long("pears"))]);
    let embedder = Arc::new(Echo::default());
    let first = Arc::new(Shelf::new("first"));
    let record = carry(&slot(chunks(&embedder), &first), &root, Donors::default()).await;
    let points: u64 = record.accepted.iter().map(|row| u64::from(row.points)).sum();
    assert!(points > 4, "{points} points");
    assert_eq!((record.chunks_embedded, record.chunks_reused), (points, 0));

    // A donor without one of the entities, after one that is away.
    let away = Arc::new(Shelf { reading: Reading::FailsAfter(0), ..Shelf::new("away") });
    let donor = Arc::new(Shelf::new("donor"));
    let content = first.content();
    let held = &content[0];
    let held_chunks: Vec<_> = held.chunks.iter().map(|chunk| (chunk.text.as_str(), chunk.dense.clone())).collect();
    donor.put(&held.entity.0, &held.content_hash, &held_chunks);
    let second = Arc::new(Shelf::new("second"));
    let candidates = vec![
        Donor { slot_id: Uuid::from_u128(8), destination: away },
        Donor { slot_id: Uuid::from_u128(9), destination: donor },
    ];
    let asked = embedder.asked().len();
    let target = slot(chunks(&embedder), &second);
    let record = carry(&target, &root, Donors::new(second.as_ref(), candidates)).await;
    let is_held = |text: &str| held.chunks.iter().any(|chunk| chunk.text == text);
    let reused = content.iter().flat_map(|it| &it.chunks).filter(|chunk| is_held(&chunk.text)).count() as u64;
    assert!(reused < points, "the entities do not only have equal chunks");
    assert_eq!((record.chunks_embedded, record.chunks_reused), (points - reused, reused));
    assert_eq!(embedder.asked().len() - asked, usize::try_from(points - reused).unwrap());
    let gap = format!("vectors of slot {} not reused: Unavailable", Uuid::from_u128(8));
    assert_eq!(record.gaps.get(&gap), Some(&1), "{:?}", record.gaps);
    assert_eq!(second.content(), first.content(), "nobody can tell afterwards");
    for chunk in second.content().iter().flat_map(|entity| &entity.chunks) {
        assert_eq!(chunk.dense, vector(&chunk.text));
    }
}
