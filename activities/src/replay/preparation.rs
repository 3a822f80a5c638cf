//! One entity made ready for a slot: everything that needs neither the network nor another entity.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::entity_text::{EntityText, NoText, entity_text};
use crate::chunking::Chunker;
use crate::database::dead_letters::{NewDeadLetter, Stage};
use crate::destinations::{EntityRef, SparseVector};
use crate::error::{ErrorKind, Result};
use crate::raw_store::{ListedObject, entity_file_name};
use crate::sparse;
use crate::text::{Entity, PayloadContext, chunk_payload, chunk_sparse_text, entity_payload};

/// What became of one object before anything was written.
pub(super) enum Object {
    Document(Prepared),
    Textless { entity_id: String, content_hash: String },
    DeadLetter(NewDeadLetter),
    Vanished,
}

/// An entity that only lacks its dense vectors.
pub(super) struct Prepared {
    pub(super) entity: EntityRef,
    pub(super) class: String,
    pub(super) content_hash: String,
    pub(super) chunks: Vec<PreparedChunk>,
}

pub(super) struct PreparedChunk {
    pub(super) text: String,
    pub(super) payload: String,
    pub(super) sparse: SparseVector,
}

/// One object with the version that was read and what was noticed on the way.
pub(super) struct Outcome {
    pub(super) listed: ListedObject,
    pub(super) object: Object,
    pub(super) gaps: Vec<String>,
}

impl Outcome {
    pub(super) fn dead(listed: ListedObject, letter: NewDeadLetter) -> Self {
        Self { listed, object: Object::DeadLetter(letter), gaps: Vec::new() }
    }
}

/// What preparing needs to know of the slot.
pub(super) struct Preparation {
    /// Absent when the destination takes whole texts.
    pub(super) chunker: Option<Arc<Chunker>>,
    pub(super) source_name: Arc<str>,
    pub(super) collection_id: Uuid,
    pub(super) sync_id: Uuid,
}

impl Preparation {
    /// Makes the entity's document, or says why there is none. Bound to the processor.
    ///
    /// # Errors
    ///
    /// `Internal`, as the chunker.
    pub(super) fn prepare(&self, listed: ListedObject, entity: &Entity, blob: Option<&Bytes>) -> Result<Outcome> {
        let EntityText { content_hash, text, language, gap } = entity_text(entity, &self.source_name, blob);
        let mut gaps: Vec<String> = gap.into_iter().collect();
        if !entity.is_known_class() {
            gaps.push(format!("unknown class {}", entity.class()));
        }
        if listed.key != entity_file_name(entity.entity_id()) {
            gaps.push("object whose name is not that of its entity id".to_owned());
        }
        let entity_id = entity.entity_id().to_owned();
        let text = match text {
            Ok(text) => text,
            Err(NoText::Gap(gap)) => {
                gaps.push(gap);
                return Ok(Outcome { listed, object: Object::Textless { entity_id, content_hash }, gaps });
            }
            Err(NoText::Broken(reason)) => {
                let letter = dead_letter(&listed, entity_id, Stage::Text, ErrorKind::RawStoreInvalid, reason);
                return Ok(Outcome { listed, object: Object::DeadLetter(letter), gaps });
            }
        };
        let chunks = match &self.chunker {
            Some(chunker) => {
                let chunks = chunker.chunk(&text, language.as_deref())?;
                if chunks.grammar_missing {
                    gaps.push(format!("no grammar for .{}, cut as prose", language.unwrap_or_default()));
                }
                self.chunks(entity, &content_hash, chunks.texts)
            }
            None => self.whole(entity, &content_hash, text),
        };
        if chunks.is_empty() {
            gaps.push("entity whose text is blank".to_owned());
            return Ok(Outcome { listed, object: Object::Textless { entity_id, content_hash }, gaps });
        }
        let document =
            Prepared { entity: EntityRef(entity_id), class: entity.class().to_owned(), content_hash, chunks };
        Ok(Outcome { listed, object: Object::Document(document), gaps })
    }

    fn chunks(&self, entity: &Entity, content_hash: &str, texts: Vec<String>) -> Vec<PreparedChunk> {
        let chunks = (0_u32..).zip(texts).map(|(index, text)| {
            let payload = chunk_payload(entity, index, &self.context(entity, content_hash, &text));
            let sparse = sparse::document_vector(&chunk_sparse_text(entity, index, &text));
            PreparedChunk { text, payload, sparse }
        });
        chunks.collect()
    }

    /// The whole text as the only chunk, without the keyword vector: the destination makes that itself as well.
    fn whole(&self, entity: &Entity, content_hash: &str, text: String) -> Vec<PreparedChunk> {
        if text.trim().is_empty() {
            return Vec::new();
        }
        let payload = entity_payload(entity, &self.context(entity, content_hash, &text));
        vec![PreparedChunk { text, payload, sparse: SparseVector::default() }]
    }

    fn context<'a>(&'a self, entity: &Entity, content_hash: &'a str, text: &'a str) -> PayloadContext<'a> {
        PayloadContext {
            collection_id: self.collection_id,
            source_name: &self.source_name,
            sync_id: self.sync_id,
            sync_job_id: entity.stored_sync_job_id().and_then(|id| Uuid::try_parse(id).ok()),
            content_hash,
            text,
        }
    }
}

pub(super) fn dead_letter(
    listed: &ListedObject,
    entity_id: String,
    stage: Stage,
    kind: ErrorKind,
    message: String,
) -> NewDeadLetter {
    NewDeadLetter { object_key: listed.key.clone(), entity_id, stage, kind, message, token: listed.token.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunking::ChunkerSettings;
    use crate::json::parse;
    use crate::text::Catalog;

    const SYNC_ID: Uuid = Uuid::from_u128(2);

    fn message(text: &str) -> Entity {
        let fields = serde_json::json!({
            "entity_id": "m", "name": "n", "breadcrumbs": [], "text": text, "type": "message",
            "__entity_class__": "SlackMessageEntity", "__entity_module__": "airweave.platform.entities.slack",
        });
        Entity::from_value(parse(fields.to_string().as_bytes()).unwrap(), Catalog::builtin()).unwrap()
    }

    fn prepare(chunker: Option<Chunker>, entity: &Entity) -> Prepared {
        let preparation = Preparation {
            chunker: chunker.map(Arc::new),
            source_name: "slack".into(),
            collection_id: Uuid::from_u128(1),
            sync_id: SYNC_ID,
        };
        let listed = ListedObject { key: entity_file_name("m"), size: 1, token: "t".to_owned(), modified_ms: 0 };
        match preparation.prepare(listed, entity, None).unwrap().object {
            Object::Document(prepared) => prepared,
            _ => panic!("the message has a text"),
        }
    }

    fn field(payload: &str, pointer: &str) -> serde_json::Value {
        let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
        payload.pointer(pointer).cloned().unwrap_or_default()
    }

    #[test]
    fn a_whole_entity_is_one_chunk_with_the_text_that_would_have_been_cut() {
        let words = "one sentence after another, so that there is something to cut. ".repeat(60);
        let entity = message(&words);
        let whole = prepare(None, &entity);
        let cut = prepare(Some(Chunker::new(ChunkerSettings { max_tokens: 64, overlap_tokens: 0 }).unwrap()), &entity);
        assert!(cut.chunks.len() > 5, "{} chunks", cut.chunks.len());
        assert_eq!((whole.content_hash, whole.class), (cut.content_hash, cut.class));

        let [only] = whole.chunks.as_slice() else { panic!("{} chunks", whole.chunks.len()) };
        assert_eq!(only.sparse, SparseVector::default());
        assert!(only.text.contains(words.trim()), "nothing of it is cut off");
        for chunk in &cut.chunks {
            assert!(only.text.contains(chunk.text.trim()), "{:?} is not in the whole text", chunk.text);
        }
        assert_eq!(field(&only.payload, "/entity_id"), "m");
        assert_eq!(field(&only.payload, "/textual_representation"), only.text);
        assert_eq!(field(&only.payload, "/airweave_system_metadata/original_entity_id"), "m");
        assert_eq!(field(&only.payload, "/airweave_system_metadata/sync_id"), SYNC_ID.to_string());
        assert_eq!(field(&only.payload, "/airweave_system_metadata/chunk_index"), serde_json::Value::Null);
        assert_eq!(field(&cut.chunks[2].payload, "/entity_id"), "m__chunk_2");
        assert_eq!(field(&cut.chunks[2].payload, "/airweave_system_metadata/chunk_index"), 2);
    }

    #[test]
    fn characters_that_some_destinations_cannot_hold_are_left_to_them() {
        let whole = prepare(None, &message("a\0b\u{8}c"));
        assert!(whole.chunks[0].text.contains("a\0b\u{8}c"), "{:?}", whole.chunks[0].text);
    }
}
