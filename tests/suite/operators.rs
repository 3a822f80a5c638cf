//! What operators do to a fork that runs: pause, resume, throttle, cancel, terminate, and mistype.
//!
//! A fork is held in the middle of its replay by a lock on the ledger: every lane works until its first checkpoint and
//! waits there. So these tests know where a fork is without waiting for a moment.

use std::time::Duration;

use harness::{AnyWorkflow, Ended, World, ended, payload, progress, signal, until, until_some};
use proto::v1::{ForkOptions, ForkRequest, Progress, Throttle};
use sqlx::{Postgres, Transaction};
use temporalio_client::errors::WorkflowUpdateError;
use temporalio_client::{UntypedUpdate, WorkflowCancelOptions, WorkflowExecuteUpdateOptions, WorkflowTerminateOptions};
use temporalio_common::data_converters::RawValue;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use workflows::fork_workflow_id;

/// For a state that is a few round trips away.
pub(crate) const SHORTLY: Duration = Duration::from_secs(30);

/// Keeps every replay of the world from passing its next checkpoint, until it is dropped or rolled back.
pub(crate) async fn hold(world: &World) -> Transaction<'static, Postgres> {
    let mut transaction = world.database.pool().begin().await.expect("a transaction begins");
    sqlx::query("LOCK TABLE sync_multiplexer.ledger_page IN EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await
        .expect("the ledger can be locked");
    transaction
}

pub(crate) async fn let_go(held: Transaction<'static, Postgres>) {
    held.rollback().await.expect("the lock can be given back");
}

/// Twelve segments of five, worked on by `lanes`.
fn request(world: &World, lanes: u32) -> ForkRequest {
    let options = ForkOptions { lanes, batch_entities: 5, segment_entities: 5, ..ForkOptions::default() };
    ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) }
}

async fn start(world: &World, request: &ForkRequest) -> AnyWorkflow {
    world.start_fork(request).await.expect("the fork starts");
    world.any_workflow(&fork_workflow_id(&request.sync_id, &request.destination_connection_id))
}

/// Waits until the fork is where `state` says.
pub(crate) async fn at(handle: &AnyWorkflow, what: &str, state: impl Fn(&Progress) -> bool) -> Progress {
    until_some(what, SHORTLY, || async { progress(handle).await.filter(&state) }).await
}

pub(crate) async fn assert_undone(world: &World) {
    for (what, count) in world.residue().await {
        assert_eq!(count, 0, "{what} is left");
    }
    assert_eq!(operation_state(world).await, "cancelled");
}

async fn operation_state(world: &World) -> String {
    sqlx::query_scalar("SELECT state FROM sync_multiplexer.operation ORDER BY started_at DESC LIMIT 1")
        .fetch_one(world.database.pool())
        .await
        .expect("the operation is recorded")
}

/// What the update `throttle` answers, or the words it is refused with.
async fn throttle(handle: &AnyWorkflow, argument: Payload) -> Result<Throttle, String> {
    let update = UntypedUpdate::new("throttle");
    let options = WorkflowExecuteUpdateOptions::default();
    match handle.execute_update(update, RawValue::new(vec![argument]), options).await {
        Ok(answer) => Ok(serde_json::from_slice(&answer.payloads[0].data).expect("the answer is a throttle")),
        Err(WorkflowUpdateError::Failed(failure)) => Err(failure.message),
        Err(other) => panic!("the update was not answered: {other}"),
    }
}

fn lanes(count: u32) -> Payload {
    payload("json/plain", format!("{{\"lanes\": {count}}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_the_replay_between_segments_and_resume_goes_on() {
    let world = World::new().await;
    let held = hold(&world).await;
    let handle = start(&world, &request(&world, 3)).await;
    let worker = world.worker();
    let replaying = at(&handle, "three lanes", |it| it.phase == "replay" && it.segments_in_flight == 3).await;
    assert_eq!((replaying.segments_total, replaying.entities_total, replaying.paused), (12, 60, false));

    signal(&handle, "pause", vec![]).await;
    at(&handle, "the pause", |it| it.paused).await;
    let_go(held).await;
    let paused = at(&handle, "the lanes to run dry", |it| it.segments_in_flight == 0).await;
    // What was in flight was finished; nothing else was begun.
    assert_eq!((paused.segments_done, paused.entities_done, paused.paused), (3, 15, true));
    assert_eq!(world.stored_entities(&paused.slot_id).await.len(), 15);
    signal(&handle, "pause", vec![]).await;
    assert_eq!(progress(&handle).await.expect("a paused fork answers").segments_done, 3);

    signal(&handle, "resume", vec![]).await;
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    let done = progress(&handle).await.expect("a finished fork answers");
    assert_eq!((done.phase.as_str(), done.segments_done, done.entities_done), ("done", 12, 60));
    assert_eq!(world.stored_entities(&done.slot_id).await.len(), 60);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_paused_before_any_worker_saw_it_begins_nothing() {
    let world = World::new().await;
    let handle = start(&world, &request(&world, 4)).await;
    signal(&handle, "pause", vec![]).await;
    let worker = world.worker();
    let paused = at(&handle, "an answer", |it| it.paused).await;
    assert_eq!(paused.phase, "start");
    assert_eq!(world.list().slots.len(), 0);
    signal(&handle, "resume", vec![]).await;
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_changes_the_lanes_and_a_wrong_one_is_answered() {
    let world = World::new().await;
    let held = hold(&world).await;
    let handle = start(&world, &request(&world, 1)).await;
    let worker = world.worker();
    at(&handle, "one lane", |it| it.segments_in_flight == 1).await;

    for (argument, words) in [
        (lanes(0), "lanes must be between 1 and 64, got 0"),
        (lanes(65), "lanes must be between 1 and 64, got 65"),
        (payload("json/plain", "{\"lanes\": \"x\"}"), ""),
        (payload("json/plain", "garbage"), ""),
    ] {
        let refused = throttle(&handle, argument).await.expect_err("it is refused");
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(throttle(&handle, lanes(3)).await, Ok(Throttle { lanes: 3, ..Throttle::default() }));
    at(&handle, "three lanes", |it| it.segments_in_flight == 3).await;
    signal(&handle, "throttle", vec![lanes(5)]).await;
    at(&handle, "five lanes", |it| it.segments_in_flight == 5).await;
    // A wrong signal changes nothing: the update that follows it would wait behind a wedge.
    signal(&handle, "throttle", vec![lanes(0)]).await;
    assert_eq!(throttle(&handle, lanes(4)).await, Ok(Throttle { lanes: 4, ..Throttle::default() }));
    assert_eq!(progress(&handle).await.expect("an answer").segments_in_flight, 5, "what runs is not cut off");

    let_go(held).await;
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_signal_wedges_nothing() {
    let world = World::new().await;
    let held = hold(&world).await;
    let handle = start(&world, &request(&world, 2)).await;
    let worker = world.worker();
    at(&handle, "two lanes", |it| it.segments_in_flight == 2).await;
    let garbage = || {
        [
            vec![payload("json/plain", "\"x\"")],
            vec![payload("json/plain", "{torn")],
            vec![payload("json/plain", [0xff, 0xfe])],
            vec![payload("binary/encrypted", [1, 2, 3])],
            vec![Payload::default()],
            vec![lanes(9), lanes(9)],
        ]
    };
    for payloads in garbage() {
        signal(&handle, "throttle", payloads).await;
    }
    for payloads in garbage() {
        signal(&handle, "pause", payloads).await;
    }
    at(&handle, "the pause", |it| it.paused).await;
    for payloads in garbage() {
        signal(&handle, "resume", payloads).await;
    }
    signal(&handle, "no such signal", vec![payload("json/plain", "1")]).await;
    let resumed = at(&handle, "the end of the pause", |it| !it.paused).await;
    assert_eq!(resumed.segments_in_flight, 2, "no lane was added by a signal that cannot be read");
    let_go(held).await;
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_replay_takes_everything_back() {
    let world = World::new().await;
    let held = hold(&world).await;
    let handle = start(&world, &request(&world, 4)).await;
    let worker = world.worker();
    let replaying = at(&handle, "four lanes", |it| it.segments_in_flight == 4).await;
    // The first batches are written already; only their record waits.
    until("points in the slot", SHORTLY, || async { world.stored_entities(&replaying.slot_id).await.len() == 20 })
        .await;
    handle.cancel(WorkflowCancelOptions::default()).await.expect("a fork can be cancelled");
    let_go(held).await;
    assert_eq!(ended(&handle).await, Ended::Cancelled);
    assert_undone(&world).await;
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_can_be_cancelled_while_it_is_paused() {
    let world = World::new().await;
    let held = hold(&world).await;
    let handle = start(&world, &request(&world, 2)).await;
    let worker = world.worker();
    at(&handle, "two lanes", |it| it.segments_in_flight == 2).await;
    signal(&handle, "pause", vec![]).await;
    at(&handle, "the pause", |it| it.paused).await;
    let_go(held).await;
    at(&handle, "the lanes to run dry", |it| it.segments_in_flight == 0 && it.segments_done == 2).await;

    handle.cancel(WorkflowCancelOptions::default()).await.expect("a fork can be cancelled");
    assert_eq!(ended(&handle).await, Ended::Cancelled);
    assert_undone(&world).await;
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_fork_that_continues_a_slot_leaves_the_slot() {
    let world = World::new().await;
    let worker = world.worker();
    let first = world.fork(&request(&world, 4)).await.expect("the fork completes");
    for number in 0..20 {
        world.put_entity(&format!("later {number}"), "written since");
    }
    let held = hold(&world).await;
    let handle = start(&world, &request(&world, 2)).await;
    at(&handle, "two lanes", |it| it.segments_in_flight == 2).await;
    handle.cancel(WorkflowCancelOptions::default()).await.expect("a fork can be cancelled");
    let_go(held).await;
    assert_eq!(ended(&handle).await, Ended::Cancelled);
    assert_eq!(operation_state(&world).await, "cancelled");
    let left = world.stored_entities(&first.slot_id).await;
    assert!(world.entity_ids.iter().all(|id| left.contains(id)), "what another operation wrote is not taken back");

    let again = world.fork(&request(&world, 4)).await.expect("it goes on");
    assert_eq!((&again.slot_id, again.listed, again.continued), (&first.slot_id, 80, true));
    assert_eq!(world.stored_entities(&first.slot_id).await.len(), 80);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_fork_is_gone_on_with_by_the_next() {
    let world = World::new().await;
    let held = hold(&world).await;
    let handle = start(&world, &request(&world, 2)).await;
    let worker = world.worker();
    let before = at(&handle, "two lanes", |it| it.segments_in_flight == 2).await;
    signal(&handle, "pause", vec![]).await;
    at(&handle, "the pause", |it| it.paused).await;
    let_go(held).await;
    at(&handle, "the lanes to run dry", |it| it.segments_in_flight == 0 && it.segments_done == 2).await;
    handle.terminate(WorkflowTerminateOptions::default()).await.expect("a fork can be terminated");
    assert_eq!(ended(&handle).await, Ended::Terminated);

    let result = world.fork(&request(&world, 4)).await.expect("the next fork goes on");
    assert_eq!((&result.slot_id, result.continued), (&before.slot_id, true));
    assert_eq!((result.listed, result.unchanged, result.entities), (60, 10, 50), "from its checkpoints");
    let mut expected = world.entity_ids.clone();
    expected.sort();
    assert_eq!(world.stored_entities(&result.slot_id).await, expected);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_that_outlive_their_terminated_fork_do_no_harm() {
    let world = World::new().await;
    let held = hold(&world).await;
    let handle = start(&world, &request(&world, 4)).await;
    let worker = world.worker();
    at(&handle, "four lanes", |it| it.segments_in_flight == 4).await;
    handle.terminate(WorkflowTerminateOptions::default()).await.expect("a fork can be terminated");
    assert_eq!(ended(&handle).await, Ended::Terminated);

    // The lanes of the first still wait for the lock when the second begins.
    let next = start(&world, &request(&world, 4)).await;
    at(&next, "the second fork", |it| it.phase == "plan" || it.segments_in_flight > 0).await;
    let_go(held).await;
    assert!(matches!(ended(&next).await, Ended::Completed(_)));
    let slot = world.list().slots[0].slot_id.clone();
    let mut expected = world.entity_ids.clone();
    expected.sort();
    assert_eq!(world.stored_entities(&slot).await, expected);
    drop(worker);
    world.done().await;
}
