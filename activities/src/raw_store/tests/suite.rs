//! What holds for every backend.

use futures::StreamExt;
use rstest::rstest;

use super::stores::{OTHER_SYNC, SYNC, TestStore, listed, listed_keys, quick};
use crate::error::ErrorKind;
use crate::json::Value;
use crate::raw_store::{ReadError, ReadOptions, entity_file_name};

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn names_come_back_as_they_were_written(#[case] store: TestStore) {
    store.put_manifest().await;
    let ids = [
        "",
        "..",
        ".hidden",
        "with space",
        "100%",
        "a%2Fb",
        "%2e%2e",
        "a/b",
        "ключ",
        "漢字",
        "e\u{301}",
        "é",
        "a+b&c=d#e",
        "~[x]{y}^`",
    ];
    for id in ids {
        store
            .put(&format!("entities/{}", entity_file_name(id)), serde_json::json!({ "entity_id": id }).to_string())
            .await;
    }
    let sync = store.open();

    let mut expected: Vec<String> = ids.iter().copied().map(entity_file_name).collect();
    expected.sort();
    assert_eq!(listed_keys(&sync).await.unwrap(), expected);
    for id in ids {
        let entity = sync.read_entity(&entity_file_name(id)).await.unwrap();
        assert_eq!(entity.value.get("entity_id").and_then(Value::as_str), Some(id));
    }
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn a_token_changes_with_the_object_and_only_then(#[case] store: TestStore) {
    store.put_manifest().await;
    store.put("entities/a.json", r#"{"v": 1}"#).await;
    store.put("entities/b.json", r#"{"v": 1}"#).await;
    let sync = store.open();

    let first = listed(&sync).await.unwrap();
    let read = sync.read_entity("a.json").await.unwrap();
    assert_eq!((read.token.as_str(), read.bytes), (first[0].token.as_str(), first[0].size));

    store.put("entities/a.json", r#"{"v": 22}"#).await;
    let second = listed(&sync).await.unwrap();
    assert_ne!(second[0].token, first[0].token);
    assert_eq!(second[1], first[1]);
    assert_eq!(sync.read_entity("a.json").await.unwrap().token, second[0].token);
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn what_is_no_entity_is_left_out_and_counted(#[case] store: TestStore) {
    store.put_manifest().await;
    store.put("entities/a.json", "{}").await;
    store.put("entities/a.json.tmp", "{}").await;
    store.put("entities/.DS_Store", "").await;
    store.put("entities/deeper/b.json", "{}").await;
    store.put_at(&format!("raw/{OTHER_SYNC}/entities/c.json"), "{}").await;
    store.put_at(&format!("raw/{SYNC}-old/entities/d.json"), "{}").await;

    let mut listing = store.open().list();
    assert_eq!(listing.next().await.unwrap().unwrap().key, "a.json");
    assert!(listing.next().await.is_none());
    assert_eq!(listing.ignored(), 3);
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn an_empty_store_is_whole_only_with_a_manifest(#[case] store: TestStore) {
    store.put_manifest().await;
    assert_eq!(listed_keys(&store.open()).await.unwrap(), Vec::<String>::new());

    store.remove("manifest.json").await;
    let error = listed_keys(&store.open()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn nothing_at_all_is_not_found_and_says_what_to_do(#[case] store: TestStore) {
    let sync = store.open();
    let error = sync.manifest().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("resync") && error.message().contains(&SYNC.to_string()), "{error}");
    assert_eq!(listed_keys(&sync).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(
        matches!(sync.read_entity("a.json").await, Err(ReadError::Failed(error)) if error.kind() == ErrorKind::NotFound)
    );
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn entities_without_a_manifest_are_no_store(#[case] store: TestStore) {
    store.put("entities/a.json", "{}").await;
    assert_eq!(store.open().manifest().await.unwrap_err().kind(), ErrorKind::RawStoreInvalid);
}

#[rstest]
#[tokio::test]
async fn a_manifest_has_to_decode_and_to_name_the_sync(
    #[values(
        "",
        "{\"sync_id\": \"f22456a1-",
        "[]",
        "{}",
        "{\"sync_id\": 7}",
        "{\"sync_id\": \"00000000-0000-0000-0000-000000000007\"}"
    )]
    text: &str,
    #[values(TestStore::local(), TestStore::memory())] store: TestStore,
) {
    store.put("manifest.json", text).await;
    assert_eq!(store.open().manifest().await.unwrap_err().kind(), ErrorKind::RawStoreInvalid);
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn a_manifest_is_read(#[case] store: TestStore) {
    store.put_manifest().await;
    let manifest = store.open().manifest().await.unwrap();
    assert_eq!((manifest.sync_id, manifest.source_short_name.as_deref()), (SYNC, Some("stub")));
}

#[rstest]
#[tokio::test]
async fn an_entity_that_stays_bad_is_undecodable_with_its_token(
    #[values("", "{\"entity_id\": \"a", "[]", "{\"a\": 1}}", "\0\0\0\0")] text: &str,
    #[values(TestStore::local(), TestStore::memory())] store: TestStore,
) {
    store.put_manifest().await;
    store.put("entities/a.json", text).await;
    let sync = store.open();
    let listed = listed(&sync).await.unwrap();
    match sync.read_entity("a.json").await.unwrap_err() {
        ReadError::Undecodable { key, token, .. } => {
            assert_eq!((key, token), ("a.json".into(), listed[0].token.clone()))
        }
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn what_python_writes_and_strict_parsers_refuse_is_read(#[case] store: TestStore) {
    store.put_manifest().await;
    store
        .put("entities/a.json", r#"{"n": NaN, "i": -Infinity, "s": "\ud800", "b": 123456789012345678901234567890}"#)
        .await;
    let entity = store.open().read_entity("a.json").await.unwrap();
    assert_eq!(entity.value.as_object().map(|object| object.len()), Some(4));
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn a_deleted_entity_has_vanished(#[case] store: TestStore) {
    store.put_manifest().await;
    store.put("entities/a.json", "{}").await;
    store.remove("entities/a.json").await;
    let error = store.open().read_entity("a.json").await.unwrap_err();
    assert!(matches!(&error, ReadError::Vanished { key } if key == "a.json") && error.is_about_the_object());
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn limits_are_inclusive(#[case] store: TestStore) {
    store.put_manifest().await;
    store.put("entities/a.json", r#"{"v": 1}"#).await;
    store.put("files/a.bin", [0_u8; 100]).await;
    let stored = format!("raw/{SYNC}/files/a.bin");

    let roomy = store.open_with(ReadOptions { max_entity_bytes: 8, ..quick() }).sync(SYNC);
    roomy.read_entity("a.json").await.unwrap();
    assert_eq!(roomy.read_blob(&stored, 100).await.unwrap().len(), 100);

    let tight = store.open_with(ReadOptions { max_entity_bytes: 7, ..quick() }).sync(SYNC);
    let error = tight.read_entity("a.json").await.unwrap_err();
    assert!(matches!(error, ReadError::TooLarge { size_bytes: 8, limit_bytes: 7, .. }), "{error:?}");
    assert_eq!(tight.read_blob(&stored, 99).await.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn blobs_are_read_through_their_stored_path_only(#[case] store: TestStore) {
    store.put_manifest().await;
    store.put("files/a b_é%.html", "<p>hello</p>").await;
    store.put_at(&format!("raw/{OTHER_SYNC}/files/secret"), "secret").await;
    let sync = store.open();

    let read = sync.read_blob(&format!("raw/{SYNC}/files/a b_é%.html"), 1 << 20).await.unwrap();
    assert_eq!(read.as_ref(), b"<p>hello</p>");
    for elsewhere in [
        format!("raw/{OTHER_SYNC}/files/secret"),
        format!("raw/{SYNC}/files/../../{OTHER_SYNC}/files/secret"),
        format!("raw/{SYNC}/manifest.json"),
        "/etc/passwd".to_owned(),
    ] {
        match sync.read_blob(&elsewhere, 1 << 20).await.unwrap_err() {
            ReadError::Refused { key, .. } => assert_eq!(key, elsewhere),
            other => panic!("{other:?}"),
        }
    }
    let gone = sync.read_blob(&format!("raw/{SYNC}/files/gone"), 1 << 20).await.unwrap_err();
    assert!(matches!(gone, ReadError::Vanished { .. }));
}

#[rstest]
#[case::local(TestStore::local())]
#[case::memory(TestStore::memory())]
#[tokio::test]
async fn keys_that_lead_elsewhere_are_refused(#[case] store: TestStore) {
    store.put_manifest().await;
    for key in ["../manifest.json", "..", "", "a\\b.json", "a.txt"] {
        let error = store.open().read_entity(key).await.unwrap_err();
        assert!(matches!(error, ReadError::Refused { .. }), "{key}: {error:?}");
    }
}
