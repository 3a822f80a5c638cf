//! A worker that is asked to stop in the middle of a replay: it ends in time, and hands over.

use std::time::{Duration, Instant};

use harness::{World, WorldOptions};
use proto::v1::{ForkOptions, ForkRequest};
use sync_multiplexer::temporal;

use crate::moments::Moments;
use crate::write_log::WriteLog;

const LANES: u32 = 4;
const BATCH: u32 = 4;

fn request(world: &World) -> ForkRequest {
    // Long segments, so that one must be handed over unfinished.
    let options = ForkOptions { lanes: LANES, batch_entities: BATCH, segment_entities: 40, ..ForkOptions::default() };
    ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) }
}

/// Every lane ends the batch it is in, and none begins another. So nothing is written again, and the grace period is a
/// limit, not a pause.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_repeats_no_batch() {
    const ENTITIES: usize = 160;
    const GRACE: Duration = Duration::from_secs(8);
    let mut moments = Moments::new("a_worker_that_is_asked_to_stop_repeats_no_batch");
    let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let worker = world.worker_with(&["--grace-seconds", &GRACE.as_secs().to_string()]);
    let request = request(&world);
    let log = WriteLog::install(&world, &request, Duration::from_millis(500)).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");

    let passed = log.reached(moments.pick(1..ENTITIES as u64 / 3)).await;
    let asked = Instant::now();
    assert!(worker.stop(), "a worker that is asked to stop ends well");
    let took = asked.elapsed();
    let handed_over = log.reached(1).await;
    eprintln!("asked after {passed} entities, ended after {took:?}, handed over after {handed_over}");
    assert!(took < GRACE, "the worker took {took:?} to stop, with batches of half a second and a grace of {GRACE:?}");
    assert!(handed_over >= passed, "a cursor went back from {passed} to {handed_over}");
    let begun = u64::from(LANES * BATCH);
    assert!(handed_over <= passed + 2 * begun, "after {passed} entities it went on to {handed_over}");
    log.next_round().await;

    let worker = world.worker();
    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES as u64, 0));
    log.assert_whole().await;
    assert_eq!(log.repeated().await, [0], "a batch was written again");
    assert_eq!(log.surplus_writes().await, 0);
    assert!(worker.stop(), "the next worker ends well");
    world.done().await;
}

/// A batch that takes longer than the grace period is cut off, and settled as after a crash.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_outlasts_the_grace_period_is_written_once_more() {
    const ENTITIES: usize = 48;
    const GRACE: Duration = Duration::from_secs(1);
    let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let worker = world.worker_with(&["--grace-seconds", &GRACE.as_secs().to_string()]);
    let request = request(&world);
    let log = WriteLog::install(&world, &request, Duration::from_millis(2500)).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");

    let passed = log.reached(1).await;
    let asked = Instant::now();
    assert!(worker.stop(), "a worker that is asked to stop ends well");
    let took = asked.elapsed();
    eprintln!("asked after {passed} entities, ended after {took:?}");
    assert!(took < GRACE + Duration::from_secs(6), "the worker took {took:?} to stop, with a grace of {GRACE:?}");
    log.next_round().await;
    log.hurry().await;

    let worker = world.worker();
    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES as u64, 0));
    log.assert_whole().await;
    let repeated = log.repeated().await;
    eprintln!("written again: {repeated:?}");
    assert!(repeated.iter().all(|again| *again <= i64::from(LANES * BATCH)), "{repeated:?}");
    assert!(worker.stop(), "the next worker ends well");
    world.done().await;
}
