//! A raw store to play with: what the platform would have captured from the tools of a company that does not exist.
//!
//! Ten classes of entities from eight sources, with blobs, breadcrumbs, several languages and now and then a very long
//! text; every entity carries the hash that the platform computes, and the bytes look as the platform writes them. The
//! same options give the same store everywhere, byte for byte.
//!
//! Start at [`generate`]; [`change`] plays a later run of the platform that updates, adds and deletes.

mod company;
mod dice;
mod documents;
mod draft;
mod html;
mod messages;
mod prose;
mod python_json;
mod repositories;
mod source_code;
mod tickets;
mod topics;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use activities::json::{self, Value};
use dice::Dice;
use draft::{Draft, Written};
use python_json::{object, text, texts, to_indented};

/// Changes whenever the same options would give other bytes, so that a store of an older program is made again.
const VERSION: &str = "1";

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The sync whose store it is.
    pub sync_id: Uuid,
    /// Its tenant.
    pub organization_id: Uuid,
    /// Its collection.
    pub collection_id: Uuid,
    /// The collection's name in URLs.
    pub collection_readable_id: String,
    /// The source that the platform took it from.
    pub source_short_name: String,
    /// Another seed gives another store.
    pub seed: u64,
    /// How many entities.
    pub entities: usize,
}

impl StoreOptions {
    fn sync_job_id(&self) -> Uuid {
        Uuid::new_v5(&self.sync_id, b"first sync job")
    }

    fn dir(&self, root: &Path) -> PathBuf {
        root.join("raw").join(self.sync_id.to_string())
    }

    fn stamp_file(&self, root: &Path) -> PathBuf {
        root.join(format!(".generated-{}", self.sync_id))
    }

    fn stamp(&self) -> String {
        format!("{VERSION} {self:?}")
    }
}

/// What [`generate`] made, or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedStore {
    /// `raw/{sync_id}` below the root.
    pub dir: PathBuf,
    /// Ids of all entities.
    pub entity_ids: Vec<String>,
    /// Whether it was there already.
    pub reused: bool,
}

/// Makes the store of `options` below `root`, unless the last thing that was made there is exactly that.
///
/// Every file appears in one step. A store that is half made because the program was interrupted, or that was changed
/// with [`change`], is made again from nothing.
///
/// # Errors
/// When a file cannot be written.
pub fn generate(root: &Path, options: &StoreOptions) -> Result<GeneratedStore> {
    let (dir, stamp_file) = (options.dir(root), options.stamp_file(root));
    if fs::read_to_string(&stamp_file).is_ok_and(|stamp| stamp == options.stamp()) {
        let entity_ids = (0..options.entities).map(|number| draft(options, number, 0).1.id).collect();
        return Ok(GeneratedStore { dir, entity_ids, reused: true });
    }
    remove_file(&stamp_file)?;
    remove_dir(&dir)?;
    let store = StoreWriter::open(root, dir)?;
    let numbers = 0..options.entities;
    let entity_ids = numbers.map(|number| store.put(entity(options, number, 0)?)).collect::<Result<_>>()?;
    store.write("manifest.json", to_indented(&manifest(options)).as_bytes())?;
    let dir = store.close()?;
    fs::write(&stamp_file, options.stamp()).with_context(|| format!("cannot write {}", stamp_file.display()))?;
    Ok(GeneratedStore { dir, entity_ids, reused: false })
}

/// What [`change`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Ids of entities with new content.
    pub updated: Vec<String>,
    /// Ids of new entities.
    pub added: Vec<String>,
    /// Ids of entities that are gone.
    pub deleted: Vec<String>,
}

/// Plays a later job of the platform on a store that [`generate`] made: `count` entities are updated, half as many
/// added and a quarter as many deleted, as far as they are still there. `round` counts from one; another round changes
/// other entities.
///
/// # Errors
/// When a file cannot be read, written or removed.
pub fn change(root: &Path, options: &StoreOptions, round: u32, count: usize) -> Result<Changes> {
    remove_file(&options.stamp_file(root))?;
    let store = StoreWriter::open(root, options.dir(root))?;
    let mut dice = Dice::new(options.seed, u64::MAX - u64::from(round));
    let numbers: Vec<usize> = (0..options.entities).collect();
    let mut changes = Changes::default();
    for (position, number) in dice.shuffled(&numbers).into_iter().take(count + count / 4).enumerate() {
        let entity = entity(options, number, round)?;
        if !store.holds(&entity) {
            continue;
        }
        store.remove_blob_of(&entity)?;
        if position < count {
            changes.updated.push(store.put(entity)?);
        } else {
            changes.deleted.push(store.remove(entity)?);
        }
    }
    let first_new = options.entities + usize::try_from(round)? * count;
    for number in first_new..first_new + count / 2 {
        changes.added.push(store.put(entity(options, number, 0)?)?);
    }
    store.close()?;
    Ok(changes)
}

/// When the platform's job ran, as far as the store is concerned.
fn captured_at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_763_359_200)
}

/// Entity `number` of the store. A `revision` other than zero says something more under the same id.
fn draft(options: &StoreOptions, number: usize, revision: u32) -> (Dice, Draft) {
    let mut dice = Dice::new(options.seed, number as u64);
    let mut draft = class_of(number)(&mut dice, number);
    if revision > 0 {
        dice = Dice::new(options.seed ^ (u64::from(revision) << 40), number as u64);
        let topic = prose::topic(&mut dice);
        draft.append(&prose::paragraph(&mut dice, topic, 2));
    }
    (dice, draft)
}

fn entity(options: &StoreOptions, number: usize, revision: u32) -> Result<Written> {
    let (mut dice, draft) = draft(options, number, revision);
    draft.finish(options, &mut dice)
}

/// The mix of a hundred entities, spread evenly over the store.
fn class_of(number: usize) -> fn(&mut Dice, usize) -> Draft {
    // 37 and 100 have no common divisor, so a hundred numbers in a row visit every place once.
    match number * 37 % 100 {
        0..32 => |dice, _| messages::slack_message(dice),
        32..44 => |dice, _| messages::gmail_message(dice),
        44..56 => |dice, _| documents::notion_page(dice),
        56..64 => |dice, _| documents::drive_file(dice),
        64..76 => tickets::jira_issue,
        76..81 => tickets::linear_issue,
        81..85 => tickets::asana_task,
        85..93 => repositories::code_file,
        93..97 => repositories::pull_request,
        _ => |dice, _| documents::hubspot_contact(dice),
    }
}

fn manifest(options: &StoreOptions) -> Value {
    let captured = text(&captured_at().to_rfc3339());
    object([
        ("sync_id", text(&options.sync_id.to_string())),
        ("source_short_name", text(&options.source_short_name)),
        ("collection_id", text(&options.collection_id.to_string())),
        ("collection_readable_id", text(&options.collection_readable_id)),
        ("organization_id", text(&options.organization_id.to_string())),
        ("created_at", captured.clone()),
        ("updated_at", captured),
        ("sync_jobs", texts(&[options.sync_job_id().to_string()])),
    ])
}

/// Writes below `raw/{sync_id}`, each file in one step: beside the store first, then renamed into it.
struct StoreWriter {
    dir: PathBuf,
    incoming: PathBuf,
}

impl StoreWriter {
    fn open(root: &Path, dir: PathBuf) -> Result<Self> {
        let incoming = root.join(format!(".incoming-{}", std::process::id()));
        for folder in [dir.join("entities"), dir.join("files"), incoming.clone()] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self { dir, incoming })
    }

    /// Writes an entity and returns its id. The blob goes first: an entity never names a file that is not there.
    fn put(&self, entity: Written) -> Result<String> {
        if let Some((name, bytes)) = entity.blob {
            self.write(&name, &bytes)?;
        }
        self.write(&entity.json_name, entity.json.as_bytes())?;
        Ok(entity.id)
    }

    fn holds(&self, entity: &Written) -> bool {
        self.dir.join(&entity.json_name).is_file()
    }

    fn remove(&self, entity: Written) -> Result<String> {
        remove_file(&self.dir.join(entity.json_name))?;
        Ok(entity.id)
    }

    /// Removes the blob that the stored entity names, whatever an earlier round called it.
    fn remove_blob_of(&self, entity: &Written) -> Result<()> {
        let path = self.dir.join(&entity.json_name);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let stored = json::parse(&bytes).with_context(|| format!("{} is no JSON", path.display()))?;
        let blob = stored.get("__stored_file__").and_then(Value::as_str).and_then(|path| path.split_once("/files/"));
        blob.map_or(Ok(()), |(_, name)| remove_file(&self.dir.join("files").join(name)))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (part, path) = (self.incoming.join("part"), self.dir.join(name));
        fs::write(&part, bytes)
            .and_then(|()| fs::rename(&part, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn close(self) -> Result<PathBuf> {
        remove_dir(&self.incoming)?;
        Ok(self.dir)
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}
