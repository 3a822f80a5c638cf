use std::sync::Arc;

use rstest::rstest;

use super::*;
use crate::vespa::document_id::{DocumentId, Location};
use crate::vespa::schema::Generation;
use crate::vespa::value::FieldValue;

fn schemas() -> Schemas {
    Schemas::platform(Generation::Chunks, 2)
}

/// A base entity with a few fields.
fn entry() -> Entry {
    let text = |value: &str| FieldValue::String(value.to_owned());
    let fields = [
        ("name", text("it's")),
        ("created_at", FieldValue::Long(7)),
        ("access_is_public", FieldValue::Bool(true)),
        ("access_viewers", FieldValue::Array(vec![text("ann"), text("bob")])),
    ];
    let id = DocumentId::new("ns", "base_entity", Some(Location::Number(7)), "A_1".into()).expect("an id");
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Entry { id, timestamp_us: 1, fields: Some(Arc::new(fields)) }
}

#[rstest]
#[case("true", true)]
#[case("FALSE", false)]
#[case("base_entity", true)]
#[case("web_entity", false)]
#[case("base_entity.name", true)]
#[case("base_entity.payload", false)]
#[case("not base_entity.payload", true)]
#[case(r"base_entity.name == 'it\'s'", true)]
#[case(r#"base_entity.name == "it's""#, true)]
#[case("base_entity.name != 'other'", true)]
#[case("base_entity.name = 'it*'", true)]
#[case("base_entity.name = 'it?t'", false)]
#[case("base_entity.created_at >= 7 and base_entity.created_at < 8", true)]
#[case("base_entity.created_at > 7 or not (base_entity.created_at <= 7)", false)]
#[case("base_entity.access_is_public == true", true)]
#[case("base_entity.access_viewers == 'bob'", true)]
#[case("base_entity.access_viewers == 'eve'", false)]
#[case("id == 'id:ns:base_entity:n=7:A_1'", true)]
#[case("id.namespace == 'ns' and id.type == 'base_entity' and id.specific == 'A_1' and id.user == 7", true)]
#[case("id.group == 'x'", false)]
#[case("not id.group == 'x'", false)]
// A missing field is only ever equal or not.
#[case("base_entity.payload == null", true)]
#[case("base_entity.payload == 'x'", false)]
#[case("base_entity.payload != 'x'", true)]
#[case("base_entity.updated_at < 5", false)]
#[case("not base_entity.updated_at < 5", false)]
#[case("base_entity.updated_at < 5 or true", true)]
#[case("not (base_entity.updated_at < 5 and false)", true)]
// A field of another type is neither.
#[case("web_entity.name == 'x'", false)]
#[case("not web_entity.name == 'x'", false)]
// A string is never a number.
#[case("base_entity.name < 5", false)]
#[case("not base_entity.name < 5", false)]
fn selections_take_or_leave(#[case] text: &str, #[case] taken: bool) {
    let selection = Selection::parse(text, &schemas()).expect("it is a selection");
    assert_eq!(selection.matches(&entry()), Ok(taken));
}

#[rstest]
fn malformed_selections_are_refused(
    #[values(
        "",
        "and",
        "(true",
        "true)",
        "true true",
        "'text'",
        "name == 'x'",
        "base_entity.name ==",
        "nothing",
        "base_entity.none",
        "base_entity.name == 'x",
        "#"
    )]
    text: &str,
) {
    let error = Selection::parse(text, &schemas()).expect_err("it is none");
    assert!(matches!(error, SelectionError::Malformed(_)), "{error:?}");
}

#[rstest]
fn what_is_not_modelled_says_so(
    #[values(
        "base_entity.name =~ 'x.*'",
        "base_entity.created_at + 1 == 2",
        "base_entity.name.lowercase() == 'x'",
        "base_entity.access_viewers[0] == 'x'",
        "now() > 1",
        "id.bucket == 1",
        "base_entity.created_at == 0x10"
    )]
    text: &str,
) {
    let error = Selection::parse(text, &schemas()).expect_err("it is not modelled");
    assert!(matches!(error, SelectionError::NotModelled(_)), "{error:?}");
    assert!(error.into_refusal().message().contains("not supported by test server"));
}
