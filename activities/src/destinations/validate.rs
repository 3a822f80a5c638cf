//! What every destination demands of a document before anything is sent.
//!
//! A document that fails here is the same for every destination and every retry, so it becomes a [`super::Rejection`]
//! of that entity alone.

use super::{Chunk, EntityDocument, SparseVector};

/// Says in words, without document text, why no destination can take `document`.
///
/// # Errors
/// When the id is empty, there are no chunks, their indices are not 0, 1, 2, …, a dense vector does not have
/// `dimensions` finite values, or a sparse vector is not strictly ascending with one finite value each.
pub fn validate(document: &EntityDocument, dimensions: u32) -> Result<(), String> {
    if document.entity.0.is_empty() {
        return Err("the entity has an empty id".into());
    }
    if document.chunks.is_empty() {
        return Err("the entity has no chunks".into());
    }
    for (position, chunk) in document.chunks.iter().enumerate() {
        if usize::try_from(chunk.index) != Ok(position) {
            return Err(format!("chunk indices have a gap: found {} at position {position}", chunk.index));
        }
        validate_vectors(chunk, dimensions).map_err(|reason| format!("chunk {position}: {reason}"))?;
    }
    Ok(())
}

fn validate_vectors(chunk: &Chunk, dimensions: u32) -> Result<(), String> {
    if u32::try_from(chunk.dense.len()) != Ok(dimensions) {
        return Err(format!("the dense vector has {} values instead of {dimensions}", chunk.dense.len()));
    }
    if let Some(at) = chunk.dense.iter().position(|value| !value.is_finite()) {
        return Err(format!("value {at} of the dense vector is not finite"));
    }
    validate_sparse(&chunk.sparse)
}

/// Says why `sparse` is not a sparse vector.
pub(super) fn validate_sparse(sparse: &SparseVector) -> Result<(), String> {
    if sparse.indices.len() != sparse.values.len() {
        return Err(format!(
            "the sparse vector has {} indices but {} values",
            sparse.indices.len(),
            sparse.values.len()
        ));
    }
    if let Some(at) = sparse.indices.windows(2).position(|pair| pair[0] >= pair[1]) {
        return Err(format!("the sparse indices are not strictly ascending at position {}", at + 1));
    }
    if let Some(at) = sparse.values.iter().position(|value| !value.is_finite()) {
        return Err(format!("value {at} of the sparse vector is not finite"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::destinations::EntityRef;

    fn document() -> EntityDocument {
        let chunk = |index| Chunk {
            index,
            text: "text".into(),
            payload: "{}".into(),
            dense: vec![0.5, -0.5],
            sparse: SparseVector { indices: vec![1, 7], values: vec![0.1, 0.2] },
        };
        EntityDocument {
            entity: EntityRef("id".into()),
            class: "WebEntity".into(),
            content_hash: "0".repeat(64),
            chunks: vec![chunk(0), chunk(1)],
        }
    }

    #[test]
    fn a_sound_document_passes() {
        assert_eq!(validate(&document(), 2), Ok(()));
    }

    #[rstest]
    #[case::empty_id(|d: &mut EntityDocument| d.entity.0.clear(), "empty id")]
    #[case::no_chunks(|d: &mut EntityDocument| d.chunks.clear(), "no chunks")]
    #[case::gap(|d: &mut EntityDocument| d.chunks[1].index = 2, "gap")]
    #[case::repeated_index(|d: &mut EntityDocument| d.chunks[1].index = 0, "gap")]
    #[case::short_dense(|d: &mut EntityDocument| { d.chunks[1].dense.pop(); }, "chunk 1: the dense vector has 1 values")]
    #[case::nan(|d: &mut EntityDocument| d.chunks[0].dense[1] = f32::NAN, "value 1 of the dense vector")]
    #[case::infinite(|d: &mut EntityDocument| d.chunks[0].dense[0] = f32::INFINITY, "value 0 of the dense vector")]
    #[case::lonely_index(|d: &mut EntityDocument| { d.chunks[0].sparse.values.pop(); }, "2 indices but 1 values")]
    #[case::repeated_token(|d: &mut EntityDocument| d.chunks[0].sparse.indices[1] = 1, "not strictly ascending")]
    #[case::descending(|d: &mut EntityDocument| d.chunks[0].sparse.indices[0] = 9, "not strictly ascending")]
    #[case::sparse_nan(|d: &mut EntityDocument| d.chunks[0].sparse.values[0] = f32::NAN, "of the sparse vector is not")]
    fn an_unsound_document_is_named(#[case] spoil: fn(&mut EntityDocument), #[case] reason: &str) {
        let mut document = document();
        spoil(&mut document);
        let refused = validate(&document, 2).expect_err("it is unsound");
        assert!(refused.contains(reason), "{refused}");
    }
}
