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
use super::hand::Hand;
use super::shelf::{Echo, Shelf};
use super::slot::{Feed, OpenSlot};
use crate::chunking::{Chunker, ChunkerSettings};
use crate::database::batch_hold::Attempt;
use crate::database::ledger::{self, ContentDigest};
use crate::database::plans::{self, PlanOptions, PlanSummary};
use crate::database::tests::world::World;
use crate::database::{PlannedChange, SlotScope, dead_letters, segments};
use crate::destinations::StoredEntity;
use crate::raw_store::{ListedObject, RawStore, ReadOptions, SyncStore, entity_file_name};

/// Histories of one run, and a variable that repeats one.
const HISTORIES: u64 = 200;
const SEED: &str = "SYNCMUX_HISTORY_SEED";

/// Histories at a time.
const LANES: u64 = 4;

/// Entities that there may be: few, so that much happens to each.
pub(super) const ENTITIES: u32 = 10;

/// A raw store that somebody keeps changing.
pub(super) struct Store {
    root: TempDir,
    sync_id: Uuid,
}

impl Store {
    pub(super) fn new(sync_id: Uuid) -> Self {
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

    pub(super) fn open(&self) -> SyncStore {
        let options = ReadOptions { settle_pauses: [Duration::from_micros(10); 3], ..ReadOptions::default() };
        RawStore::open_with(self.root.path().to_str().unwrap(), options).unwrap().sync(self.sync_id)
    }

    /// Writes an object in one step, as another file.
    pub(super) fn put(&self, key: &str, text: &str) {
        let part = self.folder().join("part");
        fs::write(&part, text).unwrap();
        fs::rename(part, self.folder().join("entities").join(key)).unwrap();
    }

    pub(super) fn remove(&self, key: &str) {
        let _ = fs::remove_file(self.folder().join("entities").join(key));
    }

    pub(super) async fn listing(&self) -> Vec<ListedObject> {
        let mut listed: Vec<ListedObject> = self.open().list().try_collect().await.unwrap();
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        listed
    }

    /// One thing that a platform, or somebody with a shell, does.
    pub(super) fn change(&self, random: &mut Rng) {
        let number = random.u32(0..ENTITIES);
        let id = if number.is_multiple_of(2) { format!("m{number}") } else { format!("page/{number}") };
        let name = entity_file_name(&id);
        let copy = copy(number);
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

/// Another name for the object of an entity.
fn copy(number: u32) -> String {
    format!("copy of {number}.json")
}

pub(super) fn message(id: &str, random: &mut Rng) -> String {
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
pub(super) struct Follower<'w> {
    pub(super) world: &'w World,
    pub(super) slot: OpenSlot,
    pub(super) shelf: Arc<Shelf>,
}

pub(super) fn open_slot(scope: SlotScope, shelf: &Arc<Shelf>) -> OpenSlot {
    let chunker = Chunker::new(ChunkerSettings { max_tokens: 64, overlap_tokens: 0 }).unwrap();
    OpenSlot {
        scope,
        collection_id: Uuid::from_u128(1),
        source_short_name: None,
        feed: Feed::Chunks { chunker: Arc::new(chunker), embedder: Arc::new(Echo::default()) },
        destination: Arc::<Shelf>::clone(shelf),
        health: Arc::default(),
        destination_kind: "pgvector",
    }
}

impl Follower<'_> {
    pub(super) async fn plan(&self, store: &Store, retry_dead_letters: bool) -> PlanSummary {
        let options = PlanOptions {
            segment_entities: Some(4),
            max_drop_percent: 100,
            retry_dead_letters,
            ..PlanOptions::default()
        };
        let listing = Box::pin(store.open().list());
        plans::create(self.world.database(), &self.slot.scope, Uuid::now_v7(), listing, &options).await.unwrap()
    }

    pub(super) async fn changes(&self, plan: &PlanSummary) -> Vec<PlannedChange> {
        let mut changes = Vec::new();
        for segment_no in 0..plan.segments {
            let segment = segments::read(self.world.database(), &self.slot.scope, plan.plan_id, segment_no).await;
            changes.extend(segment.unwrap().entries);
        }
        changes
    }

    /// Works through a plan; `between` happens before every batch. With `crashes`, an attempt may end before its batch is
    /// recorded, and things happen before the next one.
    pub(super) async fn work(
        &self,
        store: &Store,
        plan: &PlanSummary,
        crashes: Option<&mut Rng>,
        mut between: impl FnMut(),
    ) {
        let mut crashes = crashes;
        let (database, scope, plan_id) = (self.world.database(), self.slot.scope, plan.plan_id);
        for segment_no in 0..plan.segments {
            loop {
                let claim = Uuid::new_v4();
                let segment = segments::claim(database, &scope, plan_id, segment_no, claim).await.unwrap();
                let hand = Hand { database: database.clone(), attempt: Attempt { scope, plan_id, segment_no, claim } };
                let mut carrier = Carrier::new(&self.slot, store.open()).await.unwrap();
                let mut in_hand = segment.in_hand.as_slice();
                let mut next_index = segment.next_index;
                let mut died = false;
                for batch in segment.entries[next_index as usize..].chunks(3) {
                    between();
                    let from_index = next_index;
                    next_index += u32::try_from(batch.len()).unwrap();
                    let ready = carrier.prepare_batch(batch).await.unwrap();
                    hand.announce(&ready.entities()).await.unwrap();
                    let mut hold = hand.hold().await.unwrap();
                    let record = hold.keep(carrier.land(database, ready, next_index, in_hand)).await.unwrap();
                    died = crashes.as_mut().is_some_and(|random| random.u8(0..6) == 0);
                    if died {
                        break;
                    }
                    hold.record(from_index, &record).await.unwrap();
                    in_hand = &[];
                }
                if !died {
                    break;
                }
            }
        }
    }

    /// Compares the slot with one that is built from nothing.
    pub(super) async fn assert_is_a_clean_build(&self, store: &Store, seed: u64) {
        // Of a dead letter the last good version stays; a clean build has none.
        let broken: BTreeSet<String> = dead_letters::list(self.world.database(), &self.slot.scope, 100)
            .await
            .unwrap()
            .into_iter()
            .filter(|it| it.letter.entity_id.is_empty())
            .map(|it| it.letter.object_key)
            .collect();
        let good = |content: Vec<StoredEntity>| -> Vec<StoredEntity> {
            let is_broken = |id: &str| {
                broken.contains(&entity_file_name(id))
                    || id
                        .trim_start_matches("page/")
                        .trim_start_matches('m')
                        .parse()
                        .is_ok_and(|n| broken.contains(&copy(n)))
            };
            content.into_iter().filter(|it| !is_broken(&it.entity.0)).collect()
        };
        let (found, expected) = (good(self.shelf.content()), good(clean_build(store).await));
        if found != expected {
            let ids = |content: &[StoredEntity]| content.iter().map(|it| it.entity.0.clone()).collect::<BTreeSet<_>>();
            let held = ledger::stream(self.world.database(), &self.slot.scope).await.unwrap();
            let held: Vec<_> = held.map_ok(|it| (it.object_key, it.entity_id, it.points)).try_collect().await.unwrap();
            let listed: Vec<_> = store.listing().await.into_iter().map(|it| it.key).collect();
            panic!(
                "seed {seed}: the slot is not a clean build: it has {:?} and lacks {:?}, or a text differs;\nthe ledger has \
                 {held:?};\nthe store has {listed:?}; broken are {broken:?}",
                &ids(&found) - &ids(&expected),
                &ids(&expected) - &ids(&found),
            );
        }
    }

    /// What a verification compares: the ledger says what is on the shelf.
    pub(super) async fn assert_ledger_tells_the_truth(&self, seed: u64) {
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
        assert!(recorded.into_iter().eq(stored), "seed {seed}: the ledger says something else than the shelf");
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

async fn history(world: Arc<World>, seed: u64) {
    let world = &*world;
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
    // Nobody writes any more. Copies of an entity that has its own object are tried in every round; nothing else is left.
    let mut before = None;
    for rounds in 0.. {
        assert!(rounds < 8, "seed {seed}: it does not converge: {before:?}");
        let plan = follower.plan(&store, false).await;
        let changes = follower.changes(&plan).await;
        if changes.is_empty() || before.as_ref() == Some(&changes) {
            break;
        }
        follower.work(&store, &plan, None, || ()).await;
        before = Some(changes);
    }
    follower.assert_is_a_clean_build(&store, seed).await;
    follower.assert_ledger_tells_the_truth(seed).await;
}

/// Runs histories in lanes, each with a seed of its own, or the one that is to be repeated.
pub(super) async fn run<H: Future<Output = ()> + Send + 'static>(history: fn(Arc<World>, u64) -> H) {
    let repeated = std::env::var(SEED).ok().map(|seed| seed.parse::<u64>().expect("a seed is a number"));
    let first = repeated.unwrap_or_else(|| fastrand::u64(..u64::MAX - HISTORIES));
    let count = if repeated.is_some() { 1 } else { HISTORIES };
    println!("{SEED}={first} and the {count} from there");
    let started = std::time::Instant::now();
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            tokio::spawn(async move {
                let world = Arc::new(World::new().await);
                for number in (lane..count).step_by(usize::try_from(LANES).unwrap()) {
                    history(Arc::clone(&world), first + number).await;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    println!("{count} histories in {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_followed_is_a_clean_build() {
    run(history).await;
}
