//! The one suite every destination passes: what [`Destination`] promises, as observed from outside.
//!
//! A destination implements [`World`], which opens slots in some server, and runs every property with
//! [`conformance_tests!`], a test each. Properties that only one destination has are tested in its own folder.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use uuid::Uuid;

use super::{
    Chunk, Destination, EntityDocument, EntityRef, Hit, Query, Scope, SearchMode, SparseVector, UpsertOutcome,
};
use crate::error::{ErrorKind, Result};

/// Length of every dense vector, unless a property says otherwise.
pub(super) const DIMENSIONS: u32 = 8;

/// A place for slots, empty at first, that belongs to one test.
#[async_trait]
pub(super) trait World: Send + Sync {
    /// A slot whose dense vectors have `dimensions` values.
    fn open_sized(&self, scope: &Scope, dimensions: u32) -> Arc<dyn Destination>;

    /// A slot, reached with credentials that the server refuses.
    fn open_denied(&self, scope: &Scope) -> Arc<dyn Destination>;

    /// A slot on a server that is not there. May not take long to notice.
    fn open_away(&self, scope: &Scope) -> Arc<dyn Destination>;

    /// Relative error of a dense value that was written and read back.
    fn precision(&self) -> f32;

    /// Everything the server has, in words that change when anything is added; to notice what was left behind.
    async fn inventory(&self) -> Vec<String>;

    /// Removes the place. Not reached when the test fails, so that one can look at it.
    async fn close(self: Box<Self>);

    /// A slot as most properties use it.
    fn open(&self, scope: &Scope) -> Arc<dyn Destination> {
        self.open_sized(scope, DIMENSIONS)
    }
}

/// Makes one test per property, in a module: `conformance_tests!(halfvec, open_world(…).await)`.
macro_rules! conformance_tests {
    ($module:ident, $world:expr) => {
        conformance_tests!(@ $module, $world,
            upsert_is_idempotent,
            an_update_with_fewer_chunks_leaves_exactly_those,
            the_last_version_in_a_batch_wins,
            delete_and_trim_remove_what_they_say,
            scan_is_everything_in_byte_order,
            an_empty_slot_is_empty_and_not_an_error,
            read_gives_back_what_was_written,
            hostile_ids_round_trip,
            hostile_texts_round_trip,
            a_bad_entity_is_rejected_alone,
            a_rejected_update_leaves_the_old_version,
            scopes_do_not_meet,
            random_operations_match_a_model,
            clear_is_idempotent_and_prepare_starts_over,
            a_foreign_slot_is_never_cleared,
            prepare_twice_is_fine,
            prepare_refuses_other_dimensions,
            concurrent_prepares_agree,
            finish_twice_is_fine_and_search_works_before_and_after,
            searches_find_the_keyword_and_the_neighbour,
            rare_words_weigh_more,
            an_unfit_query_is_invalid_input,
            concurrent_writers_of_the_same_entities_converge,
            check_leaves_nothing_behind,
            refused_credentials_are_denied,
            a_server_that_is_away_is_unavailable,
        );
    };
    (@ $module:ident, $world:expr, $($property:ident,)+) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $property() {
                    let world: Box<dyn $crate::destinations::conformance::World> = Box::new($world);
                    $crate::destinations::conformance::$property(world.as_ref()).await;
                    world.close().await;
                }
            )+
        }
    };
}
pub(super) use conformance_tests;

// ---------------------------------------------------------------------------------------------------- what is written

/// A scope nobody else has.
pub(super) fn scope() -> Scope {
    let [organization_id, collection_id, sync_id, slot_id] = std::array::from_fn(|_| Uuid::new_v4());
    Scope { organization_id, collection_id, sync_id, slot_id }
}

/// An entity whose content follows from its id, its version and its number of chunks.
pub(super) fn document(id: &str, version: u32, chunks: u32) -> EntityDocument {
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
fn dense_for(seed: &str) -> Vec<f32> {
    let bytes = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes()).into_bytes();
    bytes.iter().take(DIMENSIONS as usize).map(|byte| (f32::from(*byte) - 127.5) / 127.5).collect()
}

fn axis(at: usize) -> Vec<f32> {
    let mut dense = vec![0.0; DIMENSIONS as usize];
    dense[at] = 1.0;
    dense
}

/// An entity with one chunk with the given vectors.
fn placed(id: &str, dense: Vec<f32>, indices: &[u32]) -> EntityDocument {
    let mut document = document(id, 1, 1);
    document.chunks[0].dense = dense;
    document.chunks[0].sparse = SparseVector { indices: indices.to_vec(), values: vec![1.0; indices.len()] };
    document
}

fn refs(ids: &[&str]) -> Vec<EntityRef> {
    ids.iter().map(|id| EntityRef((*id).to_owned())).collect()
}

// ------------------------------------------------------------------------------------------------------ what is asked

async fn ready(world: &dyn World, scope: &Scope) -> Arc<dyn Destination> {
    let slot = world.open(scope);
    slot.prepare().await.expect("an empty place can be prepared");
    slot
}

/// Writes documents that must all be accepted, and looks at the outcome.
async fn store(slot: &dyn Destination, documents: &[EntityDocument]) {
    let UpsertOutcome { mut accepted, rejected } = slot.upsert(documents).await.expect("upsert");
    assert_eq!(rejected, [], "nothing is wrong with these documents");
    accepted.sort();
    let expected: BTreeMap<EntityRef, u32> =
        documents.iter().map(|d| (d.entity.clone(), d.chunks.len() as u32)).collect();
    assert_eq!(accepted, expected.into_iter().collect::<Vec<_>>(), "each entity is named once");
}

async fn scanned(slot: &dyn Destination) -> Vec<(EntityRef, u32)> {
    slot.scan().await.expect("scan").try_collect().await.expect("every page of the scan")
}

/// Asserts that the slot holds exactly `documents`, seen through every reading method.
async fn assert_holds(world: &dyn World, slot: &dyn Destination, documents: &[EntityDocument]) {
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
        let texts: Vec<(u32, &str)> = entity.chunks.iter().map(|chunk| (chunk.index, chunk.text.as_str())).collect();
        let wanted: Vec<(u32, &str)> = document.chunks.iter().map(|chunk| (chunk.index, chunk.text.as_str())).collect();
        assert_eq!(texts, wanted, "chunks of {:?}", entity.entity);
        for (chunk, wanted) in entity.chunks.iter().zip(&document.chunks) {
            assert_eq!(chunk.dense.len(), wanted.dense.len());
            for (value, wanted) in chunk.dense.iter().zip(&wanted.dense) {
                let error = (value - wanted).abs();
                assert!(error <= wanted.abs() * world.precision(), "{value} was written as {wanted}");
            }
        }
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("this must fail").kind()
}

async fn found(slot: &dyn Destination, mode: SearchMode, dense: Vec<f32>, tokens: &[u32], limit: u32) -> Vec<Hit> {
    let sparse = SparseVector { indices: tokens.to_vec(), values: vec![1.0; tokens.len()] };
    let hits = slot.search(&Query { dense, sparse, mode, limit }).await.expect("search");
    assert!(hits.len() <= limit as usize, "no more than asked for");
    assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score), "best first: {hits:?}");
    hits
}

fn names(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.entity.0.as_str()).collect()
}

// --------------------------------------------------------------------------------------------------------- properties

pub(super) async fn upsert_is_idempotent(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let documents: Vec<_> = (0..40).map(|n| document(&format!("entity {n}"), 1, 1 + n % 4)).collect();
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(super) async fn an_update_with_fewer_chunks_leaves_exactly_those(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    store(slot.as_ref(), &[document("shrinks", 1, 7), document("grows", 1, 1), document("stays", 1, 3)]).await;
    let documents = [document("shrinks", 2, 2), document("grows", 2, 300), document("stays", 1, 3)];
    store(slot.as_ref(), &documents[..2]).await;
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(super) async fn the_last_version_in_a_batch_wins(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let batch = [document("twice", 1, 5), document("once", 1, 1), document("twice", 2, 2)];
    store(slot.as_ref(), &batch).await;
    assert_holds(world, slot.as_ref(), &batch[1..]).await;
}

pub(super) async fn delete_and_trim_remove_what_they_say(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let documents: Vec<_> = ["a", "b", "c", "d"].iter().map(|id| document(id, 1, 5)).collect();
    store(slot.as_ref(), &documents).await;
    assert_eq!(slot.delete(&refs(&["b", "absent", "d", "b"])).await.expect("delete"), 10);
    assert_eq!(slot.delete(&refs(&["b", "d"])).await.expect("delete again"), 0);
    assert_eq!(slot.delete(&[]).await.expect("delete nothing"), 0);
    assert_eq!(slot.trim(&EntityRef("a".into()), 2).await.expect("trim"), 3);
    assert_eq!(slot.trim(&EntityRef("a".into()), 2).await.expect("trim again"), 0);
    assert_eq!(slot.trim(&EntityRef("c".into()), u32::MAX).await.expect("trim nothing"), 0);
    let mut trimmed = documents[0].clone();
    trimmed.chunks.truncate(2);
    assert_holds(world, slot.as_ref(), &[trimmed, documents[2].clone()]).await;
    assert_eq!(slot.trim(&EntityRef("c".into()), 0).await.expect("trim all"), 5);
    assert_eq!(slot.count().await.expect("count"), 2);
}

pub(super) async fn scan_is_everything_in_byte_order(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    // Upper case, digits, accents and non-BMP letters: orders other than by bytes put these elsewhere. More entities
    // than any page a destination may read at once would be slow, so most destinations see a few pages at most.
    let letters = ["a", "B", "é", "Z", "_", "~", "ß", "\u{10ffff}", "\u{e000}", "-"];
    let documents: Vec<_> = (0..6_000_u32)
        .map(|n| {
            document(
                &format!("{}{}", letters[n as usize % letters.len()], n * 7_919 % 6_000),
                1,
                1 + u32::from(n % 500 == 0),
            )
        })
        .collect();
    for batch in documents.chunks(1_000) {
        store(slot.as_ref(), batch).await;
    }
    let mut expected: Vec<(EntityRef, u32)> =
        documents.iter().map(|d| (d.entity.clone(), d.chunks.len() as u32)).collect();
    expected.sort();
    assert_eq!(expected.len(), 6_000, "ids are unique");
    assert!(scanned(slot.as_ref()).await == expected, "scan: exactly what was written, in byte order");
    assert_eq!(slot.count().await.expect("count"), 6_012);
}

pub(super) async fn an_empty_slot_is_empty_and_not_an_error(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    assert_holds(world, slot.as_ref(), &[]).await;
    assert_eq!(slot.upsert(&[]).await.expect("upsert nothing"), UpsertOutcome::default());
    assert_eq!(slot.read(&refs(&["absent"])).await.expect("read"), []);
    for mode in [SearchMode::Dense, SearchMode::Sparse, SearchMode::Hybrid] {
        assert_eq!(found(slot.as_ref(), mode, axis(0), &[1], 5).await, []);
    }
}

pub(super) async fn read_gives_back_what_was_written(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let mut bare = document("no sparse", 3, 2);
    bare.chunks[0].sparse = SparseVector::default();
    let mut extreme = document("extreme", 4, 1);
    extreme.chunks[0].dense = vec![0.0, -0.0, 1.0, -1.0, 1e-3, 123.25, -60_000.0, 0.333_333_34];
    let mut empty_text = document("no text", 5, 1);
    empty_text.chunks[0].text = String::new();
    let documents = [document("plain", 1, 3), bare, extreme, empty_text];
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
    let stored = slot.read(&refs(&["plain", "absent", "plain"])).await.expect("read");
    assert_eq!(stored.len(), 1, "asked for twice, answered once; absent is absent");
}

pub(super) async fn hostile_ids_round_trip(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let long = "x".repeat(1_000);
    let long_unicode = "\u{1f980}漢é".repeat(334);
    let (twin_a, twin_b) = (format!("{long}a"), format!("{long}b"));
    let ids = [
        "plain",
        "Plain",
        "it's",
        "\"quoted\"",
        "new\nline",
        "tab\tcr\r",
        "100%",
        "under_score",
        "back\\slash",
        "\\'",
        "$1",
        "{a,b}",
        "NULL",
        "a__chunk_1",
        "a",
        "é",
        "e\u{301}",
        "日本語",
        "\u{1f980}",
        "\u{202e}rtl",
        " ",
        " a ",
        "a/b?c=d&e#f",
        "<id>",
        "'; DROP TABLE x; --",
        "\u{1}\u{7f}\u{fffd}",
        &long,
        &long_unicode,
        &twin_a,
        &twin_b,
    ];
    let documents: Vec<_> = ids.iter().map(|id| document(id, 1, 2)).collect();
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
    // An id that matches as a pattern, by case or by prefix must not take its neighbours along.
    for (position, id) in ids.iter().enumerate() {
        assert_eq!(slot.trim(&EntityRef((*id).into()), 1).await.expect("trim"), 1, "{id:?}");
        assert_eq!(slot.delete(&refs(&[id])).await.expect("delete"), 1, "{id:?}");
        assert_eq!(slot.count().await.expect("count"), 2 * (ids.len() - position - 1) as u64, "after {id:?}");
    }
}

pub(super) async fn hostile_texts_round_trip(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let texts = [
        "",
        " ",
        "\n\r\t",
        "'; --",
        "\\N",
        "\\x41",
        "{\"a\":[1]}",
        "\u{1f980} é e\u{301}",
        "\u{1}\u{1b}\u{7f}\u{85}\u{2028}",
    ];
    let documents: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| {
            let mut document = document(&format!("text {n}"), 1, 1);
            document.chunks[0].text = (*text).to_owned();
            document.chunks[0].payload = r#"{"z":"\u0000","a":"\ud83e\udd80","n":1e400,"z":2}"#.into();
            document
        })
        .collect();
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(super) async fn a_bad_entity_is_rejected_alone(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let spoilers: [fn(&mut EntityDocument); 6] = [
        |document| document.chunks[1].dense[3] = f32::NAN,
        |document| document.chunks[0].dense[0] = f32::NEG_INFINITY,
        |document| document.chunks[0].dense.push(1.0),
        |document| document.chunks[1].index = 5,
        |document| document.chunks.clear(),
        |document| document.chunks[0].sparse.indices[1] = 1,
    ];
    for (round, spoil) in spoilers.into_iter().enumerate() {
        let mut documents: Vec<_> = (0..50).map(|n| document(&format!("round {round}, entity {n:02}"), 1, 2)).collect();
        spoil(&mut documents[17]);
        let outcome = slot.upsert(&documents).await.expect("upsert");
        let bad = documents.remove(17);
        assert_eq!(outcome.rejected.iter().map(|r| &r.entity).collect::<Vec<_>>(), [&bad.entity]);
        let reason = &outcome.rejected[0].reason;
        assert!(!reason.is_empty() && !reason.contains("text of"), "in words, without document text: {reason}");
        assert_eq!(outcome.accepted.len(), 49);
        assert_holds_only(slot.as_ref(), &format!("round {round},"), &documents).await;
        slot.delete(&documents.iter().map(|d| d.entity.clone()).collect::<Vec<_>>()).await.expect("delete");
    }
}

async fn assert_holds_only(slot: &dyn Destination, round: &str, documents: &[EntityDocument]) {
    let expected: Vec<(EntityRef, u32)> = documents.iter().map(|d| (d.entity.clone(), d.chunks.len() as u32)).collect();
    assert_eq!(scanned(slot).await, expected, "{round}");
}

pub(super) async fn a_rejected_update_leaves_the_old_version(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let old = document("updated", 1, 3);
    store(slot.as_ref(), std::slice::from_ref(&old)).await;
    let mut new = document("updated", 2, 2);
    new.chunks[1].dense[0] = f32::NAN;
    let outcome = slot.upsert(&[new]).await.expect("upsert");
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (0, 1));
    assert_holds(world, slot.as_ref(), &[old]).await;
}

/// Two slots of one sync, two syncs of one organisation, and two organisations.
fn neighbours() -> Vec<Scope> {
    let first = scope();
    let other_slot = Scope { slot_id: Uuid::new_v4(), ..first.clone() };
    let other_sync = Scope { slot_id: Uuid::new_v4(), sync_id: Uuid::new_v4(), ..first.clone() };
    vec![first, other_slot, other_sync, scope()]
}

pub(super) async fn scopes_do_not_meet(world: &dyn World) {
    let mut slots = Vec::new();
    for (n, scope) in neighbours().iter().enumerate() {
        let slot = ready(world, scope).await;
        let documents = vec![document("shared", 1, 1 + n as u32), document(&format!("own {n}"), 1, 2)];
        store(slot.as_ref(), &documents).await;
        slots.push((slot, documents));
    }
    while let Some((cleared, documents)) = slots.pop() {
        for (slot, documents) in &slots {
            assert_holds(world, slot.as_ref(), documents).await;
            let hits = found(slot.as_ref(), SearchMode::Sparse, axis(0), &[3], 100).await;
            assert_eq!(hits.len() as u64, slot.count().await.expect("count"), "a search sees its own scope only");
        }
        let points: usize = documents.iter().map(|document| document.chunks.len()).sum();
        assert_eq!(cleared.clear().await.expect("clear"), points as u64);
    }
}

/// A small generator (SplitMix64, Steele, Lea and Flood 2014), so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

pub(super) async fn random_operations_match_a_model(world: &dyn World) {
    let seed = Uuid::new_v4().as_u64_pair().0;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let mut slots = Vec::new();
    for scope in neighbours() {
        slots.push((ready(world, &scope).await, BTreeMap::<String, EntityDocument>::new()));
    }
    for step in 0..150_u32 {
        let at = random.below(slots.len() as u64) as usize;
        let (slot, model) = &mut slots[at];
        let id = |random: &mut Random| format!("entity {}", random.below(12));
        match random.below(20) {
            0..10 => {
                let batch: Vec<_> = (0..1 + random.below(5))
                    .map(|_| document(&id(&mut random), step, 1 + random.below(5) as u32))
                    .collect();
                store(slot.as_ref(), &batch).await;
                model.extend(batch.into_iter().map(|document| (document.entity.0.clone(), document)));
            }
            10..14 => {
                let ids: Vec<String> = (0..1 + random.below(3)).map(|_| id(&mut random)).collect();
                let gone: usize =
                    ids.iter().filter_map(|id| model.remove(id)).map(|document| document.chunks.len()).sum();
                let ids: Vec<EntityRef> = ids.into_iter().map(EntityRef).collect();
                assert_eq!(slot.delete(&ids).await.expect("delete"), gone as u64, "step {step}");
            }
            14..17 => {
                let (id, keep) = (id(&mut random), random.below(4) as usize);
                let mut gone = 0;
                if let Some(document) = model.get_mut(&id) {
                    gone = document.chunks.len().saturating_sub(keep);
                    document.chunks.truncate(keep);
                }
                model.retain(|_, document| !document.chunks.is_empty());
                assert_eq!(slot.trim(&EntityRef(id), keep as u32).await.expect("trim"), gone as u64, "step {step}");
            }
            17 => {
                let gone: usize = model.values().map(|document| document.chunks.len()).sum();
                assert_eq!(slot.clear().await.expect("clear"), gone as u64, "step {step}");
                model.clear();
                slot.prepare().await.expect("prepare");
            }
            18 => slot.finish().await.expect("finish"),
            _ => {
                slot.prepare().await.expect("prepare");
                slot.check().await.expect("check");
            }
        }
        if step % 10 == 0 {
            for (slot, model) in &slots {
                assert_holds(world, slot.as_ref(), &model.values().cloned().collect::<Vec<_>>()).await;
            }
        }
    }
    for (slot, model) in &slots {
        assert_holds(world, slot.as_ref(), &model.values().cloned().collect::<Vec<_>>()).await;
    }
}

pub(super) async fn clear_is_idempotent_and_prepare_starts_over(world: &dyn World) {
    let scope = scope();
    let before = world.inventory().await;
    assert_eq!(world.open(&scope).clear().await.expect("clear what was never there"), 0);
    assert_eq!(world.inventory().await, before, "clear creates nothing");
    let slot = ready(world, &scope).await;
    store(slot.as_ref(), &[document("a", 1, 3)]).await;
    slot.finish().await.expect("finish");
    assert_eq!(slot.clear().await.expect("clear"), 3);
    assert_eq!(slot.clear().await.expect("clear again"), 0);
    slot.prepare().await.expect("prepare again");
    assert_holds(world, slot.as_ref(), &[]).await;
    let documents = [document("b", 1, 2)];
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(super) async fn a_foreign_slot_is_never_cleared(world: &dyn World) {
    let owner = scope();
    let slot = ready(world, &owner).await;
    // Nothing in it yet: even the empty store is not a stranger's to remove.
    for stranger in
        [Scope { organization_id: Uuid::new_v4(), ..owner.clone() }, Scope { sync_id: Uuid::new_v4(), ..owner.clone() }]
    {
        let foreign = world.open(&stranger);
        assert_eq!(foreign.clear().await.expect("clear"), 0);
        let documents = [document("kept", 1, 2)];
        store(slot.as_ref(), &documents).await;
        assert_eq!(foreign.clear().await.expect("clear"), 0);
        assert_eq!(foreign.delete(&refs(&["kept"])).await.expect("delete"), 0);
        assert_eq!(foreign.trim(&EntityRef("kept".into()), 0).await.expect("trim"), 0);
        assert_eq!(foreign.count().await.expect("count"), 0);
        assert_eq!(foreign.read(&refs(&["kept"])).await.expect("read"), []);
        assert_eq!(scanned(foreign.as_ref()).await, []);
        assert_eq!(found(foreign.as_ref(), SearchMode::Hybrid, axis(0), &[3], 10).await, []);
        assert_holds(world, slot.as_ref(), &documents).await;
        slot.delete(&refs(&["kept"])).await.expect("delete");
    }
}

pub(super) async fn prepare_twice_is_fine(world: &dyn World) {
    let scope = scope();
    let slot = ready(world, &scope).await;
    let documents = [document("a", 1, 2)];
    store(slot.as_ref(), &documents).await;
    slot.finish().await.expect("finish");
    let before = world.inventory().await;
    slot.prepare().await.expect("prepare again");
    world.open(&scope).prepare().await.expect("prepare from elsewhere");
    assert_eq!(world.inventory().await, before);
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(super) async fn prepare_refuses_other_dimensions(world: &dyn World) {
    let scope = scope();
    let slot = ready(world, &scope).await;
    let documents = [document("a", 1, 2)];
    store(slot.as_ref(), &documents).await;
    let before = world.inventory().await;
    let other = world.open_sized(&scope, DIMENSIONS + 1);
    let error = other.prepare().await.expect_err("the dimensions differ");
    assert_eq!(error.kind(), ErrorKind::IncompatibleDestination);
    let (here, wanted) = (DIMENSIONS.to_string(), (DIMENSIONS + 1).to_string());
    assert!(error.message().contains(&here) && error.message().contains(&wanted), "says what differs: {error}");
    assert_eq!(kind(other.check().await), ErrorKind::IncompatibleDestination);
    assert_eq!(world.inventory().await, before);
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(super) async fn concurrent_prepares_agree(world: &dyn World) {
    let shared = scope();
    // Some prepare the same slot, some another one: the first of all also meet over what slots share.
    let slots: Vec<_> = (0..8).map(|n| world.open(&if n % 2 == 0 { shared.clone() } else { scope() })).collect();
    let prepared = futures::future::join_all(slots.iter().map(|slot| slot.prepare())).await;
    for result in prepared {
        result.expect("all of them are right");
    }
    for slot in &slots {
        assert_holds(world, slot.as_ref(), &[]).await;
    }
}

pub(super) async fn finish_twice_is_fine_and_search_works_before_and_after(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let mut documents: Vec<_> = (0..300).map(|n| document(&format!("noise {n}"), 1, 1)).collect();
    documents.push(placed("needle", axis(2), &[9, 1_000]));
    store(slot.as_ref(), &documents).await;
    let mut answers = Vec::new();
    for round in 0..3 {
        if round > 0 {
            slot.finish().await.expect("finish");
        }
        for mode in [SearchMode::Dense, SearchMode::Sparse, SearchMode::Hybrid] {
            let hits = found(slot.as_ref(), mode, axis(2), &[1_000], 3).await;
            assert_eq!(hits[0].entity.0, "needle", "{mode:?}, round {round}");
            answers.push((mode, hits[0].clone()));
        }
    }
    assert_holds(world, slot.as_ref(), &documents).await;
    // After the bulk load, writes still arrive and are found.
    store(slot.as_ref(), &[placed("late", axis(5), &[2_000])]).await;
    for mode in [SearchMode::Dense, SearchMode::Sparse, SearchMode::Hybrid] {
        assert_eq!(found(slot.as_ref(), mode, axis(5), &[2_000], 3).await[0].entity.0, "late", "{mode:?}");
    }
    slot.delete(&refs(&["late"])).await.expect("delete");
    assert_eq!(found(slot.as_ref(), SearchMode::Sparse, axis(5), &[2_000], 3).await, []);
    let hit = &answers[0].1;
    assert_eq!((hit.index, hit.text.as_str()), (0, "text of needle, version 1, chunk 0"));
}

pub(super) async fn searches_find_the_keyword_and_the_neighbour(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let nearly = vec![0.98, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let documents = [
        placed("same direction", axis(0), &[11]),
        placed("near", nearly, &[12]),
        placed("far, but has the word", axis(7), &[500]),
        placed("far", axis(6), &[13]),
        placed("opposite", axis(0).into_iter().map(|value| -value).collect(), &[]),
    ];
    store(slot.as_ref(), &documents).await;
    slot.finish().await.expect("finish");
    let dense = found(slot.as_ref(), SearchMode::Dense, axis(0), &[], 10).await;
    assert_eq!(names(&dense)[..2], ["same direction", "near"]);
    assert_eq!(names(&dense).last(), Some(&"opposite"), "all five, the opposite last");
    assert_eq!(dense.len(), 5);
    let sparse = found(slot.as_ref(), SearchMode::Sparse, Vec::new(), &[500], 10).await;
    assert_eq!(names(&sparse), ["far, but has the word"]);
    let hybrid = found(slot.as_ref(), SearchMode::Hybrid, axis(0), &[500], 2).await;
    assert_eq!(
        names(&hybrid),
        ["far, but has the word", "same direction"],
        "first in one ranking each, one also in the other"
    );
    assert_eq!(found(slot.as_ref(), SearchMode::Hybrid, axis(0), &[500], 0).await, []);
}

pub(super) async fn rare_words_weigh_more(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let mut documents: Vec<_> = (0..30).map(|n| placed(&format!("common {n}"), axis(1), &[1])).collect();
    documents.push(placed("rare", axis(1), &[2]));
    documents.push(placed("both", axis(1), &[1, 2]));
    store(slot.as_ref(), &documents).await;
    slot.finish().await.expect("finish");
    let hits = found(slot.as_ref(), SearchMode::Sparse, Vec::new(), &[1, 2], 3).await;
    assert_eq!(names(&hits)[..2], ["both", "rare"]);
    assert!(names(&hits)[2].starts_with("common"));
    let idf = |having: f64| ((32.0 - having + 0.5) / (having + 0.5) + 1.0).ln();
    for (hit, wanted) in hits.iter().zip([idf(31.0) + idf(2.0), idf(2.0), idf(31.0)]) {
        assert!((hit.score - wanted).abs() < 1e-5, "{} scores {}, not {wanted}", hit.entity.0, hit.score);
    }
}

pub(super) async fn an_unfit_query_is_invalid_input(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let good = Query { dense: axis(0), sparse: SparseVector::default(), mode: SearchMode::Hybrid, limit: 5 };
    let lonely = SparseVector { indices: vec![1], values: vec![] };
    for bad in [
        Query { dense: vec![1.0; 3], ..good.clone() },
        Query { dense: vec![f32::NAN; DIMENSIONS as usize], ..good.clone() },
        Query { sparse: lonely, ..good.clone() },
        Query { limit: u32::MAX, ..good.clone() },
    ] {
        assert_eq!(kind(slot.search(&bad).await), ErrorKind::InvalidInput, "{bad:?}");
    }
    assert_eq!(slot.search(&good).await.expect("search"), []);
}

pub(super) async fn concurrent_writers_of_the_same_entities_converge(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let writers = (0..8_u32).map(|writer| {
        let slot = slot.clone();
        tokio::spawn(async move {
            for round in 0..6_u32 {
                // Each writer in another order, each version with another number of chunks.
                let version = writer * 100 + round;
                let mut batch: Vec<_> =
                    (0..20).map(|n| document(&format!("entity {n}"), version, 1 + (version + n) % 5)).collect();
                batch.rotate_left(writer as usize * 2);
                let mut tries = 0;
                loop {
                    match slot.upsert(&batch).await {
                        Ok(outcome) => break assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (20, 0)),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain()),
                    }
                    tries += 1;
                    assert!(tries < 20, "writers keep failing each other");
                }
                if round % 3 == writer % 3 {
                    let doomed = refs(&["entity 3", "entity 1", "entity 2"]);
                    while let Err(error) = slot.delete(&doomed).await {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
                    }
                }
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.expect("no writer fails");
    }
    // Whoever was last, each entity is one version, whole.
    let ids: Vec<EntityRef> = (0..20).map(|n| EntityRef(format!("entity {n}"))).collect();
    let stored = slot.read(&ids).await.expect("read");
    assert!(stored.len() >= 17, "only three entities were ever deleted");
    let mut documents = Vec::new();
    for entity in &stored {
        let version = u32::from_str_radix(&entity.content_hash, 16).expect("the hash is the version");
        let n: u32 = entity.entity.0.trim_start_matches("entity ").parse().expect("a number");
        documents.push(document(&entity.entity.0, version, 1 + (version + n) % 5));
    }
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(super) async fn check_leaves_nothing_behind(world: &dyn World) {
    let scope = scope();
    let slot = world.open(&scope);
    let before = world.inventory().await;
    slot.check().await.expect("check an empty place");
    assert_eq!(world.inventory().await, before, "as if nothing had been");
    slot.prepare().await.expect("prepare");
    let documents = [document("a", 1, 2)];
    store(slot.as_ref(), &documents).await;
    slot.finish().await.expect("finish");
    let before = world.inventory().await;
    slot.check().await.expect("check a used slot");
    assert_eq!(world.inventory().await, before);
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(super) async fn refused_credentials_are_denied(world: &dyn World) {
    let scope = scope();
    ready(world, &scope).await;
    let denied = world.open_denied(&scope);
    assert_eq!(kind(denied.check().await), ErrorKind::DestinationDenied);
    assert_eq!(kind(denied.prepare().await), ErrorKind::DestinationDenied);
    assert_eq!(kind(denied.upsert(&[document("a", 1, 1)]).await), ErrorKind::DestinationDenied);
    assert_eq!(kind(denied.count().await), ErrorKind::DestinationDenied);
}

pub(super) async fn a_server_that_is_away_is_unavailable(world: &dyn World) {
    let away = world.open_away(&scope());
    assert_eq!(kind(away.check().await), ErrorKind::Unavailable);
    assert_eq!(kind(away.prepare().await), ErrorKind::Unavailable);
    assert_eq!(kind(away.upsert(&[document("a", 1, 1)]).await), ErrorKind::Unavailable);
    assert_eq!(kind(away.count().await), ErrorKind::Unavailable);
}
