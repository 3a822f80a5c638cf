//! The generated store, read with the project's own reader and compared with itself.

use std::collections::{BTreeMap, BTreeSet};

use activities::text::{Catalog, Entity, content_hash};
use sha2::{Digest, Sha256};

use super::*;

fn options(entities: usize) -> StoreOptions {
    StoreOptions {
        sync_id: Uuid::from_u128(1),
        organization_id: Uuid::from_u128(2),
        collection_id: Uuid::from_u128(3),
        collection_readable_id: "northwind-abc123".to_owned(),
        source_short_name: "stub".to_owned(),
        seed: 11,
        entities,
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in ["entities", "files"] {
        for entry in fs::read_dir(dir.join(folder)).expect("folder") {
            let entry = entry.expect("entry");
            let name = format!("{folder}/{}", entry.file_name().to_str().expect("UTF-8"));
            found.insert(name, fs::read(entry.path()).expect("file"));
        }
    }
    found
}

#[test]
fn every_entity_is_whole_and_carries_the_hash_of_the_platform() {
    let root = tempfile::tempdir().expect("directory");
    let store = generate(root.path(), &options(400)).expect("generate");
    let files = files(&store.dir);
    let (mut ids, mut classes, mut blobs, mut longest) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), 0);
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("entities/")) {
        assert!(bytes.is_ascii(), "{name}");
        let value = json::parse(bytes).expect("JSON");
        let words = |key| value.get(key).and_then(Value::as_str).map_or(0, |text| text.split_whitespace().count());
        longest = longest.max(words("content"));
        let entity = Entity::from_value(value, Catalog::builtin()).expect("entity");
        assert!(entity.is_known_class(), "{name}");
        let blob = entity.stored_file().map(|path| {
            let name = path.strip_prefix(&format!("raw/{}/", Uuid::from_u128(1))).expect("a path of this sync");
            blobs.insert(name.to_owned());
            hex::encode(Sha256::digest(files.get(name).expect("the blob is there")))
        });
        assert_eq!(entity.kind().is_file(), blob.is_some(), "{name}");
        assert_eq!(entity.stored_hash(), Some(content_hash(&entity, blob.as_deref()).as_str()), "{name}");
        ids.insert(entity.entity_id().to_owned());
        classes.insert(entity.class().to_owned());
    }
    assert_eq!(ids, store.entity_ids.into_iter().collect(), "ids are unique and all are there");
    assert_eq!((ids.len(), classes.len()), (400, 10), "{classes:?}");
    assert_eq!(files.len(), ids.len() + blobs.len(), "no file that belongs to nothing");
    assert!(longest > 1500, "some pages need several chunks, the longest has {longest} words");
}

#[test]
fn the_same_options_give_the_same_bytes_and_another_seed_does_not() {
    let (one, two, three) = (tempfile::tempdir(), tempfile::tempdir(), tempfile::tempdir());
    let make = |root: &std::io::Result<tempfile::TempDir>, options: &StoreOptions| {
        files(&generate(root.as_ref().expect("directory").path(), options).expect("generate").dir)
    };
    let first = make(&one, &options(60));
    assert!(first == make(&two, &options(60)));
    assert!(first != make(&three, &StoreOptions { seed: 12, ..options(60) }));
}

#[test]
fn a_store_is_used_again_until_it_was_changed_or_left_half_made() {
    let root = tempfile::tempdir().expect("directory");
    let first = generate(root.path(), &options(60)).expect("generate");
    assert!(!first.reused);
    let again = generate(root.path(), &options(60)).expect("generate");
    assert_eq!((again.reused, &again.entity_ids), (true, &first.entity_ids));
    let pristine = files(&first.dir);

    fs::remove_file(options(60).stamp_file(root.path())).expect("as an interrupted run leaves it");
    fs::write(first.dir.join("entities/stray.json"), "{").expect("write");
    assert!(!generate(root.path(), &options(60)).expect("generate").reused);
    assert!(files(&first.dir) == pristine);

    change(root.path(), &options(60), 1, 8).expect("change");
    assert!(!generate(root.path(), &options(60)).expect("generate").reused);
    assert!(files(&first.dir) == pristine);
    assert!(!generate(root.path(), &options(61)).expect("generate").reused);
}

#[test]
fn a_later_job_changes_what_it_says() {
    let root = tempfile::tempdir().expect("directory");
    let store = generate(root.path(), &options(200)).expect("generate");
    let mut before = files(&store.dir);
    for round in 1..=3 {
        let changes = change(root.path(), &options(200), round, 40).expect("change");
        assert_eq!(changes.added.len(), 20);
        assert!(changes.updated.len() > 20 && changes.deleted.len() > 5, "{changes:?}");
        let after = files(&store.dir);
        let name = |id: &String| format!("entities/{}", activities::raw_store::entity_file_name(id));
        assert!(changes.updated.iter().all(|id| before[&name(id)] != after[&name(id)]));
        assert!(changes.added.iter().all(|id| !before.contains_key(&name(id)) && after.contains_key(&name(id))));
        assert!(changes.deleted.iter().all(|id| before.contains_key(&name(id)) && !after.contains_key(&name(id))));
        let touched: BTreeSet<String> =
            [&changes.updated, &changes.added, &changes.deleted].into_iter().flatten().map(name).collect();
        let same = |(name, bytes): (&String, &Vec<u8>)| {
            touched.contains(name) || !name.starts_with("entities/") || after.get(name) == Some(bytes)
        };
        assert!(before.iter().all(same), "nothing else changed");
        let named = after.values().filter_map(|bytes| json::parse(bytes).ok());
        let named = named.filter(|value| value.get("__stored_file__").is_some()).count();
        assert_eq!(after.keys().filter(|name| name.starts_with("files/")).count(), named, "no blob is left over");
        before = after;
    }
}
