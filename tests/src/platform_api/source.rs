//! What the platform's jobs pull from: a store of its own beside the raw store, in which entities change, come and go.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sync_multiplexer::demo::store::{Changes, StoreOptions, change, generate};

use crate::World;

/// The source, and what was captured of it.
#[derive(Debug)]
pub(super) struct Source {
    root: PathBuf,
    options: StoreOptions,
    raw_store: PathBuf,
    /// Content of every entity at the last job, by file name.
    captured: BTreeMap<String, String>,
}

/// What a job found, and did.
#[derive(Debug, Default)]
pub(super) struct Pulled {
    /// Entities the source has, by class.
    pub encountered: BTreeMap<String, u64>,
    /// Ids of entities.
    pub inserted: Vec<String>,
    pub updated: Vec<String>,
    pub deleted: Vec<String>,
    pub kept: usize,
}

impl Source {
    /// A source with the entities that the world's raw store was generated with, captured already.
    pub(super) fn beside(world: &World) -> Self {
        let root = world.store_root().join("source");
        let options = world.store_options();
        generate(&root, &options).expect("a source can be generated");
        let mut source = Self { root, options, raw_store: world.store(), captured: BTreeMap::new() };
        source.captured = source.entities();
        source
    }

    pub(super) fn change(&self, round: u32, count: usize) -> Changes {
        change(&self.root, &self.options, round, count).expect("the source can be changed")
    }

    fn folder(&self) -> PathBuf {
        self.root.join("raw").join(self.options.sync_id.to_string())
    }

    /// The content of every entity, by file name.
    fn entities(&self) -> BTreeMap<String, String> {
        files(&self.folder().join("entities"))
            .into_iter()
            .map(|(name, path)| (name, fs::read_to_string(path).expect("an entity is readable")))
            .collect()
    }

    /// Brings the raw store up to the source: what changed since the last job, or everything.
    pub(super) fn pull(&mut self, everything: bool) -> Pulled {
        let entities = self.entities();
        let mut pulled = Pulled::default();
        let manifest = fs::read(self.folder().join("manifest.json")).expect("the manifest is readable");
        put(&self.raw_store, "", "manifest.json", &manifest);
        for (name, path) in files(&self.folder().join("files")) {
            put(&self.raw_store, "files", &name, &fs::read(path).expect("a blob is readable"));
        }
        for (name, content) in &entities {
            let entity: Value = serde_json::from_str(content).expect("an entity is JSON");
            let class = entity["__entity_class__"].as_str().unwrap_or("Entity").to_owned();
            *pulled.encountered.entry(class).or_default() += 1;
            let id = id_of(content);
            match self.captured.get(name) {
                Some(before) if before == content && !everything => {
                    pulled.kept += 1;
                    continue;
                }
                // Without comparing, everything is new.
                Some(_) if !everything => pulled.updated.push(id),
                _ => pulled.inserted.push(id),
            }
            put(&self.raw_store, "entities", name, content.as_bytes());
        }
        if !everything {
            for (name, content) in self.captured.iter().filter(|(name, _)| !entities.contains_key(*name)) {
                pulled.deleted.push(id_of(content));
                // It may be gone already.
                let _ = fs::remove_file(self.raw_store.join("entities").join(name));
            }
            self.captured = entities;
        }
        pulled
    }
}

fn id_of(content: &str) -> String {
    let entity: Value = serde_json::from_str(content).expect("an entity is JSON");
    entity["entity_id"].as_str().expect("an entity has an id").to_owned()
}

/// Files of a folder, which may not be there.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("a folder is readable").path());
    paths.map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path)).collect()
}

/// Writes a file of the raw store in one step.
fn put(store: &Path, folder: &str, name: &str, content: &[u8]) {
    let folder = store.join(folder);
    let incoming = store.parent().expect("a store is in a folder").join(".incoming-platform");
    for folder in [&folder, &incoming] {
        fs::create_dir_all(folder).expect("a folder can be made");
    }
    let part = incoming.join("part");
    fs::write(&part, content).and_then(|()| fs::rename(&part, folder.join(name))).expect("a file can be written");
}
