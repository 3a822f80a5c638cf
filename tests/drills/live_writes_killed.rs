//! Workers are killed (SIGKILL) at random moments, one after the other, while a slot is forked, followed, switched to and rolled
//! back from and the platform writes to raw store and slots all the time: in the end every slot is a clean build.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{LiveWriter, RoleWatch, Worker, World, WorldOptions, until};
use proto::v1::SwitchRequest;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::moments::Moments;
use crate::write_log::PATIENCE;

/// Most workers that are killed; each costs a heartbeat timeout.
const KILLS: u32 = 4;

/// Kills one worker after the other, until it is told that all is over; answers the last one.
fn kill_workers(
    world: Arc<World>,
    mut worker: Worker,
    mut moments: Moments,
    over: Arc<AtomicBool>,
) -> JoinHandle<Worker> {
    tokio::spawn(async move {
        for kill in 0..KILLS {
            let (from, moment) = (Instant::now(), Duration::from_millis(moments.pick(300..6000)));
            until("the moment", PATIENCE, async || from.elapsed() >= moment || over.load(Ordering::Relaxed)).await;
            if over.load(Ordering::Relaxed) {
                break;
            }
            worker.kill9();
            eprintln!("kill {kill} after {moment:?}");
            worker = world.worker();
        }
        worker
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_under_live_writes_lose_nothing() {
    let mut moments = Moments::new("workers_killed_under_live_writes_lose_nothing");
    let mut world = World::with(WorldOptions { entities: 32, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let ([v0, v1], versions) = world.with_versions().await;
    let connection = world.connect_destination("pgvector", json!({ "url": world.database_url })).await;
    let (world, over) = (Arc::new(world), Arc::new(AtomicBool::new(false)));
    let watch = RoleWatch::start(&world);
    let writer = LiveWriter::start(Arc::clone(&world), versions, moments.pick(0..u64::MAX));
    let killing = kill_workers(Arc::clone(&world), worker, moments, Arc::clone(&over));

    let forked = world.fork(&world.fork_request(connection)).await.expect("the fork").slot_id;
    // What a dead worker had behind the fence goes on within this.
    let patient = |request| SwitchRequest { time_limit_seconds: 300, ..request };
    world.switch_under_live_writes(&patient(world.switch_request(&forked))).await;
    world.switch_under_live_writes(&patient(world.request_back_to(&v0))).await;
    over.store(true, Ordering::Relaxed);
    let worker = killing.await.expect("somebody kills to the end");
    writer.stop().await;

    world.switch_under_live_writes(&patient(world.switch_request(&v1))).await;
    world.until_followed(&[&v0, &forked]).await;
    world.assert_are_clean_builds(&[&v0, &v1, &forked]).await;
    watch.saw_one_active_slot_always().await;
    assert_eq!((world.switches_during_jobs().await, world.fences().await), (0, 0));
    assert!(worker.stop(), "the last worker ends well");
    Arc::into_inner(world).expect("nobody else has the world").done().await;
}
