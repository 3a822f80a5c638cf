//! What is stored beside the vectors of a chunk.

use uuid::Uuid;

use crate::json::{Format, Writer};

use super::content_hash::write_model;
use super::sparse_text::chunk_id;
use super::{Entity, FieldType};

/// Everything about a payload that its entity does not say.
#[derive(Debug, Clone, Copy)]
pub struct PayloadContext<'a> {
    /// The collection that searches address; the tenant of the destination's index.
    pub collection_id: Uuid,
    /// Short name of the original source.
    pub source_name: &'a str,
    /// The sync.
    pub sync_id: Uuid,
    /// The job that writes it, if there is one.
    pub sync_job_id: Option<Uuid>,
    /// Content hash of the entity.
    pub content_hash: &'a str,
    /// The text that is stored: that of the chunk, or the whole one.
    pub text: &'a str,
}

/// The payload of a chunk, as one strict JSON object in ASCII: the entity's fields that are set, with the id and the
/// text of the chunk, the system metadata, and the collection. `updated_at` falls back to `created_at`.
///
/// NaN and the infinities become `null` and lone surrogates U+FFFD, because no vector database takes them.
#[must_use]
pub fn chunk_payload(entity: &Entity, chunk_index: u32, context: &PayloadContext<'_>) -> String {
    write(entity, Some(chunk_index), context)
}

/// The payload of an entity that is stored whole: as [`chunk_payload`], but with the id of the entity itself and without
/// an index.
#[must_use]
pub fn entity_payload(entity: &Entity, context: &PayloadContext<'_>) -> String {
    write(entity, None, context)
}

fn write(entity: &Entity, chunk_index: Option<u32>, context: &PayloadContext<'_>) -> String {
    let mut writer = Writer::with_capacity(Format::STRICT, 2048 + context.text.len());
    writer.begin_object();
    let mut has_text = false;
    let mut has_updated_at = false;
    for (index, field) in entity.fields.iter().enumerate() {
        if index == entity.system_metadata_at {
            write_system_metadata(&mut writer, entity, chunk_index, context);
        }
        match field.key.as_str() {
            Some("entity_id") => {
                writer.str_key("entity_id");
                match chunk_index {
                    Some(index) => writer.str(&chunk_id(entity, index)),
                    None => writer.str(entity.entity_id()),
                }
                continue;
            }
            Some("textual_representation") => {
                has_text = true;
                write_text(&mut writer, context);
                continue;
            }
            // Written at the end; a source field of this name must not take its place.
            Some("airweave_collection_id") => continue,
            _ if field.value.is_null() => continue,
            Some("updated_at") => has_updated_at = true,
            _ => {}
        }
        writer.key(&field.key);
        match field.field_type {
            FieldType::Model => write_model(&mut writer, &field.value, false),
            _ => writer.value(&field.value),
        }
    }
    if entity.system_metadata_at == entity.fields.len() {
        write_system_metadata(&mut writer, entity, chunk_index, context);
    }
    if !has_text {
        write_text(&mut writer, context);
    }
    if let (false, Some(created_at)) = (has_updated_at, entity.field("created_at").filter(|value| !value.is_null())) {
        writer.str_key("updated_at");
        writer.value(created_at);
    }
    writer.str_key("airweave_collection_id");
    write_uuid(&mut writer, context.collection_id);
    writer.end_object();
    writer.finish()
}

fn write_text(writer: &mut Writer, context: &PayloadContext<'_>) {
    writer.str_key("textual_representation");
    writer.str(context.text);
}

fn write_system_metadata(writer: &mut Writer, entity: &Entity, chunk_index: Option<u32>, context: &PayloadContext<'_>) {
    writer.str_key("airweave_system_metadata");
    writer.begin_object();
    writer.str_key("source_name");
    writer.str(context.source_name);
    writer.str_key("entity_type");
    writer.str(entity.class());
    writer.str_key("sync_id");
    write_uuid(writer, context.sync_id);
    if let Some(job) = context.sync_job_id {
        writer.str_key("sync_job_id");
        write_uuid(writer, job);
    }
    writer.str_key("hash");
    writer.str(context.content_hash);
    if let Some(index) = chunk_index {
        writer.str_key("chunk_index");
        writer.integer(i64::from(index));
    }
    writer.str_key("original_entity_id");
    writer.str(entity.entity_id());
    writer.end_object();
}

fn write_uuid(writer: &mut Writer, id: Uuid) {
    writer.str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use crate::text::Catalog;

    fn context(text: &str) -> PayloadContext<'_> {
        PayloadContext {
            collection_id: Uuid::from_u128(1),
            source_name: "slack",
            sync_id: Uuid::from_u128(2),
            sync_job_id: None,
            content_hash: "h2",
            text,
        }
    }

    fn entity(json: &str) -> Entity {
        Entity::from_value(parse(json.as_bytes()).unwrap(), Catalog::builtin()).unwrap()
    }

    const MESSAGE: &str = r#"{"entity_id": "m", "breadcrumbs": [{"entity_id": "c", "name": "g", "entity_type": null}], "name": "\ud800",
        "created_at": "2024-01-15T10:30:00Z", "updated_at": null, "textual_representation": null,
        "airweave_system_metadata": {"hash": "h1", "dense_embedding": null}, "access": null, "score": NaN,
        "type": "message", "meta": {"k": null}, "airweave_collection_id": "forged", "__stored_file__": null,
        "__entity_class__": "SlackMessageEntity", "__entity_module__": "airweave.platform.entities.slack"}"#;

    #[test]
    fn a_chunk_of_a_message() {
        assert_eq!(
            chunk_payload(&entity(MESSAGE), 1, &context("tëxt")),
            concat!(
                r#"{"entity_id":"m__chunk_1","breadcrumbs":[{"entity_id":"c","name":"g"}],"name":"\ufffd","#,
                r#""created_at":"2024-01-15T10:30:00Z","textual_representation":"t\u00ebxt","#,
                r#""airweave_system_metadata":{"source_name":"slack","entity_type":"SlackMessageEntity","#,
                r#""sync_id":"00000000-0000-0000-0000-000000000002","hash":"h2","chunk_index":1,"original_entity_id":"m"},"#,
                r#""score":null,"type":"message","meta":{"k":null},"updated_at":"2024-01-15T10:30:00Z","#,
                r#""airweave_collection_id":"00000000-0000-0000-0000-000000000001"}"#
            )
        );
    }

    #[test]
    fn a_whole_message_has_its_own_id_and_no_index() {
        let job = PayloadContext { sync_job_id: Some(Uuid::from_u128(3)), ..context("the whole tëxt") };
        assert_eq!(
            entity_payload(&entity(MESSAGE), &job),
            concat!(
                r#"{"entity_id":"m","breadcrumbs":[{"entity_id":"c","name":"g"}],"name":"\ufffd","#,
                r#""created_at":"2024-01-15T10:30:00Z","textual_representation":"the whole t\u00ebxt","#,
                r#""airweave_system_metadata":{"source_name":"slack","entity_type":"SlackMessageEntity","#,
                r#""sync_id":"00000000-0000-0000-0000-000000000002","sync_job_id":"00000000-0000-0000-0000-000000000003","#,
                r#""hash":"h2","original_entity_id":"m"},"#,
                r#""score":null,"type":"message","meta":{"k":null},"updated_at":"2024-01-15T10:30:00Z","#,
                r#""airweave_collection_id":"00000000-0000-0000-0000-000000000001"}"#
            )
        );
    }

    #[test]
    fn what_is_missing_in_the_store_is_added() {
        let stored = r#"{"entity_id": "m", "name": "n", "updated_at": "2024-01-16T10:30:00Z", "created_at": "2024-01-15T10:30:00Z",
            "__entity_class__": "SlackMessageEntity", "__entity_module__": "airweave.platform.entities.slack"}"#;
        let context = PayloadContext { sync_job_id: Some(Uuid::from_u128(3)), ..context("t") };
        assert_eq!(
            chunk_payload(&entity(stored), 1, &context),
            concat!(
                r#"{"entity_id":"m__chunk_1","name":"n","updated_at":"2024-01-16T10:30:00Z","created_at":"2024-01-15T10:30:00Z","#,
                r#""airweave_system_metadata":{"source_name":"slack","entity_type":"SlackMessageEntity","#,
                r#""sync_id":"00000000-0000-0000-0000-000000000002","sync_job_id":"00000000-0000-0000-0000-000000000003","#,
                r#""hash":"h2","chunk_index":1,"original_entity_id":"m"},"textual_representation":"t","#,
                r#""airweave_collection_id":"00000000-0000-0000-0000-000000000001"}"#
            )
        );
    }
}
