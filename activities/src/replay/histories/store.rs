//! A raw store that somebody keeps changing.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use futures::TryStreamExt;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::raw_store::{ListedObject, RawStore, ReadOptions, SyncStore, entity_file_name};

/// The raw store of one sync.
pub(super) struct Store {
    root: TempDir,
    sync: SyncStore,
    folder: PathBuf,
}

impl Store {
    pub(super) fn new(sync_id: Uuid) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(format!("raw/{sync_id}"));
        fs::create_dir_all(folder.join("entities")).unwrap();
        let manifest = json!({ "sync_id": sync_id, "source_short_name": "slack" });
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        let options = ReadOptions { settle_pauses: [Duration::from_micros(10); 3], ..ReadOptions::default() };
        let sync = RawStore::open_with(root.path().to_str().unwrap(), options).unwrap().sync(sync_id);
        Self { root, sync, folder }
    }

    pub(super) fn open(&self) -> SyncStore {
        self.sync.clone()
    }

    /// Writes an object in one step, as another file.
    pub(super) fn put(&self, key: &str, text: &str) {
        let part = self.root.path().join("part");
        fs::write(&part, text).unwrap();
        fs::rename(part, self.folder.join("entities").join(key)).unwrap();
    }

    pub(super) fn remove(&self, key: &str) {
        let _ = fs::remove_file(self.folder.join("entities").join(key));
    }

    pub(super) async fn listing(&self) -> Vec<ListedObject> {
        let mut listed: Vec<ListedObject> = self.sync.list().try_collect().await.unwrap();
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        listed
    }

    /// One thing that somebody with a shell does about an entity, and no platform does.
    pub(super) fn disturb(&self, number: usize, random: &mut Rng) {
        let id = entity_id(number);
        let (name, copy) = (entity_file_name(&id), copy_of(number));
        let entities = self.folder.join("entities");
        match random.u8(0..16) {
            0..=4 => self.put(&name, &message(&id, random)),
            5..=8 => self.remove(&name),
            9 => self.put(&name, &without_text(&id, random)),
            10 => self.put(&name, "{ torn"),
            11 | 12 => self.put(&copy, &message(&id, random)),
            13 => self.remove(&copy),
            14 => {
                let _ = fs::rename(entities.join(&name), entities.join(&copy));
            }
            // Another version, the same content.
            _ => {
                if let Ok(text) = fs::read_to_string(entities.join(&name)) {
                    self.put(&name, &text);
                }
            }
        }
    }
}

/// Ids of both kinds: one that is its object's name, and one that is not.
pub(super) fn entity_id(number: usize) -> String {
    if number.is_multiple_of(2) { format!("m{number}") } else { format!("page/{number}") }
}

/// Another name for the object of an entity.
pub(super) fn copy_of(number: usize) -> String {
    format!("copy of {number}.json")
}

pub(super) fn message(id: &str, random: &mut Rng) -> String {
    let words = ["one", "two", "three", "four"];
    // Up to three chunks.
    let count = [1, 3, 70, 120][random.usize(0..4)];
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
