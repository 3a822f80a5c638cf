use rstest::rstest;

use super::*;
use crate::json::parse;

fn read(json: &str) -> Result<Entity, TextError> {
    Entity::from_value(parse(json.as_bytes()).unwrap(), Catalog::builtin())
}

/// A Slack message with more keys before the class.
fn message(keys: &str) -> Entity {
    read(&format!(
        r#"{{{keys}, "__entity_class__": "SlackMessageEntity", "__entity_module__": "airweave.platform.entities.slack"}}"#
    ))
    .unwrap()
}

#[test]
fn identity_and_fields_are_kept_apart() {
    let entity = message(
        r#""entity_id": "1.5", "name": "n", "textual_representation": "half built",
           "airweave_system_metadata": {"hash": "abc", "sync_job_id": "j"}, "text": "t", "extra": [1],
           "__captured_at__": "2026-01-05T09:00:00+00:00", "__stored_file__": "raw/s/files/x""#,
    );
    assert_eq!((entity.entity_id(), entity.name(), entity.kind()), ("1.5", "n", EntityKind::Base));
    assert_eq!((entity.class(), entity.module()), ("SlackMessageEntity", "airweave.platform.entities.slack"));
    assert_eq!((entity.stored_hash(), entity.stored_sync_job_id()), (Some("abc"), Some("j")));
    assert_eq!(entity.stored_file(), Some("raw/s/files/x"));
    assert_eq!(entity.captured_at(), Some("2026-01-05T09:00:00+00:00"));
    assert!(entity.is_known_class());
    let keys: Vec<_> = entity.fields().map(|(key, _)| key.as_str().unwrap()).collect();
    assert_eq!(keys, ["entity_id", "name", "textual_representation", "text", "extra"]);
    assert_eq!(entity.field("textual_representation"), Some(&Value::Null));
    assert_eq!(entity.field("absent"), None);
}

#[test]
fn empty_base_fields_are_filled_from_the_marked_ones() {
    let entity = message(
        r#""entity_id": null, "name": "", "updated_at": null, "ts": "17.5", "text": "t",
           "message_time": "2024-01-15T10:30:00+00:00""#,
    );
    assert_eq!(entity.entity_id(), "17.5");
    assert_eq!(entity.field("created_at").and_then(Value::as_str), Some("2024-01-15T10:30:00Z"));
    assert_eq!(entity.field("updated_at"), Some(&Value::Null));
}

#[test]
fn what_is_set_is_not_overwritten() {
    let entity = message(r#""entity_id": "own", "name": "own name", "ts": "17.5""#);
    assert_eq!((entity.entity_id(), entity.name()), ("own", "own name"));
}

#[test]
fn an_unknown_class_is_flagged_and_its_kind_guessed() {
    let entity = read(
        r#"{"entity_id": "f", "name": "f", "url": "u", "size": 1, "file_type": "x", "local_path": "/a/b.txt",
            "__entity_class__": "BrandNewFileEntity", "__entity_module__": "airweave.platform.entities.brand_new"}"#,
    )
    .unwrap();
    assert!(!entity.is_known_class());
    assert_eq!((entity.kind(), entity.local_path()), (EntityKind::File, Some("/a/b.txt")));
}

#[test]
fn a_class_that_moved_is_known() {
    let entity = read(r#"{"entity_id": "m", "__entity_class__": "SlackMessageEntity", "__entity_module__": "moved"}"#);
    assert!(entity.unwrap().is_known_class());
}

#[test]
fn local_path_can_be_replaced() {
    let mut entity = message(r#""entity_id": "m", "local_path": "/old""#);
    entity.set_local_path("/new");
    assert_eq!(entity.local_path(), Some("/new"));
    let mut without = message(r#""entity_id": "m""#);
    without.set_local_path("/new");
    assert_eq!(without.local_path(), Some("/new"));
}

#[rstest]
#[case("[]", "an entity must be a JSON object")]
#[case(r#"{"entity_id": "x"}"#, "the entity has no __entity_class__")]
#[case(r#"{"__entity_class__": "", "__entity_module__": "m"}"#, "the entity has no __entity_class__")]
#[case(r#"{"__entity_class__": "X"}"#, "the entity has no __entity_module__")]
#[case(r#"{"__entity_class__": 1}"#, "__entity_class__ of the entity must be a string of valid Unicode")]
#[case(r#"{"__entity_class__": "X", "__entity_module__": "m"}"#, "the entity has no entity_id")]
#[case(r#"{"__entity_class__": "X", "__entity_module__": "m", "entity_id": ""}"#, "the entity has no entity_id")]
#[case(
    r#"{"__entity_class__": "X", "__entity_module__": "m", "entity_id": "\ud800"}"#,
    "entity_id of the entity must be a string of valid Unicode"
)]
#[case(
    r#"{"__entity_class__": "X", "__entity_module__": "m", "entity_id": 5}"#,
    "entity_id of the entity must be a string of valid Unicode"
)]
#[case(
    r#"{"__entity_class__": "X", "__entity_module__": "m", "entity_id": "x", "__stored_file__": []}"#,
    "__stored_file__ of the entity must be a string of valid Unicode"
)]
fn what_is_no_entity_is_refused(#[case] json: &str, #[case] message: &str) {
    assert_eq!(read(json).unwrap_err().to_string(), message);
}
