//! The worker is killed (SIGKILL) or frozen (SIGSTOP) in the middle of a replay or of catching up: another goes on, nothing is
//! lost, and little is done twice.

use std::time::Duration;

use harness::{World, WorldOptions, progress as shown, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::v1::{ForkOptions, ForkRequest};
use sync_multiplexer::temporal;
use temporalio_client::WorkflowDescribeOptions;
use temporalio_common::protos::temporal::api::enums::v1::PendingActivityState;
use workflows::fork_workflow_id;

use crate::closed_ledger::ClosedLedger;
use crate::moments::Moments;
use crate::write_log::{PATIENCE, WriteLog, assert_whole, progress};

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

    let closed = ClosedLedger::of(&world).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");
    closed.waited_for_by(LANES).await;
    worker.kill9();
    log.next_round().await;
    closed.open().await;

    let worker = world.worker();
    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!(result.entities, ENTITIES as u64);
    log.assert_whole().await;
    assert_eq!(log.repeated().await, [IN_HAND], "each lane repeats the batch it had in hand, and nothing else");
    assert!(worker.stop(), "the last worker ends well");
    world.done().await;
}

/// A frozen worker is taken for dead, and is not: when it wakes up, it goes on with what another attempt works on by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_up_late_does_no_harm() {
    let mut moments = Moments::new("a_worker_that_wakes_up_late_does_no_harm");
    let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let frozen = world.worker();
    // A segment per lane, so that both workers have the same ones in hand for long.
    let options = ForkOptions { segment_entities: 60, ..request(&world).options.unwrap_or_default() };
    let request = ForkRequest { options: Some(options), ..request(&world) };
    let log = WriteLog::install(&world, &request, Duration::from_millis(500)).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");

    let passed = log.reached(moments.pick(1..ENTITIES as u64 / 3)).await;
    let pid = Pid::from_raw(i32::try_from(frozen.pid()).expect("a process id fits"));
    kill(pid, Signal::SIGSTOP).expect("our own child can be frozen");
    let worker = world.worker();
    until("a second attempt at every segment", PATIENCE, async || {
        let description = fork.describe(WorkflowDescribeOptions::default()).await.expect("Temporal answers");
        let pending = &description.raw_description.pending_activities;
        let again = |it: i32| PendingActivityState::try_from(it) == Ok(PendingActivityState::Started);
        pending.iter().filter(|it| it.attempt > 1 && again(it.state)).count() == LANES as usize
    })
    .await;
    kill(pid, Signal::SIGCONT).expect("our own child can be woken");

    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES as u64, 0));
    log.assert_whole().await;
    let surplus = log.surplus_writes().await;
    eprintln!("frozen after {passed} entities, written twice: {surplus}");
    assert!(surplus <= IN_HAND, "more than a batch per lane again: {surplus}");
    assert!(frozen.stop(), "the worker that was frozen ends well");
    assert!(worker.stop(), "the other worker ends well");
    world.done().await;
}

/// Deletions are made twice then, and changes written twice; what is in the slot is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_catching_up_loses_nothing() {
    let mut moments = Moments::new("a_worker_killed_while_catching_up_loses_nothing");
    let mut world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
    let mut worker = world.worker();
    let options = ForkOptions { catch_up_entities: Some(0), ..request(&world).options.unwrap_or_default() };
    let request = ForkRequest { options: Some(options), ..request(&world) };
    let log = WriteLog::install(&world, &request, Duration::from_millis(100)).await;
    let slot = log.slot().to_owned();
    let fork = world.start_fork(&request).await.expect("a fork starts");
    log.reached(ENTITIES as u64 / 2).await;
    let changes = world.platform_job(1, 100).await;
    assert_eq!(changes.deleted.len(), 25);

    // Somewhere in the round that carries them over; each kill may find another one.
    let handle = world.any_workflow(&fork_workflow_id(&request.sync_id, &request.destination_connection_id));
    for kill in 0..2_u64 {
        let aim = 1 + kill * 30 + moments.pick(0..25);
        until("a moment of catching up", PATIENCE, async || {
            let (done, planned) = progress(&world).await;
            let is_catching_up = shown(&handle).await.is_some_and(|it| it.catch_up_round > 0);
            is_catching_up && (done >= aim.min(planned) || planned == 0)
        })
        .await;
        worker.kill9();
        worker = world.worker();
    }

    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert!(result.catch_up_rounds >= 1 && result.dead_letter_count == 0, "{result:?}");
    assert_whole(&world, &slot).await;
    let clean = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("a clean build completes");
    assert!(world.content(&slot).await == world.content(&clean.slot_id).await, "the slot is a clean build");
    assert!(worker.stop(), "the last worker ends well");
    world.done().await;
}
