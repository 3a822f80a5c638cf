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

#[cfg(test)]
mod tests {
    use qdrant_client::qdrant::vectors_output::VectorsOptions;
    use qdrant_client::qdrant::{NamedVectorsOutput, VectorOutput, VectorsOutput, vector_output};
    use uuid::Uuid;

    use super::*;
    use crate::destinations::qdrant::payload::payload;
    use crate::destinations::{Chunk, EntityDocument, Scope, SparseVector};

    fn point(hash: &str, index: u32, vectors: Option<VectorsOptions>) -> RetrievedPoint {
        let scope = Scope {
            organization_id: Uuid::nil(),
            collection_id: Uuid::nil(),
            sync_id: Uuid::nil(),
            slot_id: Uuid::nil(),
        };
        let chunk = Chunk {
            index,
            text: format!("text {index}"),
            payload: "{}".into(),
            dense: Vec::new(),
            sparse: SparseVector::default(),
        };
        let document = EntityDocument {
            entity: EntityRef("e".into()),
            class: "C".into(),
            content_hash: hash.into(),
            chunks: vec![chunk],
        };
        let payload = payload(&scope, &document, &document.chunks[0]).expect("an object");
        let vectors = vectors.map(|vectors| VectorsOutput { vectors_options: Some(vectors) });
        RetrievedPoint { payload, vectors, ..RetrievedPoint::default() }
    }

    fn dense(values: &[f32]) -> VectorOutput {
        VectorOutput { vector: Some(vector_output::Vector::Dense(values.to_vec().into())), ..VectorOutput::default() }
    }

    fn read(points: &[RetrievedPoint], name: &str) -> StoredEntity {
        let mut found = BTreeMap::new();
        for point in points {
            collect(&mut found, point, name).expect("ours");
        }
        in_order(found.into_values().next().expect("one entity"))
    }

    #[test]
    fn chunks_come_in_order_and_hashes_that_disagree_are_no_hash() {
        let agreeing = read(&[point("h", 2, None), point("h", 0, None)], "");
        assert_eq!(agreeing.content_hash, "h");
        let chunks: Vec<_> = agreeing.chunks.iter().map(|chunk| (chunk.index, chunk.text.as_str())).collect();
        assert_eq!(chunks, [(0, "text 0"), (2, "text 2")]);
        let torn = [point("old", 0, None), point("new", 1, None), point("old", 2, None)];
        assert_eq!(read(&torn, "").content_hash, "");
    }

    #[test]
    fn the_dense_vector_is_found_however_it_is_given() {
        let alone = VectorsOptions::Vector(dense(&[1.0, 2.0]));
        let named = |name: &str| {
            VectorsOptions::Vectors(NamedVectorsOutput { vectors: [(name.to_owned(), dense(&[1.0, 2.0]))].into() })
        };
        for (vectors, name, expected) in [
            (Some(alone), "", vec![1.0, 2.0]),
            (Some(named("")), "", vec![1.0, 2.0]),
            (Some(named("text")), "text", vec![1.0, 2.0]),
            (Some(named("text")), "", Vec::new()),
            (None, "", Vec::new()),
        ] {
            assert_eq!(read(&[point("h", 0, vectors)], name).chunks[0].dense, expected);
        }
    }
}
