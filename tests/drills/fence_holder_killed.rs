//! The worker is killed (SIGKILL) while a switch holds its fence: another worker goes on within the limit, or the fence ends by
//! itself and is cleaned up. At every instant one slot is active.

use harness::{AnyWorkflow, Ended, RoleWatch, World, ended, until};
use proto::v1::SwitchRequest;
use sync_multiplexer::temporal;
use workflows::switch_workflow_id;

use crate::write_log::PATIENCE;

/// A world with an active slot, and a switch to another that stands behind its fence while a worker is killed.
async fn killed_behind_its_fence() -> (World, [String; 2], AnyWorkflow, RoleWatch) {
    let world = World::new().await;
    let worker = world.worker();
    let (v0, v1) = (world.fork_request(world.ids.connection_v0), world.fork_request(world.ids.connection_v1));
    let (v0, v1) = tokio::join!(world.fork(&v0), world.fork(&v1));
    let slots = [v0.expect("the first fork completes").slot_id, v1.expect("the second fork completes").slot_id];
    world.switch(&world.switch_request(&slots[0])).await.expect("the first slot becomes active");
    let watch = RoleWatch::start(&world);

    let held = world.hold_verifications().await;
    let request = SwitchRequest { time_limit_seconds: 120, ..world.switch_request(&slots[1]) };
    temporal::start_switch(&world.client, &world.task_queue, &request).await.expect("the switch starts");
    until("it stands behind its fence", PATIENCE, async || world.waiting_for_verifications().await > 0).await;
    worker.kill9();
    // What the dead worker left waiting in the database ends, as it does once the server notices.
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .execute(world.database.pool())
    .await
    .expect("sessions can be ended");
    held.rollback().await.expect("the lock can be given back");
    assert_eq!(world.fences().await, 2, "a fence, and its job");
    let handle = world.any_workflow(&switch_workflow_id(&request.sync_id));
    (world, slots, handle, watch)
}

async fn active(world: &World) -> String {
    sqlx::query_scalar("SELECT slot_id::text FROM sync_multiplexer.active_destination")
        .fetch_one(world.database.pool())
        .await
        .expect("one slot is active")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_goes_on_behind_the_fence() {
    let (world, [_, v1], handle, watch) = killed_behind_its_fence().await;
    let worker = world.worker();
    let end = ended(&handle).await;
    assert!(matches!(end, Ended::Completed(_)), "{end:?}");
    watch.saw_one_active_slot_always().await;
    assert_eq!((active(&world).await, world.fences().await), (v1, 0));
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_the_fence_ends_by_itself_and_any_worker_cleans_up() {
    let (world, [v0, v1], handle, watch) = killed_behind_its_fence().await;
    assert_eq!(world.start_job().await, None, "the platform is still kept out");
    // Time passes.
    sqlx::query("UPDATE sync_multiplexer.sync_state SET fence_expires_at = now() WHERE fence_owner IS NOT NULL")
        .execute(world.database.pool())
        .await
        .expect("a clock can be moved");
    let idle = world.idle_worker();
    until("the fence is gone", PATIENCE, async || world.fences().await == 0).await;
    let job = world.start_job().await.expect("the platform goes on");
    world.end_job(job).await;
    assert_eq!(active(&world).await, v0);

    let worker = world.worker();
    let end = ended(&handle).await;
    assert!(end.failure().0 == "Conflict" && end.failure().1.contains("no longer holds the fence"), "{end:?}");
    assert_eq!((active(&world).await, world.fences().await), (v0, 0), "what it would have switched behind is gone");
    world.switch(&world.switch_request(&v1)).await.expect("the next switch");
    watch.saw_one_active_slot_always().await;
    assert_eq!((active(&world).await, world.fences().await), (v1, 0));
    drop(idle);
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}
