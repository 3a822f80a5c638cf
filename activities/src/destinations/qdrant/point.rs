//! Documents as points: one per chunk, with the id the platform derives.

use qdrant_client::qdrant::{NamedVectors, PointId, PointStruct, SparseVector, Vector};
use uuid::Uuid;

use super::config::{Distance, QdrantSettings};
use super::payload::payload;
use crate::destinations::{EntityDocument, EntityRef, Scope, validate};

/// What a point costs on the wire beside payload, text and vectors, roughly.
const POINT_BYTES: usize = 512;

/// A point ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// The entity, by its place in the batch.
    pub(super) entity: usize,
    /// Position of the chunk.
    pub(super) index: u32,
    /// Its size on the wire, roughly.
    pub(super) bytes: usize,
    pub(super) wire: PointStruct,
}

/// The point of a chunk, as Qdrant takes it.
pub(super) fn point_id(entity: &EntityRef, sync_id: Uuid, index: u32) -> PointId {
    PointId::from(entity.point_id(sync_id, index).to_string())
}

/// The points of the document that has the place `entity` in its batch.
///
/// # Errors
/// Says in words, without document text, why Qdrant can never take it, or would take it and then answer wrongly: it
/// stores vectors that are not finite, and gives them back first in every search.
pub(super) fn points(
    document: &EntityDocument,
    entity: usize,
    scope: &Scope,
    settings: &QdrantSettings,
) -> Result<Vec<Point>, String> {
    validate(document, settings.dimensions)?;
    let point = |chunk: &crate::destinations::Chunk| {
        if settings.distance == Distance::Cosine {
            check_direction(&chunk.dense)?;
        }
        let dense = Vector::from(chunk.dense.as_slice());
        let mut vectors = NamedVectors::default().add_vector(settings.dense.as_str(), dense);
        if !chunk.sparse.indices.is_empty() {
            let sparse = SparseVector { indices: chunk.sparse.indices.clone(), values: chunk.sparse.values.clone() };
            vectors = vectors.add_vector(settings.sparse.as_str(), Vector::from(sparse));
        }
        let id = point_id(&document.entity, scope.sync_id, chunk.index);
        let payload = payload(scope, document, chunk)?;
        let bytes = POINT_BYTES
            + chunk.payload.len()
            + chunk.text.len()
            + size_of_val(chunk.dense.as_slice())
            + 2 * size_of_val(chunk.sparse.values.as_slice());
        let wire = PointStruct { id: Some(id), payload, vectors: Some(vectors.into()) };
        Ok(Point { entity, index: chunk.index, bytes, wire })
    };
    document
        .chunks
        .iter()
        .map(|chunk| point(chunk).map_err(|reason: String| format!("chunk {}: {reason}", chunk.index)))
        .collect()
}

/// Says why a vector cannot be brought to length one.
pub(super) fn check_direction(dense: &[f32]) -> Result<(), String> {
    let squared: f32 = dense.iter().map(|value| value * value).sum();
    if squared == 0.0 {
        return Err("the dense vector is zero, so it has no direction to compare".to_owned());
    }
    if !squared.is_finite() {
        return Err("the dense vector is too long for its direction to be computed".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::v1::QdrantLayout;
    use qdrant_client::qdrant::point_id::PointIdOptions;
    use qdrant_client::qdrant::vector::Vector as Kind;
    use qdrant_client::qdrant::vectors::VectorsOptions;

    use super::*;
    use crate::destinations::{self, Chunk};

    fn settings(dense_vector: &str, distance: i32) -> QdrantSettings {
        let layout = QdrantLayout { dense_vector: dense_vector.into(), distance, ..QdrantLayout::default() };
        QdrantSettings::from_layout(&layout, 2).expect("valid")
    }

    fn scope() -> Scope {
        let [organization_id, collection_id, slot_id] = [1, 2, 4].map(Uuid::from_u128);
        let sync_id = Uuid::parse_str("9f1c1c53-4a58-4d0f-a5b5-1d4a1f5e0f10").expect("a UUID");
        Scope { organization_id, collection_id, sync_id, slot_id }
    }

    fn document() -> EntityDocument {
        let chunk = |index, sparse: &[u32]| Chunk {
            index,
            text: "text".into(),
            payload: "{}".into(),
            dense: vec![0.25, -0.5],
            sparse: destinations::SparseVector { indices: sparse.to_vec(), values: vec![1.5; sparse.len()] },
        };
        EntityDocument {
            entity: EntityRef("msg-1".into()),
            class: "C".into(),
            content_hash: "h".into(),
            chunks: vec![chunk(0, &[3, 9]), chunk(1, &[])],
        }
    }

    fn vectors(point: &Point) -> Vec<(&str, &Kind)> {
        let Some(VectorsOptions::Vectors(named)) =
            point.wire.vectors.as_ref().and_then(|it| it.vectors_options.as_ref())
        else {
            panic!("named vectors");
        };
        let mut vectors: Vec<_> =
            named.vectors.iter().map(|(name, it)| (name.as_str(), it.vector.as_ref().expect("set"))).collect();
        vectors.sort_by_key(|(name, _)| *name);
        vectors
    }

    #[test]
    fn a_chunk_is_a_point_as_the_platform_writes_it() {
        let points = points(&document(), 5, &scope(), &settings("", 0)).expect("sound");
        let id = |point: &Point| match point.wire.id.clone().and_then(|id| id.point_id_options) {
            Some(PointIdOptions::Uuid(id)) => id,
            other => panic!("a UUID, not {other:?}"),
        };
        // uuid.uuid5(uuid.UUID("9f1c1c53-4a58-4d0f-a5b5-1d4a1f5e0f10"), "msg-1__chunk_0") in Python 3.
        assert_eq!(id(&points[0]), "30f069e6-dfc5-5734-b1db-a3e45c9ef276");
        assert_eq!(id(&points[1]), "74792fbd-d8e9-566c-96dd-77195602c5de");
        assert_eq!(points.iter().map(|point| (point.entity, point.index)).collect::<Vec<_>>(), [(5, 0), (5, 1)]);
        let sparse = SparseVector { indices: vec![3, 9], values: vec![1.5, 1.5] };
        let dense = Kind::Dense(vec![0.25, -0.5].into());
        assert_eq!(vectors(&points[0]), [("", &dense), ("bm25", &Kind::Sparse(sparse))]);
        assert_eq!(vectors(&points[1]), [("", &dense)], "an empty sparse vector is left out");
        let named = super::points(&document(), 0, &scope(), &settings("text", 0)).expect("sound");
        assert_eq!(vectors(&named[1]), [("text", &dense)]);
    }

    #[test]
    fn what_cosine_cannot_compare_is_refused() {
        for (dense, words) in [(vec![0.0, -0.0], "zero"), (vec![1e20, 0.0], "too long")] {
            let mut document = document();
            document.chunks[1].dense = dense;
            let reason = points(&document, 0, &scope(), &settings("", 0)).expect_err("no direction");
            assert!(reason.starts_with("chunk 1: ") && reason.contains(words), "{reason}");
            points(&document, 0, &scope(), &settings("", 2)).expect("Euclid takes any finite vector");
        }
    }

    #[test]
    fn what_no_destination_takes_is_refused() {
        let mut document = document();
        document.chunks[0].dense[1] = f32::NAN;
        assert!(points(&document, 0, &scope(), &settings("", 3)).is_err());
        document.chunks[0].dense[1] = 1.0;
        document.chunks[0].payload = "[]".into();
        let reason = points(&document, 0, &scope(), &settings("", 3)).expect_err("no object");
        assert_eq!(reason, "chunk 0: its payload is no JSON object");
    }
}
