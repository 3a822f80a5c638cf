//! What is written: documents that follow from a few words, so that each can be made again for comparison.

use activities::destinations::{Chunk, EntityDocument, EntityRef, Scope, SparseVector};
use uuid::Uuid;

use super::DIMENSIONS;

/// A scope nobody else has.
pub(crate) fn scope() -> Scope {
    let [organization_id, collection_id, sync_id, slot_id] = std::array::from_fn(|_| Uuid::new_v4());
    Scope { organization_id, collection_id, sync_id, slot_id }
}

/// An entity whose content follows from its id, its version and its number of chunks.
pub(crate) fn document(id: &str, version: u32, chunks: u32) -> EntityDocument {
    let chunk = |index: u32| Chunk {
        index,
        text: format!("text of {id}, version {version}, chunk {index}"),
        payload: serde_json::json!({ "version": version, "chunk": index, "hostile": "\0 \u{fffd} ' \\ %" }).to_string(),
        dense: dense_for(&format!("{id}/{version}/{index}")),
        sparse: SparseVector { indices: vec![3, 70 + index, u32::MAX / 2 + 1], values: vec![0.25, 1.5, 0.75] },
    };
    EntityDocument {
        entity: EntityRef(id.to_owned()),
        class: "ConformanceEntity".into(),
        content_hash: format!("{version:064x}"),
        chunks: (0..chunks).map(chunk).collect(),
    }
}

/// A vector that follows from `seed`: values in ±1, none of them zero.
pub(crate) fn dense_for(seed: &str) -> Vec<f32> {
    let bytes = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes()).into_bytes();
    bytes.iter().take(DIMENSIONS as usize).map(|byte| (f32::from(*byte) - 127.5) / 127.5).collect()
}

pub(crate) fn axis(at: usize) -> Vec<f32> {
    let mut dense = vec![0.0; DIMENSIONS as usize];
    dense[at] = 1.0;
    dense
}

/// An entity with one chunk with the given vectors.
pub(crate) fn placed(id: &str, dense: Vec<f32>, indices: &[u32]) -> EntityDocument {
    let mut document = document(id, 1, 1);
    document.chunks[0].dense = dense;
    document.chunks[0].sparse = SparseVector { indices: indices.to_vec(), values: vec![1.0; indices.len()] };
    document
}

pub(crate) fn refs(ids: &[&str]) -> Vec<EntityRef> {
    ids.iter().map(|id| EntityRef((*id).to_owned())).collect()
}
