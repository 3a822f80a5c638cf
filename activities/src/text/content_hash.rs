//! The hash by which the platform tells whether an entity changed.

use sha2::{Digest, Sha256};

use crate::json::{Format, PyString, Value, Writer};

use super::entity::Field;
use super::{DateTime, Entity, FieldType};

/// Fields that say where an entity is rather than what it is.
const LEFT_OUT: [&str; 3] = ["breadcrumbs", "local_path", "url"];

/// SHA-256, in hexadecimal, of the compact sorted JSON of an entity's hashable fields that are set, date-times as
/// Python's `str()`, and for files of `_content_hash`.
///
/// `blob_sha256` is the SHA-256 of the blob in lower-case hexadecimal. A file must have it: without it the hash is not
/// the platform's, which skips a file whose bytes it cannot read. It is ignored for other kinds.
#[must_use]
pub fn content_hash(entity: &Entity, blob_sha256: Option<&str>) -> String {
    hex::encode(Sha256::digest(hashed_text(entity, blob_sha256)))
}

fn hashed_text(entity: &Entity, blob_sha256: Option<&str>) -> String {
    let content_key = PyString::from("_content_hash");
    let content_value = blob_sha256.filter(|_| entity.kind().is_file()).map(Value::from);
    let mut entries: Vec<(&PyString, &Value, FieldType)> = entity
        .fields
        .iter()
        .filter(|field| is_hashed(field))
        .map(|field| (&field.key, &field.value, field.field_type))
        .collect();
    if let Some(value) = &content_value {
        entries.retain(|(key, _, _)| **key != content_key);
        entries.push((&content_key, value, FieldType::Plain));
    }
    entries.sort_unstable_by_key(|(key, _, _)| *key);

    let mut writer = Writer::with_capacity(Format::COMPACT_SORTED, 2048);
    writer.begin_object();
    for (key, value, field_type) in entries {
        writer.key(key);
        write_hashed(&mut writer, value, field_type);
    }
    writer.end_object();
    writer.finish()
}

fn is_hashed(field: &Field) -> bool {
    !field.unhashable && !field.value.is_null() && field.key.as_str().is_none_or(|name| !LEFT_OUT.contains(&name))
}

fn write_hashed(writer: &mut Writer, value: &Value, field_type: FieldType) {
    match (field_type, value) {
        (FieldType::DateTime, Value::String(text)) => match text.as_str().and_then(DateTime::parse) {
            Some(date_time) => writer.str(&date_time.to_str()),
            None => writer.value(value),
        },
        (FieldType::Model, _) => write_model(writer, value, true),
        _ => writer.value(value),
    }
}

/// Writes a nested model, or a list of them, without its absent values.
pub(super) fn write_model(writer: &mut Writer, value: &Value, sort_keys: bool) {
    match value {
        Value::Array(items) => writer.list(items, |writer, item| write_model(writer, item, sort_keys)),
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().filter(|(_, value)| !value.is_null()).collect();
            if sort_keys {
                entries.sort_unstable_by_key(|(key, _)| key);
            }
            writer.begin_object();
            for (key, value) in entries {
                writer.key(key);
                writer.value(value);
            }
            writer.end_object();
        }
        other => writer.value(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use crate::text::Catalog;

    fn entity(json: &str) -> Entity {
        Entity::from_value(parse(json.as_bytes()).unwrap(), Catalog::builtin()).unwrap()
    }

    #[test]
    fn what_is_hashed() {
        let file = entity(
            r#"{"entity_id": "f", "breadcrumbs": [{}], "name": "ü\ud800", "created_at": "2024-01-15T10:30:00.123Z", "updated_at": null,
                "textual_representation": "half built", "airweave_system_metadata": {"hash": "h"},
                "access": {"viewers": null, "is_public": false}, "url": "u", "size": 3, "file_type": "x", "local_path": "/p",
                "owners": [{"z": null, "a": NaN}], "web_url": "w", "later_field": 1.0,
                "__entity_class__": "GoogleDriveFileEntity", "__entity_module__": "airweave.platform.entities.google_drive"}"#,
        );
        assert_eq!(
            hashed_text(&file, Some("abc")),
            concat!(
                r#"{"_content_hash":"abc","access":{"is_public":false},"created_at":"2024-01-15 10:30:00.123000+00:00","#,
                r#""entity_id":"f","file_type":"x","later_field":1.0,"name":"\u00fc\ud800","owners":[{"a":NaN,"z":null}],"#,
                r#""size":3,"web_url":"w"}"#
            )
        );
        assert_eq!(file.stored_hash(), Some("h"));
    }

    #[test]
    fn a_blob_counts_for_files_only() {
        let message = r#"{"entity_id": "m", "name": "m", "ts": "m", "__entity_class__": "SlackMessageEntity",
            "__entity_module__": "airweave.platform.entities.slack"}"#;
        assert_eq!(hashed_text(&entity(message), Some("abc")), r#"{"entity_id":"m","name":"m","ts":"m"}"#);
        // Python: hashlib.sha256(b'{"entity_id":"m","name":"m","ts":"m"}').hexdigest()
        assert_eq!(content_hash(&entity(message), None), HASH_OF_MESSAGE);
    }

    const HASH_OF_MESSAGE: &str = "a794f284c65a81312907e79bfb4a5d6cecb70d185571d0e76c99a3b3e33aa3b2";
}
