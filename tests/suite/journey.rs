//! The two journeys from end to end.

use harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_forked_slot_holds_every_entity_and_can_be_promoted() {
    let world = World::new().await;
    let worker = world.worker();
    let first = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the first fork completes");
    assert_eq!((first.listed, first.entities, first.dead_letter_count), (60, 60, 0));

    let mut expected = world.entity_ids.clone();
    expected.sort();
    assert_eq!(world.stored_entities(&first.slot_id).await, expected);

    let switched = world.switch(&world.switch_request(&first.slot_id)).await.expect("a ready slot can be promoted");
    assert_eq!((switched.generation, switched.previous_active_slot_id.as_str()), (1, ""));
    assert!(worker.stop(), "a worker that is asked to stop ends well");
    world.done().await;
}
