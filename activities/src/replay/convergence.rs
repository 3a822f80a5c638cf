//! Whatever happens to the raw store while a slot is filled and follows it: in the end the slot is what a clean build would be.
//!
//! Real plans, segments and ledger in Postgres, a real raw store in a folder; a shelf for a destination, so that hundreds of
//! histories are a matter of seconds. Each history has a seed, which is printed when it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures::TryStreamExt;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::batch::Carrier;
use super::shelf::{Echo, Shelf};
use super::slot::{Feed, OpenSlot};
use crate::chunking::{Chunker, ChunkerSettings};
use crate::database::ledger::{self, ContentDigest};
use crate::database::plans::{self, PlanOptions, PlanSummary};
use crate::database::tests::world::World;
use crate::database::{SlotScope, dead_letters, segments};
use crate::destinations::StoredEntity;
use crate::raw_store::{ListedObject, RawStore, ReadOptions, SyncStore, entity_file_name};

/// Histories of one run, and a variable that repeats one.
const HISTORIES: u64 = 200;
const SEED: &str = "SYNCMUX_HISTORY_SEED";

/// Histories at a time.
const LANES: u64 = 4;

/// Entities that there may be: few, so that much happens to each.
const ENTITIES: u32 = 10;

/// A raw store that somebody keeps changing.
struct Store {
    root: TempDir,
    sync_id: Uuid,
}

impl Store {
    fn new(sync_id: Uuid) -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Self { root, sync_id };
        fs::create_dir_all(store.folder().join("entities")).unwrap();
        let manifest = json!({ "sync_id": sync_id, "source_short_name": "slack" });
        fs::write(store.folder().join("manifest.json"), manifest.to_string()).unwrap();
        store
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join(format!("raw/{}", self.sync_id))
    }

    fn open(&self) -> SyncStore {
        let options = ReadOptions { settle_pauses: [Duration::from_micros(10); 3], ..ReadOptions::default() };
        RawStore::open_with(self.root.path().to_str().unwrap(), options).unwrap().sync(self.sync_id)
    }

    /// Writes an object in one step, as another file.
    fn put(&self, key: &str, text: &str) {
        let part = self.folder().join("part");
        fs::write(&part, text).unwrap();
        fs::rename(part, self.folder().join("entities").join(key)).unwrap();
    }

    fn remove(&self, key: &str) {
        let _ = fs::remove_file(self.folder().join("entities").join(key));
    }

    async fn listing(&self) -> Vec<ListedObject> {
        let mut listed: Vec<ListedObject> = self.open().list().try_collect().await.unwrap();
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        listed
    }

    /// One thing that a platform, or somebody with a shell, does.
    fn change(&self, random: &mut Rng) {
        let number = random.u32(0..ENTITIES);
        let id = if number % 2 == 0 { format!("m{number}") } else { format!("page/{number}") };
        let name = entity_file_name(&id);
        let copy = format!("copy of {number}.json");
        match random.u8(0..16) {
            0..=5 => self.put(&name, &message(&id, random)),
            6..=9 => self.remove(&name),
            10 => self.put(&name, &without_text(&id, random)),
            11 => self.put(&name, "{ torn"),
            12 => self.put(&copy, &message(&id, random)),
            13 => self.remove(&copy),
            14 => {
                let entities = self.folder().join("entities");
                let _ = fs::rename(entities.join(&name), entities.join(&copy));
            }
            // A platform that writes what was there already: another version, the same content.
            _ => {
                let path = self.folder().join("entities").join(&name);
                if let Ok(text) = fs::read_to_string(path) {
                    self.put(&name, &text);
                }
            }
        }
    }
}

fn message(id: &str, random: &mut Rng) -> String {
    let words = ["one", "two", "three", "four"];
    let count = [1, 3, 200, 500][random.usize(0..4)];
    let text: Vec<_> = (0..count).map(|_| words[random.usize(0..4)]).collect();
    json!({
        "entity_id": id, "name": "n", "breadcrumbs": [], "text": text.join(" "), "type": "message",
        "__entity_class__": "SlackMessageEntity", "__entity_module__": "airweave.platform.entities.slack",
    })
    .to_string()
}

/// A file that the platform did not store.
fn without_text(id: &str, random: &mut Rng) -> String {
    json!({
        "entity_id": id, "name": "n", "breadcrumbs": [], "url": "u", "size": random.u32(..), "file_type": "x",
        "local_path": "/tmp/a.md", "__entity_class__": "SomeFileEntity", "__entity_module__": "m",
    })
    .to_string()
}

/// A slot that follows a store.
struct Follower<'w> {
    world: &'w World,
    slot: OpenSlot,
    shelf: Arc<Shelf>,
}

fn open_slot(scope: SlotScope, shelf: &Arc<Shelf>) -> OpenSlot {
    let chunker = Chunker::new(ChunkerSettings { max_tokens: 64, overlap_tokens: 0 }).unwrap();
    OpenSlot {
        scope,
        collection_id: Uuid::from_u128(1),
        source_short_name: None,
        feed: Feed::Chunks { chunker: Arc::new(chunker), embedder: Arc::new(Echo::default()) },
        destination: Arc::<Shelf>::clone(shelf),
    }
}

impl Follower<'_> {
    async fn plan(&self, store: &Store, retry_dead_letters: bool) -> PlanSummary {
        let options = PlanOptions {
            segment_entities: Some(4),
            max_drop_percent: 100,
            retry_dead_letters,
            ..PlanOptions::default()
        };
        let listing = Box::pin(store.open().list());
        plans::create(self.world.database(), &self.slot.scope, Uuid::now_v7(), listing, &options).await.unwrap()
    }

    /// Works through a plan; `between` happens before every batch, and an attempt may end before its batch is recorded.
    async fn work(&self, store: &Store, plan: &PlanSummary, crashes: Option<&mut Rng>, mut between: impl FnMut()) {
        let mut crashes = crashes;
        let (database, scope) = (self.world.database(), &self.slot.scope);
        let mut carrier = Carrier::new(&self.slot, store.open()).await.unwrap();
        for segment_no in 0..plan.segments {
            let segment = segments::read(database, scope, plan.plan_id, segment_no).await.unwrap();
            let mut next_index = 0;
            for batch in segment.entries.chunks(3) {
                between();
                let from_index = next_index;
                next_index += u32::try_from(batch.len()).unwrap();
                let mut record = carrier.apply(database, batch, next_index).await.unwrap();
                if crashes.as_mut().is_some_and(|random| random.u8(0..6) == 0) {
                    record = carrier.apply(database, batch, next_index).await.unwrap();
                }
                segments::checkpoint(database, scope, plan.plan_id, segment_no, None, from_index, &record)
                    .await
                    .unwrap();
            }
        }
    }

    /// What a verification compares: the ledger says what is on the shelf.
    async fn assert_ledger_tells_the_truth(&self, seed: u64) {
        let entries: Vec<_> =
            ledger::stream(self.world.database(), &self.slot.scope).await.unwrap().try_collect().await.unwrap();
        let mut recorded: BTreeMap<String, (u32, ContentDigest)> = BTreeMap::new();
        for entry in entries.into_iter().filter(|entry| entry.points > 0) {
            assert!(
                recorded.insert(entry.entity_id.clone(), (entry.points, entry.content)).is_none(),
                "seed {seed}: {} is carried twice",
                entry.entity_id
            );
        }
        let stored = self.shelf.content().into_iter().map(|it| {
            let points = u32::try_from(it.chunks.len()).unwrap();
            (it.entity.0, (points, ContentDigest::of(&it.content_hash).unwrap()))
        });
        assert!(
            recorded.clone().into_iter().eq(stored.clone()),
            "seed {seed}: {recorded:?}\n{:?}",
            stored.collect::<Vec<_>>()
        );
    }
}

/// What the store would become in a slot that is built from nothing.
async fn clean_build(store: &Store) -> Vec<StoredEntity> {
    let shelf = Arc::new(Shelf::new("clean"));
    let id = Uuid::from_u128(3);
    let slot = open_slot(SlotScope { organization_id: id, sync_id: store.sync_id, slot_id: id }, &shelf);
    let listed = store.listing().await;
    let end = u32::try_from(listed.len()).unwrap();
    Carrier::new(&slot, store.open()).await.unwrap().carry(&listed, end).await.unwrap();
    shelf.content()
}

async fn history(world: &World, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let store = Store::new(world.sync_id);
    let shelf = Arc::new(Shelf::new("followed"));
    let follower = Follower { world, slot: open_slot(world.shadow().await, &shelf), shelf };
    store.put("m1000.json", &message("m1000", &mut random));
    for _ in 0..random.u32(0..25) {
        store.change(&mut random);
    }
    // While it is filled and caught up, the store goes on changing: between the rounds and in the middle of them.
    for round in 0..random.u32(1..4) {
        let plan = follower.plan(&store, round == 0).await;
        for _ in 0..random.u32(0..6) {
            store.change(&mut random);
        }
        let mut writer = random.fork();
        let busy = random.bool();
        follower
            .work(&store, &plan, Some(&mut random), || {
                for _ in 0..if busy { writer.u32(0..4) } else { 0 } {
                    store.change(&mut writer);
                }
            })
            .await;
        for _ in 0..random.u32(0..10) {
            store.change(&mut random);
        }
    }
    // Nobody writes any more.
    let mut rounds = 0;
    loop {
        let plan = follower.plan(&store, false).await;
        if plan.entities + plan.deletes == 0 {
            break;
        }
        follower.work(&store, &plan, None, || ()).await;
        rounds += 1;
        if rounds > 1 {
            // Copies of an entity that has its own object are tried in every round; nothing else is left.
            assert!(rounds < 8, "seed {seed}: it does not converge: {plan:?}");
            let twins = dead_letters::list(world.database(), &follower.slot.scope, 100).await.unwrap();
            let twins = twins.iter().filter(|it| it.letter.object_key.starts_with("copy")).count() as u64;
            if plan.deletes == 0 && plan.entities <= twins {
                break;
            }
        }
    }
    // Of a dead letter the last good version stays; a clean build has none.
    let broken: BTreeSet<String> = dead_letters::list(world.database(), &follower.slot.scope, 100)
        .await
        .unwrap()
        .into_iter()
        .filter(|it| it.letter.entity_id.is_empty())
        .map(|it| it.letter.object_key)
        .collect();
    let good = |content: Vec<StoredEntity>| -> Vec<StoredEntity> {
        content.into_iter().filter(|it| !broken.contains(&entity_file_name(&it.entity.0))).collect()
    };
    let (found, expected) = (good(follower.shelf.content()), good(clean_build(&store).await));
    assert!(found == expected, "seed {seed}: the slot is not a clean build\n{found:#?}\n{expected:#?}");
    follower.assert_ledger_tells_the_truth(seed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_followed_is_a_clean_build() {
    let repeated = std::env::var(SEED).ok().map(|seed| seed.parse::<u64>().expect("a seed is a number"));
    let first = repeated.unwrap_or_else(|| fastrand::u64(..u64::MAX - HISTORIES));
    let count = if repeated.is_some() { 1 } else { HISTORIES };
    println!("{SEED}={first} and the {count} from there");
    let started = std::time::Instant::now();
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            tokio::spawn(async move {
                let world = World::new().await;
                for number in (lane..count).step_by(usize::try_from(LANES).unwrap()) {
                    history(&world, first + number).await;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    println!("{count} histories in {:?}", started.elapsed());
}
