//! kill -9 of the Temporal server in the middle of a replay: it comes back with its file, and the replay completes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{World, WorldOptions, required_env, until};
use proto::v1::{ForkOptions, ForkRequest};
use sync_multiplexer::stack::{TemporalServer, TemporalServerOptions};
use sync_multiplexer::temporal;
use temporalio_client::WorkflowFetchHistoryOptions;
use temporalio_common::UntypedWorkflow;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use workflows::fork_workflow_id;

use crate::moments::Moments;
use crate::write_log::WriteLog;

/// The heartbeat timeout of a segment, and a bit: after an outage this long, the server counts every attempt as dead.
const LONG_OUTAGE: Duration = Duration::from_secs(12);

/// A server of one's own, and a world on it.
async fn private_world(folder: &Path, entities: usize) -> (TemporalServer, World) {
    let bin = required_env("SYNCMUX_TEMPORAL_BIN");
    let options = TemporalServerOptions::private(Path::new(&bin), folder);
    let server = TemporalServer::start(options).await.expect("a Temporal server starts");
    let world = World::with(WorldOptions { entities, temporal_address: Some(server.address()) }).await;
    (server, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_moment_loses_nothing() {
    const ENTITIES: usize = 240;
    const KILLS: u64 = 2;
    let mut moments = Moments::new("a_server_killed_at_any_moment_loses_nothing");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (mut server, world) = private_world(folder.path(), ENTITIES).await;
    let worker = world.worker();
    let options = ForkOptions { lanes: 4, batch_entities: 8, segment_entities: 20, ..ForkOptions::default() };
    let request = ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) };
    let log = WriteLog::install(&world, &request, Duration::from_millis(300)).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");

    let stretch = ENTITIES as u64 / (KILLS + 2);
    for kill in 0..KILLS {
        let passed = log.reached(kill * stretch + moments.pick(1..stretch)).await;
        server.kill9().await.expect("our own server can be killed");
        eprintln!("kill {kill} after {passed} entities");
        server.restart().await.expect("the server comes back with its file");
    }

    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES as u64, 0));
    log.assert_whole().await;
    let surplus = log.surplus_writes().await;
    eprintln!("entities written twice: {surplus}");
    assert!(surplus <= i64::try_from(KILLS).expect("small") * 4 * 8, "more than a batch per lane again: {surplus}");
    assert!(worker.stop(), "the worker outlived the server and ends well");
    world.done().await;
}

/// After a long outage the server starts a second attempt at each segment, while the first one, which no outage of
/// Temporal stops, is still at work.
#[tokio::test(flavor = "multi_thread")]
async fn two_attempts_at_one_segment_do_not_hurt_each_other() {
    const ENTITIES: usize = 160;
    const LANES: u32 = 2;
    const BATCH: u32 = 4;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (mut server, world) = private_world(folder.path(), ENTITIES).await;
    let worker = world.worker();
    // Two segments of twenty batches of more than a second: at work before, during and after the outage.
    let options = ForkOptions { lanes: LANES, batch_entities: BATCH, segment_entities: 80, ..ForkOptions::default() };
    let request = ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) };
    let log = WriteLog::install(&world, &request, Duration::from_millis(1200)).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");

    log.reached(1).await;
    server.kill9().await.expect("our own server can be killed");
    let down = Instant::now();
    until("the outage is longer than a heartbeat timeout", 2 * LONG_OUTAGE, async || down.elapsed() > LONG_OUTAGE)
        .await;
    server.restart().await.expect("the server comes back with its file");

    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (ENTITIES as u64, 0));
    log.assert_whole().await;
    let surplus = log.surplus_writes().await;
    let attempts = attempts(&world, &request).await;
    eprintln!("attempts at the segments: {attempts:?}, entities written twice: {surplus}");
    assert!(surplus <= i64::from(LANES * BATCH), "more than a batch per lane again: {surplus}");
    assert!(worker.stop(), "the worker outlived the server and ends well");
    world.done().await;
}

/// The last attempt at each segment, in the order of the segments.
async fn attempts(world: &World, request: &ForkRequest) -> Vec<i32> {
    let id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);
    let handle = world.client.get_workflow_handle::<UntypedWorkflow>(id);
    let history = handle.fetch_history(WorkflowFetchHistoryOptions::default()).into_events().await;
    let mut attempts = BTreeMap::new();
    for event in history.expect("the history is readable") {
        match event.attributes {
            Some(Attributes::ActivityTaskScheduledEventAttributes(scheduled))
                if scheduled.activity_type.as_ref().is_some_and(|it| it.name == "replay_segment") =>
            {
                attempts.insert(event.event_id, 0);
            }
            Some(Attributes::ActivityTaskStartedEventAttributes(started)) => {
                if let Some(attempt) = attempts.get_mut(&started.scheduled_event_id) {
                    *attempt = started.attempt;
                }
            }
            _ => {}
        }
    }
    attempts.into_values().collect()
}
