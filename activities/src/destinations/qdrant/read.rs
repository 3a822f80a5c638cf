//! Reading entities back, with their dense vectors, and counting points.

use std::collections::BTreeMap;

use qdrant_client::qdrant::RetrievedPoint;
use qdrant_client::qdrant::vector_output::Vector;

use super::filter::{listing, of_entities, of_scope};
use super::payload::Stored;
use super::schema::{METADATA, TEXT};
use super::service::Qdrant;
use crate::destinations::{EntityRef, StoredChunk, StoredEntity};
use crate::error::Result;

/// Entities of one listing.
const ENTITIES: usize = 128;

impl Qdrant {
    /// Reads entities back, each once, in byte order of the id.
    pub(super) async fn read_entities(&self, entities: &[EntityRef]) -> Result<Vec<StoredEntity>> {
        let mut ids: Vec<&str> = entities.iter().map(|entity| entity.0.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut found = BTreeMap::new();
        for ids in ids.chunks(ENTITIES) {
            let filter = of_entities(&self.scope, ids.iter().copied());
            let mut request = listing(self.settings.collection(), filter, &[TEXT, METADATA]);
            request.with_vectors = Some(vec![self.settings.dense.as_str()].into());
            for point in self.wire.scroll_all(request).await? {
                collect(&mut found, &point, &self.settings.dense)?;
            }
        }
        Ok(found.into_values().map(in_order).collect())
    }

    /// Points of the scope, exactly. Points that the server holds back until they are indexed are not among them.
    pub(super) async fn count_points(&self) -> Result<u64> {
        self.wire.count(self.settings.collection(), of_scope(&self.scope)).await
    }
}

/// Adds a point to the entity it belongs to.
fn collect(found: &mut BTreeMap<String, StoredEntity>, point: &RetrievedPoint, dense: &str) -> Result<()> {
    let stored = Stored::new(point.id.as_ref(), &point.payload);
    let (id, hash) = (stored.entity()?, stored.hash().unwrap_or_default());
    let dense = match point.vectors.as_ref().and_then(|vectors| vectors.get_vector_by_name(dense)) {
        Some(Vector::Dense(vector)) => vector.data,
        Some(Vector::Sparse(_) | Vector::MultiDense(_)) | None => Vec::new(),
    };
    let chunk = StoredChunk { index: stored.index()?, text: stored.text()?.to_owned(), dense };
    let entity = found.entry(id.to_owned()).or_insert_with(|| StoredEntity {
        entity: EntityRef(id.to_owned()),
        content_hash: hash.to_owned(),
        chunks: Vec::new(),
    });
    if entity.content_hash != hash {
        entity.content_hash.clear();
    }
    entity.chunks.push(chunk);
    Ok(())
}

fn in_order(mut entity: StoredEntity) -> StoredEntity {
    entity.chunks.sort_by_key(|chunk| chunk.index);
    entity
}
