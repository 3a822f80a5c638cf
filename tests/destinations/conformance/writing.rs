//! Properties of upsert, delete and trim.

use std::collections::BTreeMap;

use activities::destinations::{EntityDocument, EntityRef};
use activities::error::ErrorKind;
use uuid::Uuid;

use super::World;
use super::documents::{document, refs, scope};
use super::observe::{assert_holds, assert_holds_only, ready, store};
use super::scoping::neighbours;

pub(crate) async fn upsert_is_idempotent(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let documents: Vec<_> = (0..40).map(|n| document(&format!("entity {n}"), 1, 1 + n % 4)).collect();
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(crate) async fn an_update_with_fewer_chunks_leaves_exactly_those(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    store(slot.as_ref(), &[document("shrinks", 1, 7), document("grows", 1, 1), document("stays", 1, 3)]).await;
    let documents = [document("shrinks", 2, 2), document("grows", 2, 300), document("stays", 1, 3)];
    store(slot.as_ref(), &documents[..2]).await;
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(crate) async fn the_last_version_in_a_batch_wins(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let batch = [document("twice", 1, 5), document("once", 1, 1), document("twice", 2, 2)];
    store(slot.as_ref(), &batch).await;
    assert_holds(world, slot.as_ref(), &batch[1..]).await;
}

pub(crate) async fn delete_and_trim_remove_what_they_say(world: &dyn World) {
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

pub(crate) async fn a_bad_entity_is_rejected_alone(world: &dyn World) {
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

pub(crate) async fn a_rejected_update_leaves_the_old_version(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let old = document("updated", 1, 3);
    store(slot.as_ref(), std::slice::from_ref(&old)).await;
    let mut new = document("updated", 2, 2);
    new.chunks[1].dense[0] = f32::NAN;
    let outcome = slot.upsert(&[new]).await.expect("upsert");
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (0, 1));
    assert_holds(world, slot.as_ref(), &[old]).await;
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

pub(crate) async fn random_operations_match_a_model(world: &dyn World) {
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

pub(crate) async fn concurrent_writers_of_the_same_entities_converge(world: &dyn World) {
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
    if !world.writes_whole_entities() {
        let batch: Vec<_> = (0..20).map(|n| document(&format!("entity {n}"), 7, 1 + (7 + n) % 5)).collect();
        store(slot.as_ref(), &batch).await;
    }
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
