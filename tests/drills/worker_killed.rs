//! kill -9 of the worker in the middle of a replay: another goes on, nothing is lost, and little is done twice.

use std::time::Duration;

use harness::{World, WorldOptions, until};
use proto::v1::{ForkOptions, ForkRequest};
use sync_multiplexer::temporal;

use crate::moments::Moments;
use crate::write_log::{PATIENCE, WriteLog};

const ENTITIES: usize = 240;
const LANES: u32 = 4;
const BATCH: u32 = 8;

/// What may be written twice per kill: the batch that each lane had in hand.
const IN_HAND: i64 = (LANES * BATCH) as i64;

fn request(world: &World) -> ForkRequest {
    let options = ForkOptions { lanes: LANES, batch_entities: BATCH, segment_entities: 20, ..ForkOptions::default() };
    ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_at_any_moment_lose_nothing() {
    const KILLS: u64 = 3;
    let mut moments = Moments::new("workers_killed_at_any_moment_lose_nothing");
    let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let mut worker = world.worker();
    let request = request(&world);
    let log = WriteLog::install(&world, &request, Duration::from_millis(150)).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");

    let stretch = ENTITIES as u64 / (KILLS + 2);
    for kill in 0..KILLS {
        let passed = log.reached(kill * stretch + moments.pick(1..stretch)).await;
        worker.kill9();
        log.next_round().await;
        eprintln!("kill {kill} after {passed} entities");
        worker = world.worker();
    }

    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES as u64, 0));
    log.assert_whole().await;
    let repeated = log.repeated().await;
    eprintln!("entities written again after each kill: {repeated:?}");
    assert_eq!(repeated.len(), KILLS as usize);
    assert!(repeated.iter().all(|again| *again <= IN_HAND), "more than a batch per lane again: {repeated:?}");
    assert_eq!(log.surplus_writes().await, repeated.iter().sum::<i64>(), "nothing is written twice without a kill");
    assert!(worker.stop(), "the last worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_but_not_recorded_is_written_once_more() {
    let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let request = request(&world);
    let log = WriteLog::install(&world, &request, Duration::ZERO).await;

    // Nobody can write the ledger: every lane gets its batch into the slot, and then cannot record it.
    let mut closed = world.database.pool().begin().await.expect("a transaction begins");
    sqlx::query("LOCK TABLE sync_multiplexer.ledger IN SHARE MODE")
        .execute(&mut *closed)
        .await
        .expect("the lock is free");
    let fork = world.start_fork(&request).await.expect("a fork starts");
    until("every lane wants to record a batch", PATIENCE, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks
             WHERE relation = 'sync_multiplexer.ledger'::regclass AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(world.database.pool())
        .await
        .expect("the locks are readable");
        waiting == i64::from(LANES)
    })
    .await;
    worker.kill9();
    log.next_round().await;
    closed.rollback().await.expect("the lock is given back");

    let worker = world.worker();
    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!(result.entities, ENTITIES as u64);
    log.assert_whole().await;
    assert_eq!(log.repeated().await, [IN_HAND], "each lane repeats the batch it had in hand, and nothing else");
    assert!(worker.stop(), "the last worker ends well");
    world.done().await;
}
