//! Reading entities back: their documents are found by query and read one by one, as they are stored.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::calls::wire_timeout;
use super::classify;
use super::connections::Request;
use super::document_id::{DocumentId, encode};
use super::locate::Located;
use super::service::Vespa;
use crate::destinations::{EntityRef, StoredChunk, StoredEntity};
use crate::error::Result;

/// Documents that are read side by side.
const READS_IN_FLIGHT: usize = 64;

/// Most that is read of a document: what one put may hold, and what escapes add.
const DOCUMENT_BYTES: usize = 256 << 20;

#[derive(Debug, Deserialize)]
struct Answer {
    id: String,
    #[serde(default)]
    fields: Map<String, Value>,
}

/// What is told of a document.
struct ReadBack {
    entity_id: String,
    content_hash: String,
    chunk: StoredChunk,
}

impl Vespa {
    /// The entities that are there, with their chunks in order.
    pub(super) async fn read_entities(&self, entities: &[EntityRef]) -> Result<Vec<StoredEntity>> {
        let located = self.locate(entities).await?;
        let documents: Vec<Option<ReadBack>> = stream::iter(located)
            .map(|document| self.read_document(document))
            .buffered(READS_IN_FLIGHT)
            .try_collect()
            .await?;
        let mut stored: BTreeMap<String, StoredEntity> = BTreeMap::new();
        for ReadBack { entity_id, content_hash, chunk } in documents.into_iter().flatten() {
            let entity = stored.entry(entity_id.clone()).or_insert_with(|| StoredEntity {
                entity: EntityRef(entity_id),
                content_hash: content_hash.clone(),
                chunks: Vec::new(),
            });
            if entity.content_hash != content_hash {
                entity.content_hash.clear();
            }
            entity.chunks.push(chunk);
        }
        let mut stored: Vec<StoredEntity> = stored.into_values().collect();
        for entity in &mut stored {
            entity.chunks.sort_by_key(|chunk| chunk.index);
        }
        Ok(stored)
    }

    /// A document, unless it is gone since it was found.
    async fn read_document(&self, document: Located) -> Result<Option<ReadBack>> {
        let names = self.settings.shape.names();
        let mut fields = vec![&names.entity_id, &names.content_hash, &names.collection_id, &names.sync_id, &names.text];
        fields.extend(&names.chunk_index);
        fields.extend(&names.dense);
        let fields: Vec<&str> = fields.into_iter().map(String::as_str).collect();
        let Some(fields) = self.get(&document.id, &fields).await? else { return Ok(None) };
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_ours = text(&names.collection_id) == self.scope.collection_id.to_string()
            && text(&names.sync_id) == self.scope.sync_id.to_string()
            && text(&names.entity_id) == document.entity_id;
        if !is_ours {
            // Written over since it was found.
            return Ok(None);
        }
        let index = match &names.chunk_index {
            None => 0,
            Some(name) => fields
                .get(name)
                .and_then(Value::as_u64)
                .and_then(|index| u32::try_from(index).ok())
                .ok_or_else(|| classify::broken("read a document", "a chunk has no index"))?,
        };
        let dense = match names.dense.as_ref().and_then(|name| fields.get(name)) {
            None => Vec::new(),
            Some(tensor) => dense_values(tensor)
                .ok_or_else(|| classify::broken("read a document", "its dense tensor cannot be read"))?,
        };
        let chunk = StoredChunk { index, text: text(&names.text).to_owned(), dense };
        let content_hash = text(&names.content_hash).to_owned();
        Ok(Some(ReadBack { content_hash, chunk, entity_id: document.entity_id }))
    }

    /// Fields of a document; `None` when there is no such document.
    async fn get(&self, id: &DocumentId, fields: &[&str]) -> Result<Option<Map<String, Value>>> {
        let doing = "read a document";
        let timeout = self.client.calls.limits.read_timeout;
        let request = Request {
            method: Method::GET,
            target: format!(
                "{}?cluster={}&fieldSet={}&timeout={}ms",
                id.path(),
                encode(&self.settings.cluster),
                encode(&format!("{}:{}", id.document_type(), fields.join(","))),
                timeout.as_millis()
            ),
            body: None,
            timeout: wire_timeout(timeout),
            answer_bytes: DOCUMENT_BYTES,
        };
        let reply = self.client.calls.call(doing, &request).await?;
        let answer: Option<Answer> = serde_json::from_slice(&reply.body).ok();
        match (reply.status, answer) {
            (200 | 404, Some(answer)) if answer.id != id.as_str() => {
                Err(classify::broken(doing, "its answer names another document"))
            }
            (200, Some(answer)) => Ok(Some(answer.fields)),
            // Only an answer about a document names one.
            (404, Some(_)) => Ok(None),
            _ => Err(classify::unexpected(doing, &reply)),
        }
    }
}

/// The values of an indexed tensor, in the short form or bare.
fn dense_values(tensor: &Value) -> Option<Vec<f32>> {
    let values = tensor.get("values").unwrap_or(tensor).as_array()?;
    #[expect(clippy::cast_possible_truncation, reason = "what is stored has fewer digits than an f32")]
    values.iter().map(|value| value.as_f64().map(|value| value as f32)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tensors_are_read_in_both_forms() {
        assert_eq!(
            dense_values(&json!({"type": "tensor<bfloat16>(x[2])", "values": [0.5, -1]})),
            Some(vec![0.5, -1.0])
        );
        assert_eq!(dense_values(&json!([0.25])), Some(vec![0.25]));
        assert_eq!(dense_values(&json!({"cells": []})), None);
        assert_eq!(dense_values(&json!(["x"])), None);
    }
}
