//! A worker that is asked to stop in the middle of a replay: it ends in time, and hands over.

use std::time::{Duration, Instant};

use harness::{World, WorldOptions};
use proto::v1::{ForkOptions, ForkRequest};
use sync_multiplexer::temporal;

use crate::moments::Moments;
use crate::write_log::WriteLog;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_hands_over() {
    const ENTITIES: usize = 160;
    const LANES: u32 = 4;
    const BATCH: u32 = 4;
    const GRACE: &str = "2";
    let mut moments = Moments::new("a_worker_that_is_asked_to_stop_hands_over");
    let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let worker = world.worker_with(&["--grace-seconds", GRACE]);
    // A segment is ten batches of half a second: longer than the grace, so it must be handed over unfinished.
    let options = ForkOptions { lanes: LANES, batch_entities: BATCH, segment_entities: 40, ..ForkOptions::default() };
    let request = ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) };
    let log = WriteLog::install(&world, &request, Duration::from_millis(500)).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");

    let passed = log.reached(moments.pick(1..ENTITIES as u64 / 3)).await;
    let asked = Instant::now();
    assert!(worker.stop(), "a worker that is asked to stop ends well");
    let took = asked.elapsed();
    eprintln!("asked after {passed} entities, ended after {took:?}");
    assert!(took < Duration::from_secs(10), "the worker took {took:?} to stop, with a grace of {GRACE} s");
    let handed_over = log.reached(1).await;
    log.next_round().await;

    let worker = world.worker();
    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES as u64, 0));
    assert!(handed_over >= passed, "a cursor went back from {passed} to {handed_over}");
    log.assert_whole().await;
    let repeated = log.repeated().await;
    eprintln!("handed over after {handed_over} entities, written again: {repeated:?}");
    assert!(repeated.iter().all(|again| *again <= i64::from(LANES * BATCH)), "{repeated:?}");
    assert!(worker.stop(), "the next worker ends well");
    world.done().await;
}
