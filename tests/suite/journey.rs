//! The whole migration from end to end: one profile live, the next beside it, promoted, and both still answer.

use activities::database::SlotScope;
use harness::World;
use proto::v1::pgvector_layout::VectorType;
use proto::v1::profile::Destination;
use proto::v1::{Chunker, ForkRequest, Hnsw, PgvectorLayout, Profile, Role, SlotState};

/// Smaller chunks, half the bytes per dimension, and an index.
fn v1() -> Profile {
    let layout = PgvectorLayout {
        vector_type: VectorType::Halfvec.into(),
        hnsw: Some(Hnsw { m: 8, ef_construction: 32 }),
        ..PgvectorLayout::default()
    };
    Profile {
        name: "v1".to_owned(),
        chunker: Some(Chunker { max_tokens: 64, overlap_tokens: 8 }),
        embedder: None,
        destination: Some(Destination::Pgvector(layout)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_moves_from_v0_to_v1_and_both_answer_the_same_question() {
    let world = World::new().await;
    world.put_entity("needle", "the zebra calibrates its sextant under the aqueduct");
    let worker = world.worker();
    let mut expected = world.entity_ids.clone();
    expected.push("needle".to_owned());
    expected.sort();

    let old = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the first fork completes");
    assert_eq!((old.listed, old.entities, old.dead_letter_count), (61, 61, 0));
    assert_eq!(world.stored_entities(&old.slot_id).await, expected);
    let switched = world.switch(&world.switch_request(&old.slot_id)).await.expect("v0 can be promoted");
    assert_eq!((switched.generation, switched.previous_active_slot_id.as_str()), (1, ""));

    let request = ForkRequest { profile: Some(v1()), ..world.fork_request(world.ids.connection_v1) };
    let new = world.fork(&request).await.expect("the second fork completes");
    assert_eq!(world.stored_entities(&new.slot_id).await, expected);
    assert!(new.points > old.points, "smaller chunks are more: {} and {}", new.points, old.points);
    let verification = new.verification.expect("a fork verifies");
    assert_eq!((verification.entities_compared, verification.points_found), (61, new.points));
    assert_eq!((verification.sampled, verification.sample_differences), (61, 0));
    let switched = world.switch(&world.switch_request(&new.slot_id)).await.expect("v1 can be promoted");
    assert_eq!((switched.generation, &switched.previous_active_slot_id), (2, &old.slot_id));

    let listed: Vec<_> =
        world.list().slots.into_iter().map(|slot| (slot.slot_id.clone(), slot.role(), slot.state())).collect();
    assert_eq!(
        listed,
        [
            (new.slot_id.clone(), Role::Active, SlotState::Ready),
            (old.slot_id.clone(), Role::Deprecated, SlotState::Ready)
        ]
    );

    let activities = world.activities().await;
    for slot in [&old.slot_id, &new.slot_id] {
        let scope = SlotScope {
            organization_id: world.ids.organization_id,
            sync_id: world.ids.sync_id,
            slot_id: slot.parse().expect("a slot id is a UUID"),
        };
        let hits = activities.search(scope, "zebra with a sextant", 3).await.expect("the slot answers");
        assert_eq!(hits[0].entity.0, "needle", "{hits:?}");
    }
    assert!(worker.stop(), "a worker that is asked to stop ends well");
    world.done().await;
}
