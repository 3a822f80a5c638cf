//! What is asked of a slot after writing, through every method that reads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use activities::destinations::{
    DenseFidelity, Destination, EntityDocument, EntityRef, Hit, Query, Scope, SearchMode, SparseVector, UpsertOutcome,
};
use activities::error::{ErrorKind, Result};
use futures::TryStreamExt;

use super::World;

pub(crate) async fn ready(world: &dyn World, scope: &Scope) -> Arc<dyn Destination> {
    let slot = world.open(scope);
    slot.prepare().await.expect("an empty place can be prepared");
    slot
}

/// Writes documents that must all be accepted, and looks at the outcome.
pub(crate) async fn store(slot: &dyn Destination, documents: &[EntityDocument]) {
    let UpsertOutcome { mut accepted, rejected } = slot.upsert(documents).await.expect("upsert");
    assert_eq!(rejected, [], "nothing is wrong with these documents");
    accepted.sort();
    let expected: BTreeMap<EntityRef, u32> =
        documents.iter().map(|d| (d.entity.clone(), d.chunks.len() as u32)).collect();
    assert_eq!(accepted, expected.into_iter().collect::<Vec<_>>(), "each entity is named once");
}

pub(crate) async fn scanned(slot: &dyn Destination) -> Vec<(EntityRef, u32)> {
    slot.scan().await.expect("scan").try_collect().await.expect("every page of the scan")
}

/// Asserts that the slot holds exactly `documents`, seen through every reading method.
pub(crate) async fn assert_holds(world: &dyn World, slot: &dyn Destination, documents: &[EntityDocument]) {
    let expected: BTreeMap<EntityRef, &EntityDocument> = documents.iter().map(|d| (d.entity.clone(), d)).collect();
    let points: Vec<(EntityRef, u32)> = expected.iter().map(|(id, d)| (id.clone(), d.chunks.len() as u32)).collect();
    assert_eq!(scanned(slot).await, points, "scan: exactly these, in byte order");
    let total: u64 = points.iter().map(|(_, points)| u64::from(*points)).sum();
    assert_eq!(slot.count().await.expect("count"), total, "count is exact");

    let ids: Vec<EntityRef> = expected.keys().cloned().collect();
    let mut stored = slot.read(&ids).await.expect("read");
    stored.sort_by(|left, right| left.entity.cmp(&right.entity));
    assert_eq!(stored.iter().map(|entity| entity.entity.clone()).collect::<Vec<_>>(), ids, "read: each once");
    for entity in &stored {
        let document = expected[&entity.entity];
        assert_eq!(entity.content_hash, document.content_hash, "hash of {:?}", entity.entity);
        let texts: Vec<(u32, Cow<'_, str>)> =
            entity.chunks.iter().map(|chunk| (chunk.index, Cow::Borrowed(chunk.text.as_str()))).collect();
        let wanted: Vec<(u32, Cow<'_, str>)> =
            document.chunks.iter().map(|chunk| (chunk.index, slot.stored_text(&chunk.text))).collect();
        assert_eq!(texts, wanted, "chunks of {:?}", entity.entity);
        for (chunk, wanted) in entity.chunks.iter().zip(&document.chunks) {
            assert_eq!(chunk.dense.len(), wanted.dense.len());
            for (value, wanted) in chunk.dense.iter().zip(&as_held(slot, &wanted.dense)) {
                let error = (value - wanted).abs();
                assert!(error <= wanted.abs() * world.precision(), "{value} was written as {wanted}");
            }
        }
    }
}

/// A dense vector as the slot says that it holds it, apart from rounding.
fn as_held(slot: &dyn Destination, dense: &[f32]) -> Vec<f32> {
    if slot.dense_fidelity() != DenseFidelity::Direction {
        return dense.to_vec();
    }
    let length = dense.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    dense.iter().map(|value| (f64::from(*value) / length) as f32).collect()
}

pub(crate) async fn assert_holds_only(slot: &dyn Destination, round: &str, documents: &[EntityDocument]) {
    let expected: Vec<(EntityRef, u32)> = documents.iter().map(|d| (d.entity.clone(), d.chunks.len() as u32)).collect();
    assert_eq!(scanned(slot).await, expected, "{round}");
}

pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("this must fail").kind()
}

pub(crate) async fn found(
    slot: &dyn Destination,
    mode: SearchMode,
    dense: Vec<f32>,
    tokens: &[u32],
    limit: u32,
) -> Vec<Hit> {
    let sparse = SparseVector { indices: tokens.to_vec(), values: vec![1.0; tokens.len()] };
    let hits = slot.search(&Query { text: String::new(), dense, sparse, mode, limit }).await.expect("search");
    assert!(hits.len() <= limit as usize, "no more than asked for");
    assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score), "best first: {hits:?}");
    hits
}

pub(crate) fn names(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.entity.0.as_str()).collect()
}
