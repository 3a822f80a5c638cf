//! The worker is killed (SIGKILL) in the middle of a resync: another goes on with the same job of the platform.

use std::time::Duration;

use harness::platform_api::{Fault, PlatformServer, PlatformServerOptions};
use harness::{World, until};
use proto::v1::ResyncRequest;
use sync_multiplexer::temporal;

use crate::write_log::PATIENCE;

async fn posted(world: &World) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM sync_multiplexer.resync WHERE posted_at IS NOT NULL AND sync_job_id IS NULL)",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("resyncs are readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_watching_loses_sight_of_nothing() {
    let world = World::new().await;
    let platform = PlatformServer::start(&world, PlatformServerOptions::default()).await;
    let worker = world.worker_at(&platform);
    let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
    platform.change_source(1, 8).await;
    platform.hold_jobs();
    let resync = world.start_resync(&world.resync_request()).await.expect("a resync starts");
    world.until_job_is("running").await;
    worker.kill9();
    // It ends while nobody looks.
    platform.let_jobs_go();
    until("the job ends", PATIENCE, async || platform.jobs().await.iter().all(|(_, it)| it == "completed")).await;
    let worker = world.worker_at(&platform);
    let result = temporal::watch_resync(&resync, |_| {}).await.expect("the resync completes");
    assert_eq!(result.job.map(|job| (job.inserted, job.updated, job.deleted)), Some((4, 8, 2)));
    assert_eq!(platform.jobs().await.len(), 2, "one job beside the seeded one");
    assert_eq!(world.stored_entities(&slot).await.len(), 62);
    assert!(worker.stop(), "the last worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_the_platform_thinks_starts_no_second_job() {
    let world = World::new().await;
    let platform = PlatformServer::start(&world, PlatformServerOptions::default()).await;
    for rebuild_raw_store in [false, true] {
        let before = platform.jobs().await.len();
        let worker = world.worker_at(&platform);
        platform.fail_next([Fault::Slow(Duration::from_secs(4))]);
        let request = ResyncRequest { rebuild_raw_store, ..world.resync_request() };
        let resync = world.start_resync(&request).await.expect("a resync starts");
        until("the platform was asked", PATIENCE, async || {
            posted(&world).await && platform.take_asked().iter().any(|it| it.route.starts_with("POST "))
        })
        .await;
        worker.kill9();
        let worker = world.worker_at(&platform);
        let result = temporal::watch_resync(&resync, |_| {}).await.expect("the resync completes");
        let jobs = platform.jobs().await;
        assert_eq!(jobs.len(), before + 1, "the platform was slow, and started one job");
        assert_eq!(jobs.last().map(|job| job.0.to_string()), Some(result.sync_job_id));
        assert!(worker.stop(), "the worker ends well");
    }
    world.done().await;
}
