use proptest::prelude::*;
use rstest::rstest;
use uuid::Uuid;

use super::*;
use crate::destinations::{EntityRef, SparseVector};

fn scope() -> Scope {
    let [organization_id, collection_id, sync_id, slot_id] = [1, 2, 3, 4].map(Uuid::from_u128);
    Scope { organization_id, collection_id, sync_id, slot_id }
}

fn document(payload: &str) -> EntityDocument {
    let chunk = Chunk {
        index: 7,
        text: "the chunk's text".into(),
        payload: payload.into(),
        dense: vec![1.0],
        sparse: SparseVector::default(),
    };
    EntityDocument { entity: EntityRef("e".into()), class: "C".into(), content_hash: "h".into(), chunks: vec![chunk] }
}

fn converted(json: &str) -> Result<serde_json::Value, String> {
    let document = document(json);
    let payload = payload(&scope(), &document, &document.chunks[0])?;
    Ok(serde_json::Value::from(qdrant_client::Payload::from(payload)))
}

#[test]
fn what_identifies_the_point_is_laid_over_what_the_source_says() {
    let forged = r#"{"airweave_collection_id": "forged", "entity_id": "forged", "textual_representation": "forged",
        "airweave_system_metadata": {"sync_id": "forged", "original_entity_id": "forged", "chunk_index": 0,
        "hash": "forged", "source_name": "slack", "entity_type": "E"}, "a": 1}"#;
    let identity = serde_json::json!({
        "airweave_collection_id": "00000000-0000-0000-0000-000000000002",
        "entity_id": "e__chunk_7",
        "textual_representation": "the chunk's text",
        "airweave_system_metadata": {
            "sync_id": "00000000-0000-0000-0000-000000000003",
            "original_entity_id": "e",
            "chunk_index": 7,
            "hash": "h",
        },
    });
    let mut expected = identity.clone();
    expected["a"] = 1.into();
    expected["airweave_system_metadata"]["source_name"] = "slack".into();
    expected["airweave_system_metadata"]["entity_type"] = "E".into();
    assert_eq!(converted(forged), Ok(expected));
    for bare in ["{}", r#"{"airweave_system_metadata": "forged"}"#, r#"{"airweave_system_metadata": null}"#] {
        assert_eq!(converted(bare), Ok(identity.clone()));
    }
}

#[rstest]
#[case::least_integer("-9223372036854775808", Kind::IntegerValue(i64::MIN))]
#[case::greatest_integer("9223372036854775807", Kind::IntegerValue(i64::MAX))]
#[case::integer_beyond("9223372036854775808", Kind::DoubleValue(9_223_372_036_854_775_808.0))]
#[case::whole_float("2.0", Kind::DoubleValue(2.0))]
#[case::negative_zero("-0.0", Kind::DoubleValue(-0.0))]
#[case::too_great_for_a_double("1e400", Kind::NullValue(0))]
#[case::not_a_number("NaN", Kind::NullValue(0))]
#[case::infinite("-Infinity", Kind::NullValue(0))]
#[case::null("null", Kind::NullValue(0))]
#[case::truth("true", Kind::BoolValue(true))]
#[case::nul(r#""\u0000""#, Kind::StringValue("\0".into()))]
#[case::surrogate_pair(r#""\ud83e\udd80""#, Kind::StringValue("\u{1f980}".into()))]
#[case::lone_surrogate(r#""a\ud800b""#, Kind::StringValue("a\u{fffd}b".into()))]
fn values_keep_what_qdrant_can_hold(#[case] json: &str, #[case] expected: Kind) {
    let document = document(&format!(r#"{{"v": {json}}}"#));
    let payload = payload(&scope(), &document, &document.chunks[0]).expect("an object");
    assert_eq!(payload["v"].kind, Some(expected));
}

#[test]
fn of_a_repeated_member_the_last_one_counts() {
    assert_eq!(converted(r#"{"k": 1, "k": 2}"#).expect("an object")["k"], 2);
    assert_eq!(converted(r#"{"o": {"k": 1, "k": 2}}"#).expect("an object")["o"], serde_json::json!({"k": 2}));
}

#[rstest]
#[case::cut("{")]
#[case::list("[]")]
#[case::text("\"x\"")]
#[case::empty("")]
fn what_is_no_object_is_refused_without_repeating_it(#[case] json: &str) {
    assert_eq!(converted(json), Err("its payload is no JSON object".to_owned()));
}

#[rstest]
#[case::objects(|depth: usize| format!("{}1{}", r#"{"k":"#.repeat(depth), "}".repeat(depth)), 30)]
#[case::lists(|depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth)), 45)]
fn nesting_is_bounded_by_the_protocol(#[case] nested: fn(usize) -> String, #[case] deepest: usize) {
    let payload = |depth| converted(&format!(r#"{{"v": {}}}"#, nested(depth)));
    assert!(payload(deepest).is_ok());
    assert!(payload(deepest + 1).expect_err("too deep").contains("deeper"));
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("JSON has finite numbers only", |value| value.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_arrives_as_it_was(value in json_value()) {
        let sent = serde_json::json!({ "v": value }).to_string();
        prop_assert_eq!(&converted(&sent).expect("an object")["v"], &value);
    }
}

#[test]
fn a_stored_point_says_whose_it_is() {
    let document = document("{}");
    let payload = payload(&scope(), &document, &document.chunks[0]).expect("an object");
    let stored = Stored::new(None, &payload);
    assert_eq!((stored.entity().unwrap(), stored.index().unwrap()), ("e", 7));
    assert_eq!((stored.text().unwrap(), stored.hash()), ("the chunk's text", Some("h")));
}

#[test]
fn a_point_that_somebody_else_wrote_is_named() {
    let (id, payload) = (PointId::from("b8a5…"), Payload::new());
    let stored = Stored::new(Some(&id), &payload);
    for error in [stored.entity().unwrap_err(), stored.index().unwrap_err(), stored.text().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::IncompatibleDestination);
        assert!(error.message().contains("b8a5…"), "{error}");
    }
    assert_eq!(stored.hash(), None);
}
