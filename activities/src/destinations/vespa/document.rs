//! From an entity to the documents it becomes.
//!
//! Where the platform's fields are used, documents are as its own transformer makes them, with these differences: fields
//! of files are also filled for code files, where the platform loses them; a value that does not fit its field stays in
//! `payload` instead of failing the document; and all texts are sanitised.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::v1::vespa_field::Derived;
use uuid::Uuid;

use super::config::{Grain, Shape, VespaSettings};
use super::document_id::DocumentId;
use super::fields::{FieldValue, Fields};
use super::mapping::{DerivedValues, texts};
use super::sanitise::{is_legal, looks_binary, name_of};
use super::schema::{DocumentType, OwnField, kind_of};
use crate::destinations::{Chunk, EntityDocument, EntityRef, Scope, SparseVector, validate};
use crate::json::{self, Format, Object, Value, Writer};
use crate::text::{DateTime, EntityKind};

/// Largest request Vespa takes by default.
const MAX_BODY_BYTES: usize = 100 << 20;

/// A document, ready to be fed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    pub(super) id: DocumentId,
    /// The put.
    pub(super) body: Bytes,
}

/// The last version of each entity in a batch.
pub(super) fn latest(documents: &[EntityDocument]) -> Vec<&EntityDocument> {
    let by_id: BTreeMap<&str, &EntityDocument> =
        documents.iter().map(|document| (document.entity.0.as_str(), document)).collect();
    by_id.into_values().collect()
}

/// Everything that becomes of an entity.
///
/// # Errors
/// In words, without document text, why Vespa can never take the entity.
pub(super) fn documents_of(
    entity: &EntityDocument,
    scope: &Scope,
    settings: &VespaSettings,
) -> Result<Vec<Document>, String> {
    validate(entity, settings.dimensions)?;
    if settings.shape.grain() == Grain::Entity && entity.chunks.len() != 1 {
        return Err("the entity has several chunks, but entities are documents here".to_owned());
    }
    for (name, value) in
        [("entity id", &entity.entity.0), ("class", &entity.class), ("content hash", &entity.content_hash)]
    {
        if let Some(illegal) = value.chars().find(|character| !is_legal(*character)) {
            return Err(format!("the {name} holds {}, which Vespa does not take", name_of(illegal)));
        }
    }
    entity
        .chunks
        .iter()
        .map(|chunk| document_of(&Source::new(entity, chunk, scope, settings.shape.grain())?, settings))
        .collect()
}

fn document_of(source: &Source<'_>, settings: &VespaSettings) -> Result<Document, String> {
    let (document_type, fields) = match &settings.shape {
        Shape::Platform(..) => {
            let document_type = DocumentType::of(source.kind);
            (document_type.name(), source.platform_fields(document_type))
        }
        Shape::Custom(mapping) => (mapping.document_type.as_str(), mapping.fill(&source.payload, source)?),
    };
    let specific = settings.ids.specific(source.scope.sync_id, &source.entity.class, &source.id());
    let id = DocumentId::new(&settings.namespace, document_type, &specific)?;
    if looks_binary(&source.chunk.text) {
        return Err(
            "more than a quarter of its text are replacement characters: Vespa takes it for binary data".to_owned()
        );
    }
    let body = fields.to_put().map_err(|_| "its fields cannot be written as JSON".to_owned())?;
    if body.len() > MAX_BODY_BYTES {
        return Err(format!("its document has {} bytes; Vespa takes {MAX_BODY_BYTES}", body.len()));
    }
    Ok(Document { id, body })
}

/// A document no reader would find, of the size and with the fields that documents have: to see whether it is taken.
pub(super) fn sample(document_type: &str, settings: &VespaSettings, specific: &str) -> Result<Document, String> {
    let [organization_id, collection_id, sync_id, slot_id] = [Uuid::nil(); 4];
    let nobody = Scope { organization_id, collection_id, sync_id, slot_id };
    let chunk = Chunk {
        index: 0,
        text: "check".to_owned(),
        payload: sample_payload(),
        dense: vec![1.0; usize::try_from(settings.dimensions).map_err(|_| "its vectors are too long".to_owned())?],
        sparse: SparseVector { indices: vec![1], values: vec![1.0] },
    };
    let entity = EntityDocument {
        entity: EntityRef("sync-multiplexer check".to_owned()),
        class: "Check".to_owned(),
        content_hash: "0".repeat(64),
        chunks: vec![],
    };
    let source = Source::new(&entity, &chunk, &nobody, settings.shape.grain())?;
    let fields = match &settings.shape {
        Shape::Platform(..) => {
            let known = DocumentType::ALL.into_iter().find(|known| known.name() == document_type);
            source.platform_fields(known.unwrap_or(DocumentType::Base))
        }
        Shape::Custom(mapping) => mapping.fill_all(&source),
    };
    let id = DocumentId::new(&settings.namespace, document_type, specific)?;
    let body = fields.to_put().map_err(|_| "its fields cannot be written as JSON".to_owned())?;
    Ok(Document { id, body })
}

/// Something for every field of the platform's types. Made now, because an application may be told to drop what is old.
fn sample_payload() -> String {
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    serde_json::json!({
        "name": "check", "breadcrumbs": [{"entity_id": "c", "name": "c", "entity_type": "c"}], "created_at": now,
        "updated_at": now, "access": {"is_public": false, "viewers": ["c"]},
        "airweave_system_metadata": {"sync_job_id": "c", "source_name": "c"}, "url": "c", "size": 1, "file_type": "c",
        "mime_type": "c", "local_path": "c", "repo_name": "c", "path_in_repo": "c", "repo_owner": "c", "language": "c",
        "commit_id": "c", "crawl_url": "c", "more": "c",
    })
    .to_string()
}

/// One document's worth of an entity.
struct Source<'a> {
    entity: &'a EntityDocument,
    chunk: &'a Chunk,
    scope: &'a Scope,
    grain: Grain,
    payload: Object,
    kind: EntityKind,
}

impl<'a> Source<'a> {
    fn new(entity: &'a EntityDocument, chunk: &'a Chunk, scope: &'a Scope, grain: Grain) -> Result<Self, String> {
        let Ok(Value::Object(payload)) = json::parse(chunk.payload.as_bytes()) else {
            return Err(format!("chunk {}: the payload is not a JSON object", chunk.index));
        };
        let kind = kind_of(&entity.class, &payload);
        Ok(Self { entity, chunk, scope, grain, payload, kind })
    }

    /// What the platform calls `entity_id`: the chunk's where chunks are documents.
    fn id(&self) -> String {
        match self.grain {
            Grain::Chunk => self.entity.entity.chunk_id(self.chunk.index),
            Grain::Entity => self.entity.entity.0.clone(),
        }
    }

    fn text_of(&self, key: &str) -> Option<String> {
        let text = self.payload.get(key)?.as_py_str()?;
        Some(text.to_string_lossy().into_owned())
    }

    fn metadata(&self, key: &str) -> Option<String> {
        let text = self.payload.get("airweave_system_metadata")?.get(key)?.as_py_str()?;
        Some(text.to_string_lossy().into_owned())
    }

    fn platform_fields(&self, document_type: DocumentType) -> Fields {
        let mut fields = Fields::default();
        // Keys of the payload that have found their field.
        let mut placed =
            vec!["entity_id", "textual_representation", "airweave_system_metadata", "airweave_collection_id"];
        fields.push_text("entity_id", &self.id());
        if let Some(name) = self.text_of("name") {
            fields.push_text("name", &name);
            placed.push("name");
        }
        self.add_breadcrumbs(&mut fields, &mut placed);
        for key in ["created_at", "updated_at"] {
            let time = self.payload.get(key).and_then(Value::as_str).and_then(DateTime::parse);
            if let Some(time) = time {
                fields.push(key, FieldValue::Long(time.epoch_seconds()));
                placed.push(key);
            }
        }
        self.add_metadata(&mut fields);
        for &(key, holds) in document_type.own_fields() {
            let value = match holds {
                OwnField::Text => self.text_of(key).map(|text| FieldValue::text(&text)),
                OwnField::Long => self.payload.get(key).and_then(Value::as_i64).map(FieldValue::Long),
            };
            match value {
                Some(FieldValue::Text(text)) => fields.push_text(key, &text),
                Some(value) => fields.push(key, value),
                None => continue,
            }
            placed.push(key);
        }
        if self.grain == Grain::Chunk {
            self.add_access(&mut fields, &mut placed);
        }
        fields.push_text("textual_representation", &self.chunk.text);
        if let Some(payload) = self.rest(&placed) {
            fields.push_text("payload", &payload);
        }
        if self.grain == Grain::Chunk {
            fields.push("dense_embedding", FieldValue::Dense(self.chunk.dense.clone()));
            if !self.chunk.sparse.indices.is_empty() {
                fields.push("sparse_embedding", FieldValue::Sparse(self.chunk.sparse.clone()));
            }
        }
        fields
    }

    fn add_metadata(&self, fields: &mut Fields) {
        let mut add = |name: &str, value: &str| fields.push_text(&format!("airweave_system_metadata_{name}"), value);
        add("entity_type", &self.entity.class);
        add("sync_id", &self.scope.sync_id.to_string());
        if let Some(job) = self.metadata("sync_job_id") {
            add("sync_job_id", &job);
        }
        add("hash", &self.entity.content_hash);
        add("original_entity_id", &self.entity.entity.0);
        if let Some(source) = self.metadata("source_name") {
            add("source_name", &source);
        }
        add("collection_id", &self.scope.collection_id.to_string());
        if self.grain == Grain::Chunk {
            let index = FieldValue::Long(i64::from(self.chunk.index));
            fields.push("airweave_system_metadata_chunk_index", index);
        }
    }

    /// Breadcrumbs go into their field when they are what they should be, and stay in the payload when they say more.
    fn add_breadcrumbs(&self, fields: &mut Fields, placed: &mut Vec<&str>) {
        const NAMES: [&str; 3] = ["entity_id", "name", "entity_type"];
        let Some(crumbs) = self.payload.get("breadcrumbs").and_then(Value::as_array) else { return };
        let mut structs = Vec::with_capacity(crumbs.len());
        let mut is_complete = true;
        for crumb in crumbs {
            let Some(crumb) = crumb.as_object() else { return };
            let mut known = Vec::with_capacity(NAMES.len());
            for name in NAMES {
                match crumb.get(name) {
                    None | Some(Value::Null) => {}
                    Some(value) => {
                        let Some(text) = value.as_py_str() else { return };
                        known.push((name, super::sanitise::sanitise(&text.to_string_lossy()).into_owned()));
                    }
                }
            }
            is_complete &= crumb.iter().all(|(key, _)| NAMES.iter().any(|name| key == *name));
            structs.push(known);
        }
        if !structs.is_empty() {
            fields.push("breadcrumbs", FieldValue::Structs(structs));
        }
        if is_complete {
            placed.push("breadcrumbs");
        }
    }

    /// Who may see it. An entity without a word about that is public, as on the platform; one with words that cannot be
    /// read is nobody's.
    fn add_access(&self, fields: &mut Fields, placed: &mut Vec<&str>) {
        let (is_public, viewers) = match self.payload.get("access") {
            None | Some(Value::Null) => (true, Vec::new()),
            Some(access) => {
                let is_public = access.get("is_public").and_then(Value::as_bool);
                let viewers = match access.get("viewers") {
                    None | Some(Value::Null) => Some(Vec::new()),
                    Some(viewers) => texts(viewers),
                };
                match (is_public, viewers) {
                    (Some(is_public), Some(viewers)) => {
                        placed.push("access");
                        (is_public, viewers)
                    }
                    _ => (false, Vec::new()),
                }
            }
        };
        fields.push("access_is_public", FieldValue::Bool(is_public));
        fields.push("access_viewers", FieldValue::Texts(viewers));
    }

    /// Everything of the payload that has no field, as JSON.
    fn rest(&self, placed: &[&str]) -> Option<String> {
        let mut writer = Writer::with_capacity(Format::PYTHON_STRICT, self.chunk.payload.len());
        let mut is_empty = true;
        writer.begin_object();
        for (key, value) in &self.payload {
            if !value.is_null() && !placed.iter().any(|name| key == *name) {
                writer.key(key);
                writer.value(value);
                is_empty = false;
            }
        }
        writer.end_object();
        (!is_empty).then(|| writer.finish())
    }
}

impl DerivedValues for Source<'_> {
    fn derived(&self, derived: Derived) -> Option<FieldValue> {
        let text = FieldValue::text;
        Some(match derived {
            Derived::Unspecified => return None,
            Derived::EntityId => text(&self.entity.entity.0),
            Derived::ChunkId => text(&self.id()),
            Derived::ChunkIndex => FieldValue::Long(i64::from(self.chunk.index)),
            Derived::ContentHash => text(&self.entity.content_hash),
            Derived::EntityType => text(&self.entity.class),
            Derived::Kind => {
                let name = DocumentType::of(self.kind).name();
                text(name.strip_suffix("_entity").unwrap_or(name))
            }
            Derived::CollectionId => text(&self.scope.collection_id.to_string()),
            Derived::SyncId => text(&self.scope.sync_id.to_string()),
            Derived::OrganizationId => text(&self.scope.organization_id.to_string()),
            Derived::SourceName => text(&self.metadata("source_name")?),
            Derived::Text => text(&self.chunk.text),
            Derived::Dense => FieldValue::Dense(self.chunk.dense.clone()),
            Derived::Sparse if self.chunk.sparse.indices.is_empty() => return None,
            Derived::Sparse => FieldValue::Sparse(self.chunk.sparse.clone()),
            Derived::Payload => text(&self.chunk.payload),
        })
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::VespaLayout;
    use proto::v1::vespa_layout::{Documents, Ids};
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        let [organization_id, collection_id, sync_id, slot_id] = [1, 2, 3, 4].map(Uuid::from_u128);
        Scope { organization_id, collection_id, sync_id, slot_id }
    }

    fn settings(documents: Documents, ids: Ids) -> VespaSettings {
        let layout = VespaLayout { documents: documents.into(), ids: ids.into(), ..VespaLayout::default() };
        VespaSettings::from_layout(&layout, 2).unwrap()
    }

    fn entity(class: &str, payload: &serde_json::Value) -> EntityDocument {
        let chunk = Chunk {
            index: 0,
            text: "t\u{8}ext".into(),
            payload: payload.to_string(),
            dense: vec![0.5, -0.25],
            sparse: SparseVector { indices: vec![7], values: vec![1.5] },
        };
        EntityDocument {
            entity: EntityRef("e/1".into()),
            class: class.into(),
            content_hash: "ab".repeat(32),
            chunks: vec![chunk],
        }
    }

    fn whole(class: &str, payload: &serde_json::Value) -> EntityDocument {
        let mut entity = entity(class, payload);
        entity.chunks[0].dense.clear();
        entity.chunks[0].sparse = SparseVector::default();
        entity
    }

    fn fed(entity: &EntityDocument, settings: &VespaSettings) -> (String, serde_json::Value) {
        let documents = documents_of(entity, &scope(), settings).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&documents[0].body).unwrap();
        (documents[0].id.to_string(), body["fields"].clone())
    }

    #[test]
    fn a_chunk_of_a_message() {
        let payload = json!({
            "entity_id": "e/1__chunk_0", "name": "na\u{0}me", "created_at": "2024-01-15T10:30:00+02:00",
            "updated_at": "1969-12-31T23:59:58.5Z", "textual_representation": "t\u{8}ext",
            "breadcrumbs": [{"entity_id": "c", "name": "g\u{1f}"}], "channel": {"id": 1, "k\u{1}": "\u{2}"},
            "airweave_system_metadata": {"source_name": "slack", "sync_job_id": "job"},
            "airweave_collection_id": "forged", "nothing": null,
        });
        let (id, fields) = fed(&entity("SlackMessageEntity", &payload), &settings(Documents::Chunk, Ids::Platform));
        assert_eq!(id, "id:airweave:base_entity::SlackMessageEntity_e/1__chunk_0");
        assert_eq!(
            fields,
            json!({
                "entity_id": "e/1__chunk_0", "name": "name", "created_at": 1_705_307_400, "updated_at": -1,
                "breadcrumbs": [{"entity_id": "c", "name": "g"}],
                "airweave_system_metadata_collection_id": "00000000-0000-0000-0000-000000000002",
                "airweave_system_metadata_sync_id": "00000000-0000-0000-0000-000000000003",
                "airweave_system_metadata_entity_type": "SlackMessageEntity",
                "airweave_system_metadata_sync_job_id": "job", "airweave_system_metadata_source_name": "slack",
                "airweave_system_metadata_hash": "ab".repeat(32), "airweave_system_metadata_chunk_index": 0,
                "airweave_system_metadata_original_entity_id": "e/1",
                "access_is_public": true, "access_viewers": [], "textual_representation": "text",
                "payload": r#"{"channel": {"id": 1, "k\u0001": "\u0002"}}"#,
                "dense_embedding": {"values": [0.5, -0.25]},
                "sparse_embedding": {"cells": [{"address": {"token": "7"}, "value": 1.5}]},
            })
        );
    }

    #[test]
    fn a_whole_entity_has_neither_vectors_nor_chunks() {
        let payload = json!({"name": "n", "access": {"is_public": false}});
        let (id, fields) = fed(&whole("X", &payload), &settings(Documents::RawEntity, Ids::Scoped));
        assert_eq!(id, "id:airweave:base_entity::00000000-0000-0000-0000-000000000003_X_e/1");
        assert_eq!((&fields["entity_id"], &fields["textual_representation"]), (&json!("e/1"), &json!("text")));
        for absent in
            ["dense_embedding", "sparse_embedding", "airweave_system_metadata_chunk_index", "access_is_public"]
        {
            assert!(fields.get(absent).is_none(), "{absent}");
        }
        assert_eq!(fields["payload"], r#"{"access": {"is_public": false}}"#, "what has no field is not lost");
    }

    #[rstest]
    #[case("GitHubCodeFileEntity", "code_file_entity", &["url", "size", "mime_type", "repo_name", "commit_id"])]
    #[case("GoogleDriveFileEntity", "file_entity", &["url", "size", "mime_type", "local_path"])]
    #[case("GmailMessageEntity", "email_entity", &["url", "size", "file_type"])]
    #[case("WebEntity", "web_entity", &["crawl_url"])]
    #[case("Unheard", "code_file_entity", &["url", "size", "path_in_repo", "commit_id"])]
    fn kinds_have_their_fields(#[case] class: &str, #[case] document_type: &str, #[case] own: &[&str]) {
        let payload = json!({
            "url": "u", "size": 5, "file_type": "f", "mime_type": "m", "local_path": "l", "repo_name": "r",
            "path_in_repo": "p", "crawl_url": "w", "commit_id": 17,
        });
        let (id, fields) = fed(&entity(class, &payload), &settings(Documents::Chunk, Ids::Platform));
        assert!(id.starts_with(&format!("id:airweave:{document_type}::")), "{id}");
        let rest: serde_json::Value = serde_json::from_str(fields["payload"].as_str().unwrap()).unwrap();
        for key in own {
            // A commit that is no text does not fit its field, and stays with the rest.
            let place = if *key == "commit_id" { &rest } else { &fields };
            assert_eq!(place[key], payload[key], "{key}");
        }
        for (key, value) in payload.as_object().unwrap() {
            assert!(fields.get(key) == Some(value) || rest.get(key) == Some(value), "{key} is lost");
        }
    }

    #[rstest]
    #[case(json!({"access": {"is_public": true, "viewers": ["a\u{0}", "b"]}}), true, json!(["a", "b"]))]
    #[case(json!({"access": {"is_public": false, "viewers": null}}), false, json!([]))]
    #[case(json!({"access": {"viewers": ["a"]}}), false, json!([]))]
    #[case(json!({"access": "all"}), false, json!([]))]
    #[case(json!({"access": null}), true, json!([]))]
    fn access_fails_closed(
        #[case] payload: serde_json::Value,
        #[case] public: bool,
        #[case] viewers: serde_json::Value,
    ) {
        let (_, fields) = fed(&entity("X", &payload), &settings(Documents::Chunk, Ids::Platform));
        assert_eq!((&fields["access_is_public"], &fields["access_viewers"]), (&json!(public), &viewers));
    }

    #[test]
    fn breadcrumbs_that_say_more_also_stay_in_the_payload() {
        let settings = settings(Documents::Chunk, Ids::Platform);
        let more = json!([{"entity_id": "c", "name": "n", "depth": 3}]);
        let (_, fields) = fed(&entity("X", &json!({"breadcrumbs": more})), &settings);
        assert_eq!(fields["breadcrumbs"], json!([{"entity_id": "c", "name": "n"}]));
        assert!(fields["payload"].as_str().unwrap().contains("depth"));
        let (_, fields) = fed(&entity("X", &json!({"breadcrumbs": [{"name": 5}]})), &settings);
        assert!(fields.get("breadcrumbs").is_none() && fields["payload"].as_str().unwrap().contains("breadcrumbs"));
    }

    #[rstest]
    #[case(|e: &mut EntityDocument| e.entity.0 = "a\u{1}".into(), "entity id holds U+0001")]
    #[case(|e: &mut EntityDocument| e.class = "\u{fdd0}".into(), "class holds U+FDD0")]
    #[case(|e: &mut EntityDocument| e.chunks[0].payload = "{secret".into(), "not a JSON object")]
    #[case(|e: &mut EntityDocument| e.chunks[0].payload = "[]".into(), "not a JSON object")]
    #[case(|e: &mut EntityDocument| e.chunks[0].text = "\u{fffd}".repeat(5_001), "binary data")]
    #[case(|e: &mut EntityDocument| e.chunks[0].dense[0] = f32::NAN, "not finite")]
    #[case(|e: &mut EntityDocument| e.entity.0 = "x".repeat(66_000), "too long")]
    fn what_vespa_would_refuse_is_named(#[case] spoil: fn(&mut EntityDocument), #[case] words: &str) {
        let mut entity = entity("X", &json!({}));
        spoil(&mut entity);
        let refused = documents_of(&entity, &scope(), &settings(Documents::Chunk, Ids::Platform)).unwrap_err();
        assert!(refused.contains(words) && !refused.contains("secret"), "{refused}");
    }

    #[test]
    fn entities_as_documents_take_one_chunk_only() {
        let mut entity = whole("X", &json!({}));
        entity.chunks.push(Chunk { index: 1, ..entity.chunks[0].clone() });
        let refused = documents_of(&entity, &scope(), &settings(Documents::RawEntity, Ids::Platform)).unwrap_err();
        assert!(refused.contains("several chunks"), "{refused}");
    }

    #[test]
    fn a_sample_has_every_field_of_its_type() {
        let settings = settings(Documents::Chunk, Ids::Platform);
        for document_type in DocumentType::ALL {
            let sample = sample(document_type.name(), &settings, "check").unwrap();
            let body: serde_json::Value = serde_json::from_slice(&sample.body).unwrap();
            for (name, _) in document_type.own_fields() {
                assert!(body["fields"].get(name).is_some(), "{name}");
            }
            for name in ["breadcrumbs", "payload", "access_viewers", "dense_embedding", "sparse_embedding"] {
                assert!(body["fields"].get(name).is_some(), "{name}");
            }
        }
    }
}
