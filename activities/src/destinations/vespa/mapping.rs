//! A document type of one's own: which field takes what.

use proto::v1::vespa_field::{Derived, Type, Value as Source};
use proto::v1::vespa_mapping::Grain as ProtoGrain;
use proto::v1::{VespaField, VespaMapping};

use super::config::{FieldNames, Grain, is_name};
use super::fields::{FieldValue, Fields};
use crate::json::{self, Object, Value};
use crate::text::DateTime;

/// Most fields a mapping may have.
const MAX_FIELDS: usize = 500;

/// A mapping that was found sound.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mapping {
    pub(super) document_type: String,
    pub(super) grain: Grain,
    pub(super) names: FieldNames,
    fields: Vec<(String, Filling)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Filling {
    Derived(Derived),
    /// A field of the entity, or of an object in it, and what it must hold.
    Entity(String, Type),
}

/// What the derived values of one document are.
pub(super) trait DerivedValues {
    /// The value, or `None` when there is none for this document.
    fn derived(&self, derived: Derived) -> Option<FieldValue>;
}

impl Mapping {
    /// Reads a mapping.
    ///
    /// # Errors
    /// In words, naming the field, what is wrong with it.
    pub(super) fn new(mapping: &VespaMapping) -> Result<Self, String> {
        if !is_name(&mapping.document_type) {
            return Err("mapping.document_type is not a name of letters, digits and underscores".to_owned());
        }
        let grain = match mapping.grain() {
            ProtoGrain::Unspecified => {
                return Err("mapping.grain is missing; it decides who embeds: GRAIN_ENTITY or GRAIN_CHUNK".to_owned());
            }
            ProtoGrain::Entity => Grain::Entity,
            ProtoGrain::Chunk => Grain::Chunk,
        };
        if mapping.fields.len() > MAX_FIELDS {
            return Err(format!("mapping.fields has more than {MAX_FIELDS} fields"));
        }
        let mut fields: Vec<(String, Filling)> = Vec::with_capacity(mapping.fields.len());
        for field in &mapping.fields {
            if fields.iter().any(|(name, _)| *name == field.name) {
                return Err(format!("mapping.fields has two fields named {:?}", field.name));
            }
            fields.push((field.name.clone(), filling(field, grain)?));
        }
        let only = |derived: Derived| {
            let mut takers = fields.iter().filter(|(_, filling)| *filling == Filling::Derived(derived));
            match (takers.next(), takers.next()) {
                (Some((name, _)), None) => Ok(name.clone()),
                _ => Err(format!("mapping.fields needs exactly one field that takes {}", derived.as_str_name())),
            }
        };
        let chunked = |derived| (grain == Grain::Chunk).then(|| only(derived)).transpose();
        let names = FieldNames {
            entity_id: only(Derived::EntityId)?,
            chunk_index: chunked(Derived::ChunkIndex)?,
            content_hash: only(Derived::ContentHash)?,
            collection_id: only(Derived::CollectionId)?,
            sync_id: only(Derived::SyncId)?,
            text: only(Derived::Text)?,
            dense: chunked(Derived::Dense)?,
        };
        Ok(Self { document_type: mapping.document_type.clone(), grain, names, fields })
    }

    /// The fields of a document.
    ///
    /// # Errors
    /// In words, without values, which field the entity does not fit.
    pub(super) fn fill(&self, entity: &Object, derived: &impl DerivedValues) -> Result<Fields, String> {
        let mut filled = Fields::default();
        for (name, filling) in &self.fields {
            let value = match filling {
                Filling::Derived(what) => derived.derived(*what),
                Filling::Entity(path, kind) => match find(entity, path) {
                    None | Some(Value::Null) => None,
                    Some(value) => Some(convert(value, *kind).ok_or_else(|| {
                        format!("its field {path:?} is not of the type that the mapping gives {name:?}")
                    })?),
                },
            };
            match value {
                Some(FieldValue::Text(text)) => filled.push_text(name, &text),
                Some(value) => filled.push(name, value),
                None => {}
            }
        }
        Ok(filled)
    }

    /// The fields of a document that has all of them, with something of its type in each.
    pub(super) fn fill_all(&self, derived: &impl DerivedValues) -> Fields {
        let mut filled = Fields::default();
        for (name, filling) in &self.fields {
            let value = match filling {
                Filling::Derived(what) => derived.derived(*what),
                Filling::Entity(_, kind) => Some(match kind {
                    Type::Unspecified | Type::String | Type::Json => FieldValue::Text("check".to_owned()),
                    Type::Long | Type::EpochSeconds => FieldValue::Long(1),
                    Type::Double => FieldValue::Double(1.0),
                    Type::Bool => FieldValue::Bool(true),
                    Type::StringArray => FieldValue::Texts(vec!["check".to_owned()]),
                }),
            };
            if let Some(value) = value {
                filled.push(name, value);
            }
        }
        filled
    }
}

fn filling(field: &VespaField, grain: Grain) -> Result<Filling, String> {
    let name = &field.name;
    if !is_name(name) {
        return Err(format!("mapping.fields: {name:?} is not a name of letters, digits and underscores"));
    }
    match &field.value {
        Some(Source::Derived(number)) => {
            let derived = Derived::try_from(*number).unwrap_or(Derived::Unspecified);
            if derived == Derived::Unspecified {
                return Err(format!("mapping.fields: {name:?} takes no derived value that this version knows"));
            }
            let of_chunks =
                matches!(derived, Derived::ChunkId | Derived::ChunkIndex | Derived::Dense | Derived::Sparse);
            if of_chunks && grain == Grain::Entity {
                return Err(format!("mapping.fields: {name:?} takes what only chunks have; the grain is entities"));
            }
            if field.r#type() != Type::Unspecified {
                return Err(format!("mapping.fields: {name:?} has a type, but derived values have their own"));
            }
            Ok(Filling::Derived(derived))
        }
        Some(Source::EntityField(path)) if !path.is_empty() => {
            let kind = if field.r#type() == Type::Unspecified { Type::String } else { field.r#type() };
            Ok(Filling::Entity(path.clone(), kind))
        }
        _ => Err(format!("mapping.fields: {name:?} takes nothing; give derived or entity_field")),
    }
}

/// A field of that very name, or else what the names before and after a dot lead to.
fn find<'a>(object: &'a Object, path: &str) -> Option<&'a Value> {
    object.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        find(object.get(first)?.as_object()?, rest)
    })
}

fn convert(value: &Value, kind: Type) -> Option<FieldValue> {
    Some(match kind {
        Type::Unspecified | Type::String => FieldValue::text(&value.as_py_str()?.to_string_lossy()),
        Type::Long => FieldValue::Long(value.as_i64()?),
        Type::Double => FieldValue::Double(number(value)?),
        Type::Bool => FieldValue::Bool(value.as_bool()?),
        Type::EpochSeconds => FieldValue::Long(DateTime::parse(value.as_str()?)?.epoch_seconds()),
        Type::StringArray => FieldValue::Texts(texts(value)?),
        Type::Json => FieldValue::text(&json::to_strict(value)),
    })
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Int(int) => int.to_f64(),
        Value::Float(float) => *float,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// The texts of a list of texts.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |item: &Value| Some(super::sanitise::sanitise(&item.as_py_str()?.to_string_lossy()).into_owned());
    value.as_array()?.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn derived(name: &str, derived: Derived) -> VespaField {
        VespaField { name: name.into(), value: Some(Source::Derived(derived.into())), r#type: 0 }
    }

    fn entity(name: &str, path: &str, kind: Type) -> VespaField {
        VespaField { name: name.into(), value: Some(Source::EntityField(path.into())), r#type: kind.into() }
    }

    fn mapping() -> VespaMapping {
        VespaMapping {
            document_type: "article".into(),
            grain: ProtoGrain::Entity.into(),
            fields: vec![
                derived("id", Derived::EntityId),
                derived("hash", Derived::ContentHash),
                derived("collection", Derived::CollectionId),
                derived("sync", Derived::SyncId),
                derived("body", Derived::Text),
            ],
        }
    }

    struct Nothing;
    impl DerivedValues for Nothing {
        fn derived(&self, derived: Derived) -> Option<FieldValue> {
            (derived == Derived::Text).then(|| FieldValue::Text("text".into()))
        }
    }

    #[test]
    fn a_sound_mapping_knows_its_fields() {
        let mapping = Mapping::new(&mapping()).unwrap();
        assert_eq!((mapping.names.entity_id.as_str(), mapping.names.text.as_str()), ("id", "body"));
        assert_eq!((mapping.names.chunk_index, mapping.names.dense), (None, None));
    }

    #[rstest]
    #[case(|m: &mut VespaMapping| m.document_type = "a b".into(), "document_type")]
    #[case(|m: &mut VespaMapping| m.grain = 0, "grain is missing")]
    #[case(|m: &mut VespaMapping| { m.fields.remove(3); }, "exactly one field that takes DERIVED_SYNC_ID")]
    #[case(|m: &mut VespaMapping| m.fields.push(derived("more", Derived::Text)), "exactly one field that takes DERIVED_TEXT")]
    #[case(|m: &mut VespaMapping| m.fields.push(derived("id", Derived::Kind)), "two fields named \"id\"")]
    #[case(|m: &mut VespaMapping| m.fields.push(derived("d-e", Derived::Kind)), "\"d-e\" is not a name")]
    #[case(|m: &mut VespaMapping| m.fields.push(derived("dense", Derived::Dense)), "only chunks have")]
    #[case(|m: &mut VespaMapping| m.fields.push(entity("x", "", Type::Long)), "takes nothing")]
    #[case(|m: &mut VespaMapping| m.fields.push(VespaField { name: "x".into(), ..VespaField::default() }), "takes nothing")]
    #[case(|m: &mut VespaMapping| m.fields[0].r#type = 2, "derived values have their own")]
    #[case(|m: &mut VespaMapping| m.grain = ProtoGrain::Chunk.into(), "exactly one field that takes DERIVED_CHUNK_INDEX")]
    fn what_is_wrong_is_named(#[case] spoil: fn(&mut VespaMapping), #[case] words: &str) {
        let mut mapping = mapping();
        spoil(&mut mapping);
        let refused = Mapping::new(&mapping).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }

    #[test]
    fn fields_are_filled_by_type_and_absent_ones_left_out() {
        let mut proto = mapping();
        proto.fields.extend([
            entity("title", "name", Type::Unspecified),
            entity("channel", "channel.name", Type::String),
            entity("dotted", "a.b", Type::Long),
            entity("when", "created_at", Type::EpochSeconds),
            entity("share", "share", Type::Double),
            entity("open", "open", Type::Bool),
            entity("tags", "tags", Type::StringArray),
            entity("raw", "channel", Type::Json),
            entity("gone", "gone", Type::Long),
            entity("nothing", "nothing", Type::Long),
        ]);
        let source = r#"{"name":"n\u0008","channel":{"name":"c"},"a.b":7,"created_at":"1970-01-01T00:01:00Z","share":1,
            "open":true,"tags":["x\u0000","y"],"nothing":null}"#;
        let source = json::parse(source.as_bytes()).unwrap();
        let fields = Mapping::new(&proto).unwrap().fill(source.as_object().unwrap(), &Nothing).unwrap();
        let mut expected = Fields::default();
        expected.push_text("body", "text");
        expected.push_text("title", "n");
        expected.push_text("channel", "c");
        expected.push("dotted", FieldValue::Long(7));
        expected.push("when", FieldValue::Long(60));
        expected.push("share", FieldValue::Double(1.0));
        expected.push("open", FieldValue::Bool(true));
        expected.push("tags", FieldValue::Texts(vec!["x".into(), "y".into()]));
        expected.push_text("raw", r#"{"name":"c"}"#);
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_value_of_another_type_is_named_and_not_shown() {
        let mut proto = mapping();
        proto.fields.push(entity("n", "count", Type::Long));
        let source = json::parse(br#"{"count":"secret"}"#).unwrap();
        let refused = Mapping::new(&proto).unwrap().fill(source.as_object().unwrap(), &Nothing).unwrap_err();
        assert!(refused.contains("\"count\"") && !refused.contains("secret"), "{refused}");
    }
}
