//! The text behind the keyword vector of a chunk: the JSON of the whole chunk entity.

use crate::json::{Format, PyString, Value, Writer};

use super::Entity;

/// `json.dumps(entity, sort_keys=True)` without the system metadata, unset fields included.
///
/// This is the form of [`chunk_sparse_text`] before an entity is chunked.
#[must_use]
pub fn entity_sparse_text(entity: &Entity) -> String {
    write(entity, &[])
}

/// `json.dumps(chunk, sort_keys=True)` of a chunk without the system metadata: the entity with the id of the chunk and
/// the text of the chunk as `textual_representation`.
///
/// ASCII: other characters are escapes, and keyword search tokenises them as such, on the platform too.
#[must_use]
pub fn chunk_sparse_text(entity: &Entity, chunk_index: u32, chunk_text: &str) -> String {
    let id = chunk_id(entity, chunk_index);
    write(entity, &[("entity_id", &id), ("textual_representation", chunk_text)])
}

/// The id of a chunk: `{entity_id}__chunk_{index}`.
pub(super) fn chunk_id(entity: &Entity, chunk_index: u32) -> String {
    format!("{}__chunk_{chunk_index}", entity.entity_id())
}

enum Content<'a> {
    Stored(&'a Value),
    Replaced(&'a str),
}

fn write(entity: &Entity, replaced: &[(&str, &str)]) -> String {
    let keys: Vec<PyString> = replaced.iter().map(|(key, _)| PyString::from(*key)).collect();
    let mut entries: Vec<(&PyString, Content<'_>)> = entity
        .fields()
        .filter(|(key, _)| !keys.contains(key))
        .map(|(key, value)| (key, Content::Stored(value)))
        .chain(keys.iter().zip(replaced).map(|(key, (_, text))| (key, Content::Replaced(text))))
        .collect();
    entries.sort_unstable_by_key(|(key, _)| *key);

    let mut writer = Writer::with_capacity(Format::PYTHON_SORTED, 2048);
    writer.begin_object();
    for (key, content) in entries {
        writer.key(key);
        match content {
            Content::Stored(value) => writer.value(value),
            Content::Replaced(text) => writer.str(text),
        }
    }
    writer.end_object();
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use crate::text::Catalog;

    #[test]
    fn a_chunk_replaces_id_and_text() {
        let json = r#"{"entity_id": "m", "name": "é", "textual_representation": "half", "airweave_system_metadata": {"hash": "h"},
            "score": 1, "team": null, "__captured_at__": "t",
            "__entity_class__": "SlackMessageEntity", "__entity_module__": "airweave.platform.entities.slack"}"#;
        let entity = Entity::from_value(parse(json.as_bytes()).unwrap(), Catalog::builtin()).unwrap();
        assert_eq!(
            entity_sparse_text(&entity),
            r#"{"entity_id": "m", "name": "\u00e9", "score": 1.0, "team": null, "textual_representation": null}"#
        );
        assert_eq!(
            chunk_sparse_text(&entity, 3, "piece ü"),
            r#"{"entity_id": "m__chunk_3", "name": "\u00e9", "score": 1.0, "team": null, "textual_representation": "piece \u00fc"}"#
        );
    }
}
