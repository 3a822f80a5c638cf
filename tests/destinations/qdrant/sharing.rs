//! Syncs that share a collection: whatever one of them does, the other's points stay as they are, byte by byte.

use ::qdrant_client::qdrant::{Condition, Filter, RetrievedPoint, ScrollPointsBuilder};
use activities::destinations::qdrant::Qdrant;
use activities::destinations::{Destination, EntityRef, Scope};
use harness::qdrant::QdrantServerOptions;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use proto::v1::QdrantLayout;
use uuid::Uuid;

use super::stage::{SHARED, open};
use super::target::Target;
use crate::conformance::documents::{document, scope};
use crate::conformance::observe::store;

/// Entities, so few that the syncs have the same ids.
const IDS: u32 = 5;

#[derive(Debug, Clone)]
enum Act {
    Upsert { id: u32, version: u32, chunks: u32 },
    Delete { id: u32 },
    Trim { id: u32, keep: u32 },
    Clear,
    Prepare,
    Finish,
    Check,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..IDS, 1..100_u32, 1..6_u32).prop_map(|(id, version, chunks)| Act::Upsert { id, version, chunks }),
        2 => (0..IDS).prop_map(|id| Act::Delete { id }),
        2 => (0..IDS, 0..6_u32).prop_map(|(id, keep)| Act::Trim { id, keep }),
        2 => Just(Act::Clear),
        1 => Just(Act::Prepare),
        1 => Just(Act::Finish),
        1 => Just(Act::Check),
    ]
}

fn entity(id: u32) -> EntityRef {
    EntityRef(format!("entity {id}"))
}

async fn run(slot: &Qdrant, act: &Act) {
    match act {
        Act::Upsert { id, version, chunks } => store(slot, &[document(&entity(*id).0, *version, *chunks)]).await,
        Act::Delete { id } => drop(slot.delete(&[entity(*id)]).await.expect("delete")),
        Act::Trim { id, keep } => drop(slot.trim(&entity(*id), *keep).await.expect("trim")),
        Act::Clear => drop(slot.clear().await.expect("clear")),
        Act::Prepare => slot.prepare().await.expect("prepare"),
        Act::Finish => slot.finish().await.expect("finish"),
        Act::Check => slot.check().await.expect("check"),
    }
}

/// Everything that is stored of a scope, asked of the server and not of the slot.
async fn stored(target: &Target, scope: &Scope) -> Vec<RetrievedPoint> {
    let filter = Filter::must([
        Condition::matches("airweave_collection_id", scope.collection_id.to_string()),
        Condition::matches("airweave_system_metadata.sync_id", scope.sync_id.to_string()),
    ]);
    let request = ScrollPointsBuilder::new(SHARED).filter(filter).limit(1_000).with_payload(true).with_vectors(true);
    target.client.scroll(request).await.expect("scroll").result
}

/// Another sync of the same searched collection, and another tenant.
fn neighbours(of: &Scope) -> [Scope; 2] {
    [Scope { sync_id: Uuid::new_v4(), slot_id: Uuid::new_v4(), ..of.clone() }, scope()]
}

#[test]
fn what_one_sync_does_never_touches_another() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let Some(target) = runtime.block_on(Target::scripted(QdrantServerOptions::default())) else { return };
    let strategy = (proptest::collection::vec(1..4_u32, IDS as usize), proptest::collection::vec(act(), 1..10));
    // A failure prints the smallest case; nothing is kept in files.
    let config = Config { cases: 40, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let outcome = TestRunner::new(config).run(&strategy, |(chunks, acts)| {
        runtime.block_on(async {
            let mine = scope();
            let slot = open(&target, &mine, &QdrantLayout::default());
            slot.prepare().await.expect("prepare");
            let mut theirs = Vec::new();
            for neighbour in neighbours(&mine) {
                let slot = open(&target, &neighbour, &QdrantLayout::default());
                let documents: Vec<_> =
                    chunks.iter().zip(0..).map(|(chunks, id)| document(&entity(id).0, 7, *chunks)).collect();
                store(&slot, &documents).await;
                theirs.push((neighbour.clone(), stored(&target, &neighbour).await));
            }
            for act in &acts {
                run(&slot, act).await;
                for (neighbour, before) in &theirs {
                    prop_assert!(!before.is_empty());
                    prop_assert!(&stored(&target, neighbour).await == before, "{:?} reached a neighbour", act);
                }
            }
            Ok(())
        })
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
