//! The platform writing to the raw store, the active slot and shadows at the very same time, while slots are forked, followed
//! and switched.
//!
//! What it writes are two versions of some entities, in the form that a fork gave them, so that its writes are what ours would
//! be. It runs jobs as the platform does: it starts none while it sees one, and about an entity it does one thing after the
//! other, the parts of it in any order.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use proto::v1::SwitchRequest;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;
use uuid::Uuid;

use workflows::domain::ErrorKind;
use workflows::follow_workflow_id;

use crate::{World, progress, signal, until};

/// Between two parts, at most.
const PAUSE_MS: u64 = 12;

/// Between two jobs: long enough for a fence to be raised.
const REST: Duration = Duration::from_millis(300);

/// How long a round of the follow may take; recovering from a kill takes a heartbeat timeout.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the platform can write.
#[derive(Debug, Clone)]
pub struct Versions {
    entities: Vec<Entity>,
}

#[derive(Debug, Clone)]
struct Entity {
    id: String,
    file: PathBuf,
    /// Texts of its object, by version.
    texts: [String; 2],
}

/// Tables with the points of each version.
const TABLES: [&str; 2] = ["public.live_version_0", "public.live_version_1"];

/// A platform that writes until it is told to stop.
pub struct LiveWriter {
    over: Arc<AtomicBool>,
    writing: JoinHandle<u64>,
}

/// A part of what is done about an entity.
#[derive(Debug, Clone)]
enum Part {
    Store { version: Option<usize> },
    Slot { slot: Uuid, version: Option<usize> },
}

impl World {
    /// Takes down what `entities` are now in the raw store, to make versions of them with [`World::versions`] later.
    ///
    /// # Panics
    ///
    /// When the store cannot be read.
    #[must_use]
    pub fn texts(&self, entities: &[String]) -> HashMap<String, String> {
        let read = |id: &String| fs::read_to_string(self.entity_file(id)).expect("the entity is there");
        entities.iter().map(|id| (id.clone(), read(id))).collect()
    }

    /// Two versions of entities: one with its text from `before` and its points from the slot `old`, and the present one with
    /// its points from the slot `new`. Entities with files are left out: those are versions of their own.
    ///
    /// # Panics
    ///
    /// When slots or store cannot be read.
    pub async fn versions(&self, before: &HashMap<String, String>, old: &str, new: &str) -> Versions {
        for (table, slot) in TABLES.iter().zip([old, new]) {
            let copy = format!("CREATE TABLE {table} AS SELECT * FROM {}", self.points_table(slot));
            sqlx::query(AssertSqlSafe(copy)).execute(self.database.pool()).await.expect("points can be copied");
        }
        let mut entities: Vec<Entity> = before
            .iter()
            .filter(|(_, text)| !text.contains("\"local_path\""))
            .map(|(id, text)| {
                let file = self.entity_file(id);
                let now = fs::read_to_string(&file).expect("the entity is there");
                assert_ne!(*text, now, "it is another version");
                Entity { id: id.clone(), file, texts: [text.clone(), now] }
            })
            .collect();
        entities.sort_by(|one, other| one.id.cmp(&other.id));
        assert!(entities.len() > 3, "there is something to write");
        Versions { entities }
    }
}

impl World {
    /// A world with an active slot, a ready shadow, and versions of entities that a [`LiveWriter`] can write. A worker must be
    /// running.
    ///
    /// # Panics
    ///
    /// When a fork or the switch fails.
    pub async fn with_versions(&mut self) -> ([String; 2], Versions) {
        let v0 = self.fork(&self.fork_request(self.ids.connection_v0)).await.expect("the first fork").slot_id;
        self.switch(&self.switch_request(&v0)).await.expect("it becomes active");
        let texts = self.texts(&self.entity_ids);
        let changes = self.platform_job(1, self.entity_ids.len() * 3 / 8).await;
        let before = texts.into_iter().filter(|(id, _)| changes.updated.contains(id)).collect();
        let v1 = self.fork(&self.fork_request(self.ids.connection_v1)).await.expect("the second fork").slot_id;
        let versions = self.versions(&before, &v0, &v1).await;
        ([v0, v1], versions)
    }

    /// Switches or rolls back, again when the slot differs behind the fence: a job may have left an entity in a slot that is not
    /// active any more, and deleted it before any round saw it in the raw store. The round after mends that.
    ///
    /// # Panics
    ///
    /// When it fails for another reason, or again and again.
    pub async fn switch_under_live_writes(&self, request: &SwitchRequest) {
        for _ in 0..3 {
            match self.switch(request).await {
                Ok(_) => return,
                Err(error) if error.kind() == Some(ErrorKind::VerificationFailed) => eprintln!("{error}"),
                Err(error) => panic!("the switch fails: {error}"),
            }
        }
        panic!("the switch does not come about");
    }

    /// A request to go back to a slot.
    #[must_use]
    pub fn request_back_to(&self, slot: &str) -> SwitchRequest {
        SwitchRequest { rollback: true, reason: "a test wants back".to_owned(), ..self.switch_request(slot) }
    }

    /// Waits until the follow has made two rounds of these slots: the first may have begun before the last write.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn until_followed(&self, slots: &[&String]) {
        let handle = self.any_workflow(&follow_workflow_id(&self.ids.sync_id.to_string()));
        let rounds = async || -> Vec<u64> {
            let followed = progress(&handle).await.unwrap_or_default().followed;
            let of = |slot| followed.iter().find(|it| it.slot_id == slot).map_or(0, |it| it.caught_up_at_ms);
            slots.iter().map(|slot| of(slot.as_str())).collect()
        };
        for _ in 0..2 {
            let before = rounds().await;
            signal(&handle, "now", vec![]).await;
            until("a round of every slot", PATIENCE, async || {
                rounds().await.iter().zip(&before).all(|(now, before)| now > before)
            })
            .await;
        }
    }

    /// Holds that slots are what a clean build from the raw store gives, entity by entity. Nobody writes any more.
    ///
    /// # Panics
    ///
    /// When one is not.
    pub async fn assert_are_clean_builds(&self, slots: &[&String]) {
        let connection = self.connect_destination("pgvector", json!({ "url": self.database_url })).await;
        let clean = self.fork(&self.fork_request(connection)).await.expect("a clean build completes").slot_id;
        let clean = self.content(&clean).await;
        for slot in slots {
            let content = self.content(slot).await;
            let entities = |of: &[(String, String, i32, String)], than: &[(String, String, i32, String)]| {
                of.iter().filter(|row| !than.contains(row)).map(|row| row.0.clone()).collect::<BTreeSet<_>>()
            };
            let (surplus, missing) = (entities(&content, &clean), entities(&clean, &content));
            assert!(surplus.is_empty() && missing.is_empty(), "slot {slot} has {surplus:?} and lacks {missing:?}");
        }
    }
}

impl LiveWriter {
    /// Begins to write in this world.
    #[must_use]
    pub fn start(world: Arc<World>, versions: Versions, seed: u64) -> Self {
        eprintln!("live writes: seed {seed}");
        let over = Arc::new(AtomicBool::new(false));
        let writing = tokio::spawn({
            let over = Arc::clone(&over);
            async move {
                let mut random = Rng::with_seed(seed);
                let mut writes = 0;
                while !over.load(Ordering::Relaxed) {
                    if let Some(job) = world.start_job().await {
                        writes += run_job(&world, &versions, &mut random).await;
                        world.end_job(job).await;
                        tokio::time::sleep(REST).await;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                writes
            }
        });
        Self { over, writing }
    }

    /// Ends when the present job is done. Answers how many parts were written.
    ///
    /// # Panics
    ///
    /// When something could not be written.
    pub async fn stop(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.writing.await.expect("the platform goes on to the end")
    }
}

/// Entities that come and go; the others only change. With what the job before has deleted these stay below the fifth of a
/// slot that may be gone without a word.
const DELETED: usize = 3;

/// What it does about some entities, mixed.
async fn run_job(world: &World, versions: &Versions, random: &mut Rng) -> u64 {
    let pool = world.database.pool();
    let slots: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM public.sync_connection WHERE sync_id = $1 AND role IN ('active', 'shadow')")
            .bind(world.ids.sync_id)
            .fetch_all(pool)
            .await
            .expect("the roles can be read");
    let mut begun: Vec<(usize, VecDeque<Part>)> = Vec::new();
    for _ in 0..random.u32(1..9) {
        let number = random.usize(0..versions.entities.len());
        if begun.iter().any(|(other, _)| *other == number) {
            continue;
        }
        let version = match random.u8(0..4) {
            0 | 1 if number < DELETED => None,
            other => Some(usize::from(other % 2)),
        };
        let slots = slots.iter().map(|slot| Part::Slot { slot: *slot, version });
        let mut parts: Vec<Part> = slots.chain([Part::Store { version }]).collect();
        random.shuffle(&mut parts);
        begun.push((number, parts.into()));
    }
    let mut writes = 0;
    while !begun.is_empty() {
        let at = random.usize(0..begun.len());
        let (number, parts) = &mut begun[at];
        let entity = &versions.entities[*number];
        match parts.pop_front() {
            Some(part) => {
                write(world, entity, &part).await;
                writes += 1;
            }
            None => drop(begun.swap_remove(at)),
        }
        tokio::time::sleep(Duration::from_millis(random.u64(0..PAUSE_MS))).await;
    }
    writes
}

async fn write(world: &World, entity: &Entity, part: &Part) {
    match part {
        Part::Store { version: Some(version) } => replace(&entity.file, &entity.texts[*version]),
        Part::Store { version: None } => {
            // The platform's own row goes first, so that a fork that begins now does not miss the object.
            sqlx::query("DELETE FROM public.entity WHERE sync_id = $1 AND entity_id = $2")
                .bind(world.ids.sync_id)
                .bind(&entity.id)
                .execute(world.database.pool())
                .await
                .expect("the platform's table can be written");
            let _ = fs::remove_file(&entity.file);
        }
        Part::Slot { slot, version } => {
            let table = world.points_table(&slot.to_string());
            // A shadow that is not prepared yet, or somebody who writes the same points at the same time.
            for _ in 0..20 {
                match write_points(world.database.pool(), &table, &entity.id, *version).await {
                    Ok(()) => return,
                    Err(error) => {
                        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
                        match code.as_ref() {
                            "42P01" => return,
                            "40P01" | "40001" => {}
                            _ => panic!("points cannot be written: {error}"),
                        }
                    }
                }
            }
        }
    }
}

/// Replaces an entity's points in one transaction.
async fn write_points(pool: &PgPool, table: &str, id: &str, version: Option<usize>) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let delete = format!("DELETE FROM {table} WHERE entity_id = $1");
    sqlx::query(AssertSqlSafe(delete)).bind(id).execute(&mut *transaction).await?;
    if let Some(version) = version {
        let insert = format!(
            "INSERT INTO {table} SELECT * FROM {} WHERE entity_id = $1 ON CONFLICT (point_id) DO NOTHING",
            TABLES[version]
        );
        sqlx::query(AssertSqlSafe(insert)).bind(id).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// Writes an object in one step.
fn replace(file: &Path, text: &str) {
    let part = file.with_extension("part");
    fs::write(&part, text).expect("the store is writable");
    fs::rename(part, file).expect("the store is writable");
}
