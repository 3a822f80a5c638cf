//! What only a file system can do.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::stores::{OTHER_SYNC, SYNC, TestStore, listed_keys};
use crate::error::ErrorKind;
use crate::raw_store::{RawStore, ReadError, entity_file_name};

async fn store() -> (TestStore, PathBuf) {
    let store = TestStore::local();
    store.put_manifest().await;
    let TestStore::Local(root) = &store else { unreachable!("it was just made") };
    let directory = root.path().join(format!("raw/{SYNC}"));
    (store, directory)
}

#[tokio::test]
async fn control_characters_come_back() {
    let (store, _) = store().await;
    let key = entity_file_name("line\nbreak\ttab\u{1}\u{7f}");
    store.put(&format!("entities/{key}"), "{}").await;
    assert_eq!(listed_keys(&store.open()).await.unwrap(), std::slice::from_ref(&key));
    store.open().read_entity(&key).await.unwrap();
}

#[tokio::test]
async fn more_entities_than_one_batch_are_all_listed() {
    let (store, directory) = store().await;
    for number in 0..1300 {
        fs::write(directory.join(format!("entities/{number:04}.json")), "{}").unwrap();
    }
    let expected: Vec<String> = (0..1300).map(|number| format!("{number:04}.json")).collect();
    assert_eq!(listed_keys(&store.open()).await.unwrap(), expected);
}

#[tokio::test]
async fn links_that_leave_the_store_are_refused() {
    let (store, directory) = store().await;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "{}").unwrap();
    store.put_at(&format!("raw/{OTHER_SYNC}/files/secret"), "{}").await;
    fs::create_dir_all(directory.join("files")).unwrap();
    symlink(outside.path().join("secret"), directory.join("files/link")).unwrap();
    symlink(outside.path(), directory.join("files/directory")).unwrap();
    symlink(format!("../../{OTHER_SYNC}/files/secret"), directory.join("files/neighbour")).unwrap();
    symlink(outside.path().join("secret"), directory.join("entities/link.json")).unwrap();
    let sync = store.open();

    for name in ["link", "directory/secret", "neighbour"] {
        let error = sync.read_blob(&format!("raw/{SYNC}/files/{name}"), 100).await.unwrap_err();
        assert!(matches!(error, ReadError::Refused { .. }), "{name}: {error:?}");
    }
    assert!(matches!(sync.read_entity("link.json").await.unwrap_err(), ReadError::Refused { .. }));
}

#[tokio::test]
async fn links_inside_the_store_are_followed() {
    let (store, directory) = store().await;
    store.put("entities/a.json", "{}").await;
    symlink("a.json", directory.join("entities/b.json")).unwrap();
    assert_eq!(listed_keys(&store.open()).await.unwrap(), ["a.json", "b.json"]);
    store.open().read_entity("b.json").await.unwrap();
}

#[tokio::test]
async fn a_link_to_nothing_is_listed_and_then_missing() {
    let (store, directory) = store().await;
    symlink("nowhere", directory.join("entities/x.json")).unwrap();
    assert_eq!(listed_keys(&store.open()).await.unwrap(), ["x.json"]);
    assert!(matches!(store.open().read_entity("x.json").await.unwrap_err(), ReadError::Vanished { .. }));
}

#[tokio::test]
async fn directories_named_like_entities_are_refused() {
    let (store, directory) = store().await;
    fs::create_dir(directory.join("entities/x.json")).unwrap();
    assert_eq!(listed_keys(&store.open()).await.unwrap(), Vec::<String>::new());
    assert!(matches!(store.open().read_entity("x.json").await.unwrap_err(), ReadError::Refused { .. }));
}

#[tokio::test]
async fn a_name_too_long_for_the_file_system_is_refused() {
    let (store, _) = store().await;
    let error = store.open().read_entity(&entity_file_name(&"漢".repeat(150))).await.unwrap_err();
    assert!(matches!(error, ReadError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_name_that_is_no_utf8_fails_the_listing() {
    let (store, directory) = store().await;
    fs::write(directory.join("entities").join(std::ffi::OsStr::from_bytes(b"\xff.json")), "{}").unwrap();
    let error = listed_keys(&store.open()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RawStoreInvalid);
}

#[tokio::test]
async fn a_missing_or_replaced_directory_is_no_empty_one() {
    let (store, directory) = store().await;
    fs::remove_dir(directory.join("entities")).unwrap();
    assert_eq!(listed_keys(&store.open()).await.unwrap_err().kind(), ErrorKind::NotFound);

    fs::write(directory.join("entities"), "").unwrap();
    assert_eq!(listed_keys(&store.open()).await.unwrap_err().kind(), ErrorKind::RawStoreInvalid);
    let error = store.open().read_entity("a.json").await.unwrap_err();
    assert!(matches!(error, ReadError::Failed(error) if error.kind() == ErrorKind::RawStoreInvalid));
}

#[tokio::test]
async fn a_file_url_opens_the_same_store() {
    let (store, directory) = store().await;
    store.put("entities/a.json", "{}").await;
    let root = directory.parent().unwrap().parent().unwrap();
    let sync = RawStore::open(&format!("file://{}", root.display())).unwrap().sync(SYNC);
    assert_eq!(listed_keys(&sync).await.unwrap(), ["a.json"]);
}
