//! Document selections: which documents of a type belong to a slot.
//!
//! Fields are qualified with their type, because a bare name is read as the name of a type. Comparing strings is exact.
//!
//! Source: Vespa's document selector language.

use super::config::FieldNames;
use crate::destinations::Scope;

/// Documents of the collection and the sync.
pub(super) fn of_scope(document_type: &str, names: &FieldNames, scope: &Scope) -> String {
    format!(
        "{document_type}.{} == {} and {document_type}.{} == {}",
        names.collection_id,
        quote(&scope.collection_id.to_string()),
        names.sync_id,
        quote(&scope.sync_id.to_string())
    )
}

/// Documents of these entities in the collection and the sync.
pub(super) fn of_entities(document_type: &str, names: &FieldNames, scope: &Scope, ids: &[&str]) -> String {
    let any: Vec<String> =
        ids.iter().map(|id| format!("{document_type}.{} == {}", names.entity_id, quote(id))).collect();
    format!("{} and ({})", of_scope(document_type, names, scope), any.join(" or "))
}

/// A string of the selector language.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::destinations::vespa::config::VespaSettings;

    fn names() -> FieldNames {
        let layout = proto::v1::VespaLayout { documents: 2, ..proto::v1::VespaLayout::default() };
        VespaSettings::from_layout(&layout, 8).unwrap().shape.names().clone()
    }

    #[test]
    fn every_field_is_qualified_and_every_string_escaped() {
        let [organization_id, collection_id, sync_id, slot_id] = [1, 2, 3, 4].map(Uuid::from_u128);
        let scope = Scope { organization_id, collection_id, sync_id, slot_id };
        assert_eq!(
            of_entities("web_entity", &names(), &scope, &["it's", "a\\b"]),
            "web_entity.airweave_system_metadata_collection_id == '00000000-0000-0000-0000-000000000002' \
             and web_entity.airweave_system_metadata_sync_id == '00000000-0000-0000-0000-000000000003' \
             and (web_entity.airweave_system_metadata_original_entity_id == 'it\\'s' \
             or web_entity.airweave_system_metadata_original_entity_id == 'a\\\\b')"
        );
    }

    proptest! {
        #[test]
        fn no_text_ends_its_string(text in any::<String>()) {
            let quoted = quote(&text);
            let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap();
            let mut characters = inner.chars();
            let mut read = String::new();
            while let Some(character) = characters.next() {
                prop_assert_ne!(character, '\'', "ends early");
                read.push(match character {
                    '\\' => match characters.next() {
                        Some('n') => '\n',
                        Some('r') => '\r',
                        Some('t') => '\t',
                        Some(escaped @ ('\\' | '\'')) => escaped,
                        other => return Err(TestCaseError::fail(format!("{other:?} after a backslash"))),
                    },
                    plain => plain,
                });
            }
            prop_assert_eq!(read, text);
        }
    }
}
