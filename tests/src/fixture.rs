//! Raw stores that the platform's own code wrote, as the raw store of a world.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::World;

/// A file below `tests/fixtures`.
#[must_use]
pub fn fixture_path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(file)
}

impl World {
    /// Puts the sync of `source` in the archive `fixtures/arf/{archive}.tar.zst` in place of this world's raw store, as a
    /// store of this world's sync. Returns what the platform's code made of its entities, a JSON object a line.
    ///
    /// # Panics
    ///
    /// When there is no such sync in the archive, or the store is not writable.
    pub async fn put_fixture(&self, archive: &str, source: &str) -> String {
        self.empty_store().await;
        let unpacked = TempDir::new().expect("a folder can be made");
        let packed = fs::File::open(fixture_path(&format!("arf/{archive}.tar.zst"))).expect("the fixture is there");
        let packed = zstd::Decoder::new(packed).expect("the fixture is zstd");
        tar::Archive::new(packed).unpack(unpacked.path()).expect("the fixture unpacks");
        let (from, manifest) = sync_of(&unpacked.path().join(archive).join("raw"), source);
        let theirs =
            |key: &str| manifest[key].as_str().unwrap_or_else(|| panic!("no {key} in the manifest")).to_owned();
        let sync_id = theirs("sync_id");
        let ids = [
            (sync_id.clone(), self.ids.sync_id),
            (theirs("organization_id"), self.ids.organization_id),
            (theirs("collection_id"), self.ids.collection_id),
        ];
        let as_ours = |text: String| ids.iter().fold(text, |text, (from, to)| text.replace(from, &to.to_string()));
        fs::write(self.store().join("manifest.json"), as_ours(manifest.to_string())).expect("the store is writable");
        for file in files_in(&from.join("entities")) {
            let text = as_ours(fs::read_to_string(&file).expect("an entity is UTF-8"));
            let name = file.file_name().expect("a file has a name");
            fs::write(self.store().join("entities").join(name), text).expect("the store is writable");
        }
        for file in files_in(&from.join("files")) {
            let name = file.file_name().expect("a file has a name");
            fs::copy(&file, self.store().join("files").join(name)).expect("the store is writable");
        }
        golden(archive, &sync_id)
    }
}

/// The folder of the sync whose manifest names `source`, and that manifest.
fn sync_of(raw: &Path, source: &str) -> (PathBuf, Value) {
    let syncs =
        fs::read_dir(raw).expect("an archive has syncs").map(|entry| entry.expect("an entry is readable").path());
    let with_manifest = syncs.map(|folder| {
        let manifest = fs::read(folder.join("manifest.json")).expect("a sync has a manifest");
        (folder, serde_json::from_slice::<Value>(&manifest).expect("a manifest is JSON"))
    });
    let mut found = with_manifest.filter(|(_, manifest)| manifest["source_short_name"] == source);
    found.next().unwrap_or_else(|| panic!("no sync of {source} in {}", raw.display()))
}

/// Files of a folder that may be absent.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.expect("an entry is readable").path()).collect()
}

/// The golden vectors of one sync.
fn golden(archive: &str, sync_id: &str) -> String {
    let packed = fs::read(fixture_path(&format!("golden/{archive}.jsonl.zst"))).expect("the golden vectors are there");
    let lines = String::from_utf8(zstd::decode_all(packed.as_slice()).expect("they are zstd")).expect("JSON is UTF-8");
    let of_sync = |line: &&str| serde_json::from_str::<Value>(line).expect("each line is JSON")["sync_id"] == sync_id;
    lines.lines().filter(of_sync).map(|line| format!("{line}\n")).collect()
}
