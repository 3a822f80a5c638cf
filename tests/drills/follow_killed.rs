//! The worker is killed (SIGKILL) at random moments while it follows, and the platform goes on writing: in the end the slot is
//! what a clean build would be.

use std::time::Duration;

use harness::{World, WorldOptions, progress, signal, until};
use proto::v1::FollowedSlot;
use workflows::follow_workflow_id;

use crate::moments::Moments;
use crate::write_log::PATIENCE;

const ENTITIES: usize = 120;
const KILLS: u32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_following_loses_nothing() {
    let mut moments = Moments::new("a_worker_killed_while_following_loses_nothing");
    let mut world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let mut worker = world.worker();
    let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
    let handle = world.any_workflow(&follow_workflow_id(&world.ids.sync_id.to_string()));
    // Every write takes a moment, so that a kill meets one.
    let table = world.points_table(&slot);
    for statement in [
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_sleep(0.02); RETURN coalesce(new, old); END'"
            .to_owned(),
        format!("CREATE TRIGGER slow BEFORE INSERT OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION slow()"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(world.database.pool())
            .await
            .expect("a trigger can be made");
    }
    for kill in 0..KILLS {
        world.platform_job(kill + 1, 40).await;
        let before = world.content(&slot).await;
        signal(&handle, "now", vec![]).await;
        // Somewhere between the first write of the round and its end.
        until("the first write", PATIENCE, async || world.content(&slot).await != before).await;
        let moment = Duration::from_millis(moments.pick(0..1500));
        let from = std::time::Instant::now();
        until("the moment", PATIENCE, async || from.elapsed() >= moment).await;
        worker.kill9();
        eprintln!("kill {kill} {moment:?} after the first write");
        // What was in its hands may be gone from the raw store when the next worker comes to it.
        world.platform_job(kill + 101, 10).await;
        worker = world.worker();
    }
    let of = async || -> FollowedSlot {
        let shown = progress(&handle).await.unwrap_or_default();
        shown.followed.into_iter().find(|it| it.slot_id == slot).unwrap_or_default()
    };
    // Two rounds after the last change: the first may have begun before it.
    for _ in 0..2 {
        let before = of().await.caught_up_at_ms;
        signal(&handle, "now", vec![]).await;
        until("a round", PATIENCE, async || of().await.caught_up_at_ms > before).await;
    }
    let clean = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("a clean build completes");
    assert!(world.content(&slot).await == world.content(&clean.slot_id).await, "the slot is a clean build");
    assert!(worker.stop(), "the last worker ends well");
    world.done().await;
}
