//! Recorded histories replay on today's workflows; a workflow that was changed without care does not.
//!
//! `tests/histories` holds one history per way a journey can end, as the SDK writes them. After a release they are never
//! replaced when a workflow changes: running forks hold histories like them. To add the present ones:
//! `SYNCMUX_RECORD_HISTORIES=<folder>` makes the journeys below write what they ran.

mod changed_switch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::platform_api::{Ending, PlatformServer, PlatformServerOptions};
use harness::{World, WorldOptions, ended, progress, scheduled, signal, until};
use proto::v1::{ForkCollectionRequest, ForkOptions, ForkRequest, SwitchRequest};
use serde_json::Value;
use sync_multiplexer::temporal;
use temporalio_client::{
    Client, NamespacedClient as _, WorkflowCancelOptions, WorkflowExecutionInfo, WorkflowFetchHistoryOptions,
    WorkflowHistory,
};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions,
};
use workflows::domain::ErrorKind;
use workflows::follow::FollowWorkflow;
use workflows::fork::ForkWorkflow;
use workflows::fork_collection::ForkCollectionWorkflow;
use workflows::resync::ResyncWorkflow;
use workflows::retire::RetireWorkflow;
use workflows::switch::SwitchWorkflow;
use workflows::{
    follow_workflow_id, fork_collection_workflow_id, fork_workflow_id, resync_workflow_id, retire_workflow_id,
    switch_workflow_id,
};

use crate::closed_ledger::ClosedLedger;
use crate::write_log::{PATIENCE, WriteLog};
use changed_switch::ChangedSwitch;

/// The ways a journey ends.
const HISTORIES: [&str; 20] = [
    "fork_completed",
    "fork_failed",
    "fork_cancelled",
    "fork_continued_as_new",
    "fork_collection_completed",
    "fork_collection_cancelled",
    "switch_completed",
    "switch_refused",
    "switch_taken_back",
    "rollback_completed",
    "retire_completed",
    "retire_refused",
    "retire_cancelled_too_late",
    "resync_completed",
    "resync_refused",
    "resync_failed",
    "resync_cancelled",
    "follow_completed",
    "follow_continued_as_new",
    "follow_cancelled",
];

/// 60 entities, 20 in a segment.
const SEGMENTS_OF_A_WORLD: u32 = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("histories")
}

fn recorded(name: &str) -> Vec<u8> {
    let file = folder().join(format!("{name}.json"));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn replayer() -> WorkflowReplayer {
    let options = WorkflowReplayerOptions::new()
        .register_workflow::<ForkWorkflow>()
        .and_then(|options| options.register_workflow::<ForkCollectionWorkflow>())
        .and_then(|options| options.register_workflow::<FollowWorkflow>())
        .and_then(|options| options.register_workflow::<SwitchWorkflow>())
        .and_then(|options| options.register_workflow::<RetireWorkflow>())
        .and_then(|options| options.register_workflow::<ResyncWorkflow>())
        .expect("workflows with names of their own");
    WorkflowReplayer::new(options.build()).expect("a replayer can be made")
}

async fn replay(json: &[u8]) -> Result<(), WorkflowReplayError> {
    replayer().replay_workflow(WorkflowHistory::from_json(json).expect("a history reads")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_histories_replay() {
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .expect("there are histories")
        .map(|entry| entry.expect("a folder is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(
        HISTORIES.iter().all(|name| names.iter().any(|it| it.starts_with(name))),
        "a way to end is missing: {names:?}"
    );
    for name in names {
        replay(&recorded(&name)).await.unwrap_or_else(|error| panic!("{name} does not replay any more: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_was_changed_without_care_does_not_replay() {
    let options = WorkflowReplayerOptions::new().register_workflow::<ChangedSwitch>().expect("one workflow").build();
    let replayer = WorkflowReplayer::new(options).expect("a replayer can be made");
    let history = WorkflowHistory::from_json(&recorded("switch_completed")).expect("a history reads");
    let failure = replayer.replay_workflow(history).await;
    assert!(
        matches!(failure, Err(WorkflowReplayError::Replay(WorkflowReplayFailure::Nondeterminism { .. }))),
        "the change went unnoticed: {failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_just_ran_replays() {
    let world = World::with(WorldOptions { entities: 202, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let ids = world.ids;
    let fork_id = |connection: uuid::Uuid| fork_workflow_id(&ids.sync_id.to_string(), &connection.to_string());
    let switch_id = switch_workflow_id(&ids.sync_id.to_string());

    // Few segments: a small history.
    let options = ForkOptions { lanes: 2, batch_entities: 64, segment_entities: 80, ..ForkOptions::default() };
    let request = ForkRequest { options: Some(options), ..world.fork_request(ids.connection_v0) };
    let first = world.fork(&request).await.expect("the fork completes");
    keep(&world, "fork_completed", &fork_id(ids.connection_v0), "").await;

    world.switch(&world.switch_request(&first.slot_id)).await.expect("a ready slot can be promoted");
    keep(&world, "switch_completed", &switch_id, "").await;
    let refused = world.switch(&world.switch_request(&uuid::Uuid::nil().to_string())).await.expect_err("no such slot");
    assert_eq!(refused.kind(), Some(ErrorKind::NotFound), "{refused}");
    keep(&world, "switch_refused", &switch_id, "").await;

    let request = ForkRequest { destination_connection_id: ids.connection_v1.to_string(), ..request };
    let damaged = &world.entity_files()[0];
    let sound = std::fs::read(damaged).expect("an entity is readable");
    std::fs::write(damaged, "{ torn").expect("an entity can be damaged");
    let strict = ForkOptions { dead_letter_budget: Some(0), ..options };
    let failed = world.fork(&ForkRequest { options: Some(strict), ..request.clone() }).await.expect_err("over budget");
    assert_eq!(failed.kind(), Some(ErrorKind::RejectedDocuments), "{failed}");
    keep(&world, "fork_failed", &fork_id(ids.connection_v1), "").await;
    std::fs::write(damaged, sound).expect("an entity can be mended");

    let tiny = ForkOptions { batch_entities: 1, segment_entities: 1, ..options };
    let long = world.fork(&ForkRequest { options: Some(tiny), ..request.clone() }).await.expect("the fork completes");
    keep(&world, "fork_continued_as_new", &fork_id(ids.connection_v1), "").await;
    // The execution before is too long to be kept, but it must replay.
    let before = fetch(&world.client, &fork_id(ids.connection_v1), &long.operation_id).await;
    replay(&before).await.expect("the first of two executions replays");

    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_cancelled_replays_and_leaves_nothing() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    // The replay does not end before it is cancelled: none of its batches can be recorded.
    let closed = ClosedLedger::of(&world).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");
    closed.waited_for_by(SEGMENTS_OF_A_WORLD).await;
    fork.cancel(WorkflowCancelOptions::builder().reason("a drill").build()).await.expect("it can be cancelled");
    closed.open().await;
    let cancelled = temporal::watch_fork(&fork, |_| {}).await.expect_err("it was cancelled");
    assert_eq!(cancelled.kind(), Some(ErrorKind::Conflict), "{cancelled}");
    keep(&world, "fork_cancelled", &fork_workflow_id(&request.sync_id, &request.destination_connection_id), "").await;
    let left: Vec<_> = world.residue().await.into_iter().filter(|(_, rows)| *rows != 0).collect();
    assert!(left.is_empty(), "a cancelled fork left {left:?}");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_was_just_forked_replays() {
    let [first, second] = World::with_syncs(WorldOptions { entities: 20, ..WorldOptions::default() }).await;
    let worker = first.worker();
    let request = ForkCollectionRequest { concurrency: 1, ..first.fork_collection_request(first.ids.connection_v0) };
    let id = fork_collection_workflow_id(&request.collection_id, &request.destination_connection_id);
    let manifest = second.store().join("manifest.json");
    let sound = std::fs::read(&manifest).expect("a manifest is readable");
    std::fs::write(&manifest, "{ torn").expect("a manifest can be damaged");
    let result = first.fork_collection(&request).await.expect("one of two is a success to tell of");
    assert_eq!((result.ready, result.failed), (1, 1), "{result:?}");
    keep(&first, "fork_collection_completed", &id, "").await;
    std::fs::write(&manifest, sound).expect("a manifest can be mended");

    // Both are changed, so that both replay, and neither ends before it is cancelled.
    for world in [&first, &second] {
        world.put_entity(&world.entity_ids[0], "changed");
    }
    let closed = ClosedLedger::of(&first).await;
    let request = ForkCollectionRequest { concurrency: 2, ..request };
    let fork = first.start_fork_collection(&request).await.expect("it starts");
    closed.waited_for_by(2).await;
    let handle = first.any_workflow(&id);
    signal(&handle, "pause", vec![]).await;
    until("the pause to be passed on", PATIENCE, async || scheduled_signals(&first, &id).await == 2).await;
    fork.cancel(WorkflowCancelOptions::builder().reason("a drill").build()).await.expect("it can be cancelled");
    closed.open().await;
    let watched = temporal::watch_fork_collection(&first.client, &request, &fork, |_| {}).await;
    let cancelled = watched.expect_err("it was cancelled");
    assert_eq!(cancelled.kind(), Some(ErrorKind::Conflict), "{cancelled}");
    keep(&first, "fork_collection_cancelled", &id, "").await;
    assert!(worker.stop(), "the worker ends well");
    first.done().await;
}

/// How many signals a workflow sent that were delivered.
async fn scheduled_signals(world: &World, workflow_id: &str) -> usize {
    let handle = world.any_workflow(workflow_id);
    let history = handle.fetch_history(WorkflowFetchHistoryOptions::builder().build());
    let events = history.into_events().await.expect("the history can be read");
    let delivered = events.iter().filter(|event| {
        matches!(event.attributes, Some(Attributes::ExternalWorkflowExecutionSignaledEventAttributes(_)))
    });
    delivered.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_continuation_replays_and_keeps_what_is_there() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    let log = WriteLog::install(&world, &request, Duration::from_millis(300)).await;
    let fork = world.start_fork(&request).await.expect("a fork starts");
    let carried = log.reached(1).await;
    fork.cancel(WorkflowCancelOptions::builder().reason("a drill").build()).await.expect("it can be cancelled");
    let cancelled = temporal::watch_fork(&fork, |_| {}).await.expect_err("it was cancelled");
    assert_eq!(cancelled.kind(), Some(ErrorKind::Conflict), "{cancelled}");
    let workflow_id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);
    replay(&fetch(&world.client, &workflow_id, "").await).await.expect("it replays");

    let rest = world.fork(&request).await.expect("the slot can be continued");
    assert!(rest.unchanged >= carried, "{} of {carried} entities were kept", rest.unchanged);
    assert_eq!(rest.unchanged + rest.entities, 60);
    log.assert_whole().await;
    let surplus = log.surplus_writes().await;
    assert!(surplus <= i64::from(SEGMENTS_OF_A_WORLD) * 8, "more than a batch per lane again: {surplus}");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_rolled_back_and_retired_replays() {
    let world = World::new().await;
    let worker = world.worker();
    let mut slots = Vec::new();
    for connection in [world.ids.connection_v0, world.ids.connection_v1] {
        let forked = world.fork(&world.fork_request(connection)).await.expect("the fork completes");
        world.switch(&world.switch_request(&forked.slot_id)).await.expect("a ready slot can be promoted");
        slots.push(forked.slot_id);
    }
    let switch_id = switch_workflow_id(&world.ids.sync_id.to_string());
    let held = world.hold_verifications().await;
    let short = SwitchRequest { time_limit_seconds: 2, ..rollback_to(&world, &slots[0]) };
    let taken_back = world.switch(&short).await.expect_err("it stands behind its fence for too long");
    assert_eq!(taken_back.kind(), Some(ErrorKind::Timeout), "{taken_back}");
    keep(&world, "switch_taken_back", &switch_id, "").await;
    held.rollback().await.expect("the lock can be given back");

    // A job is waited for first.
    let job = world.insert_job("running").await;
    let waiting = temporal::start_rollback(&world.client, &world.task_queue, world.rollback_request()).await;
    let handle = world.any_workflow(&switch_id);
    until("it waits", PATIENCE, async || progress(&handle).await.is_some_and(|it| it.phase == "wait")).await;
    world.end_job(job).await;
    temporal::wait_switch(&waiting.expect("the rollback starts")).await.expect("the slot before is kept");
    keep(&world, "rollback_completed", &switch_id, "").await;

    let left = &slots[1];
    let refused = world.retire(&world.retire_request(left)).await.expect_err("it is kept for a rollback");
    assert_eq!(refused.kind(), Some(ErrorKind::Conflict), "{refused}");
    keep(&world, "retire_refused", &retire_workflow_id(left), "").await;
    world.end_window(left).await;
    world.retire(&world.retire_request(left)).await.expect("its window is over");
    keep(&world, "retire_completed", &retire_workflow_id(left), "").await;

    let slot = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("the fork completes").slot_id;
    let held = world.hold_points(&slot).await;
    let retire = world.start_retire(&world.retire_request(&slot)).await.expect("a retire starts");
    until("the points are being removed", PATIENCE, async || world.waiting_for_points(&slot).await > 0).await;
    retire.cancel(WorkflowCancelOptions::builder().reason("a drill").build()).await.expect("it can be cancelled");
    let handle = world.any_workflow(&retire_workflow_id(&slot));
    until("it goes on", PATIENCE, async || scheduled(&handle, "remove_points").await == 2).await;
    held.rollback().await.expect("the lock can be given back");
    assert!(temporal::wait_retire(&retire).await.expect("the retire completes").cancelled_too_late);
    keep(&world, "retire_cancelled_too_late", &retire_workflow_id(&slot), "").await;
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

fn rollback_to(world: &World, slot: &str) -> SwitchRequest {
    SwitchRequest { rollback: true, reason: "a drill".to_owned(), ..world.switch_request(slot) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_resynced_replays() {
    let world = World::new().await;
    let platform = PlatformServer::start(&world, PlatformServerOptions::default()).await;
    let worker = world.worker_at(&platform);
    world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes");
    let id = resync_workflow_id(&world.ids.sync_id.to_string());
    platform.change_source(1, 8).await;
    world.resync(&world.resync_request()).await.expect("the resync completes");
    keep(&world, "resync_completed", &id, "").await;

    platform.end_next(Ending::Empty);
    let failed = world.resync(&world.resync_request()).await.expect_err("it saw nothing");
    assert_eq!(failed.kind(), Some(ErrorKind::VerificationFailed), "{failed}");
    keep(&world, "resync_failed", &id, "").await;

    platform.hold_jobs();
    platform.start_job(true).await;
    let refused = world.resync(&world.resync_request()).await.expect_err("a job runs");
    assert_eq!(refused.kind(), Some(ErrorKind::Conflict), "{refused}");
    keep(&world, "resync_refused", &id, "").await;
    platform.let_jobs_go();
    until("it has ended", PATIENCE, async || platform.jobs().await.iter().all(|(_, it)| it == "completed")).await;

    platform.hold_jobs();
    let resync = world.start_resync(&world.resync_request()).await.expect("a resync starts");
    world.until_job_is("running").await;
    resync.cancel(WorkflowCancelOptions::builder().reason("a drill").build()).await.expect("it can be cancelled");
    let cancelled = temporal::watch_resync(&resync, |_| {}).await.expect_err("it was cancelled");
    assert_eq!(cancelled.kind(), Some(ErrorKind::Conflict), "{cancelled}");
    keep(&world, "resync_cancelled", &id, "").await;
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

/// More rounds than one execution does.
const ROUNDS: u64 = 22;

#[tokio::test(flavor = "multi_thread")]
async fn what_just_followed_replays() {
    let mut world = World::new().await;
    let worker = world.worker();
    let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
    let id = follow_workflow_id(&world.ids.sync_id.to_string());
    let handle = world.any_workflow(&id);
    let caught_up = async || {
        let shown = progress(&handle).await.and_then(|it| it.followed.first().cloned());
        shown.map_or(0, |it| it.caught_up_at_ms)
    };
    for round in 0..ROUNDS {
        if round % 7 == 3 {
            world.platform_job(u32::try_from(round).expect("few rounds"), 4).await;
        }
        let before = caught_up().await;
        signal(&handle, "now", vec![]).await;
        until("a round", PATIENCE, async || caught_up().await > before).await;
    }
    let first: String =
        sqlx::query_scalar("SELECT operation_id::text FROM sync_multiplexer.operation WHERE kind = 'follow'")
            .fetch_one(world.database.pool())
            .await
            .expect("the operation is named after the first execution");
    keep(&world, "follow_continued_as_new", &id, &first).await;
    world.retire(&world.retire_request(&slot)).await.expect("a shadow can be retired");
    signal(&handle, "now", vec![]).await;
    ended(&handle).await;
    keep(&world, "follow_completed", &id, "").await;

    world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes");
    signal(&handle, "pause", vec![]).await;
    until("the pause", PATIENCE, async || progress(&handle).await.is_some_and(|it| it.paused)).await;
    handle.cancel(WorkflowCancelOptions::default()).await.expect("it can be cancelled");
    ended(&handle).await;
    keep(&world, "follow_cancelled", &id, "").await;
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

async fn fetch(client: &Client, workflow_id: &str, run_id: &str) -> Vec<u8> {
    WorkflowExecutionInfo::builder()
        .namespace(client.namespace())
        .workflow_id(workflow_id)
        .run_id(run_id.to_owned())
        .build()
        .bind_untyped(client.clone())
        .fetch_history(WorkflowFetchHistoryOptions::default())
        .to_json()
        .await
        .expect("the history is readable")
}

/// Replays what just ran, without what says where it ran; and writes it down if that is wanted.
async fn keep(world: &World, name: &str, workflow_id: &str, run_id: &str) {
    let json = fetch(&world.client, workflow_id, run_id).await;
    let mut history: Value = serde_json::from_slice(&json).expect("a history is JSON");
    forget_the_machine(&mut history);
    let json = serde_json::to_vec(&history).expect("JSON can be written");
    replay(&json).await.unwrap_or_else(|error| panic!("{name} just ran and does not replay: {error}"));
    if let Some(folder) = std::env::var_os("SYNCMUX_RECORD_HISTORIES") {
        let file = PathBuf::from(folder).join(format!("{name}.json"));
        std::fs::write(&file, json).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// Replaces process ids, host names and queues of processes, which replaying does not look at.
fn forget_the_machine(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), &mut *field) {
                    ("identity", Value::String(text)) => "syncmux@1".clone_into(text),
                    ("name", Value::String(text)) if text.starts_with("syncmux@") => "syncmux@1-queue".clone_into(text),
                    (_, field) => forget_the_machine(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget_the_machine),
        _ => {}
    }
}
