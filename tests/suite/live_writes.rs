//! The platform writes to raw store and slots at the very same time as a slot is forked, followed, switched to and rolled back
//! from: in the end every slot is a clean build. Hundreds of histories of this are `replay::histories` in `activities`; here
//! it is with the real program on real servers.

use std::sync::Arc;

use harness::{LiveWriter, RoleWatch, World, WorldOptions};
use serde_json::json;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn under_live_writes_every_slot_becomes_a_clean_build() {
    let mut world = World::with(WorldOptions { entities: 32, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let ([v0, v1], versions) = world.with_versions().await;
    let connection = world.connect_destination("pgvector", json!({ "url": world.database_url })).await;
    let (world, seed) = (Arc::new(world), Uuid::new_v4().as_u64_pair().0);
    let watch = RoleWatch::start(&world);
    let writer = LiveWriter::start(Arc::clone(&world), versions, seed);

    let forked = world.fork(&world.fork_request(connection)).await.expect("a fork under live writes").slot_id;
    world.switch_under_live_writes(&world.switch_request(&forked)).await;
    world.switch_under_live_writes(&world.request_back_to(&v0)).await;
    world.switch_under_live_writes(&world.switch_request(&v1)).await;
    let writes = writer.stop().await;
    assert!(writes > 50, "{writes} writes prove nothing");

    // Back to the first, which is proved behind its fence; the others are followed.
    world.switch_under_live_writes(&world.request_back_to(&v0)).await;
    world.until_followed(&[&v1, &forked]).await;
    world.assert_are_clean_builds(&[&v0, &v1, &forked]).await;
    watch.saw_one_active_slot_always().await;
    assert_eq!((world.switches_during_jobs().await, world.fences().await), (0, 0));
    drop(worker);
    Arc::into_inner(world).expect("nobody else has the world").done().await;
}
