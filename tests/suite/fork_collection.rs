//! Forking a collection: every sync of it, a bounded number at a time, and what is told of each.
//!
//! A fork is held in the middle of its replay by a lock on the ledger, or before its slot is made by a lock on its sync; so
//! these tests know where a fork is without waiting for a moment.

use std::time::Duration;

use harness::{AnyWorkflow, Ended, World, WorldOptions, ended, payload, progress, signal, until_some};
use proto::v1::{ForkCollectionRequest, ForkCollectionResult, Progress, SyncFork, Throttle};
use sqlx::{Postgres, Transaction};
use temporalio_client::{UntypedUpdate, WorkflowCancelOptions, WorkflowExecuteUpdateOptions};
use temporalio_common::data_converters::RawValue;
use uuid::Uuid;
use workflows::domain::ErrorKind;
use workflows::{fork_collection_workflow_id, fork_workflow_id};

/// For a state that is a few round trips away.
const SHORTLY: Duration = Duration::from_secs(60);

const SMALL: WorldOptions = WorldOptions { entities: 24, temporal_address: None };

/// Keeps every replay of the worlds from passing its next checkpoint.
async fn hold(world: &World) -> Transaction<'static, Postgres> {
    let mut transaction = world.database.pool().begin().await.expect("a transaction begins");
    sqlx::query("LOCK TABLE sync_multiplexer.ledger_page IN EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await
        .expect("the ledger can be locked");
    transaction
}

/// Keeps everybody from making a slot of a sync that has none yet.
async fn hold_sync(world: &World) -> Transaction<'static, Postgres> {
    let mut transaction = world.database.pool().begin().await.expect("a transaction begins");
    sqlx::query("INSERT INTO sync_multiplexer.sync_state (sync_id, organization_id) VALUES ($1, $2)")
        .bind(world.ids.sync_id)
        .bind(world.ids.organization_id)
        .execute(&mut *transaction)
        .await
        .expect("nothing happened to the sync yet");
    transaction
}

async fn let_go(held: Transaction<'static, Postgres>) {
    held.rollback().await.expect("the lock can be given back");
}

async fn start(world: &World, request: &ForkCollectionRequest) -> AnyWorkflow {
    world.start_fork_collection(request).await.expect("it starts");
    world.any_workflow(&fork_collection_workflow_id(&request.collection_id, &request.destination_connection_id))
}

/// The fork of one sync of the collection.
fn fork_of(world: &World) -> AnyWorkflow {
    world.any_workflow(&fork_workflow_id(&world.ids.sync_id.to_string(), &world.ids.connection_v0.to_string()))
}

async fn at(handle: &AnyWorkflow, what: &str, state: impl Fn(&Progress) -> bool) -> Progress {
    until_some(what, SHORTLY, || async { progress(handle).await.filter(&state) }).await
}

fn in_state(syncs: &[SyncFork], state: &str) -> usize {
    syncs.iter().filter(|fork| fork.state == state).count()
}

async fn completed(handle: &AnyWorkflow) -> ForkCollectionResult {
    match ended(handle).await {
        Ended::Completed(payload) => serde_json::from_slice(&payload.data).expect("a result is JSON"),
        other => panic!("the fork of the collection did not complete: {other:?}"),
    }
}

async fn cancel(handle: &AnyWorkflow) {
    handle.cancel(WorkflowCancelOptions::builder().reason("a test").build()).await.expect("it can be cancelled");
}

/// Kind and state of the operations about the collection, or of those about one sync each.
async fn operations(world: &World, of_collection: bool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT kind || ' ' || state FROM sync_multiplexer.operation
         WHERE (collection_id IS NOT NULL) = $1 ORDER BY started_at, operation_id",
    )
    .bind(of_collection)
    .fetch_all(world.database.pool())
    .await
    .expect("the operations are recorded")
}

fn assert_holds(world: &World, stored: &[String]) {
    let mut expected = world.entity_ids.clone();
    expected.sort();
    assert_eq!(stored, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sync_is_forked_and_one_that_fails_stops_no_other() {
    let [first, broken, third] = World::with_syncs::<3>(SMALL).await;
    let worker = first.worker();
    let (manifest, aside) = (broken.store().join("manifest.json"), broken.store().join("aside"));
    std::fs::rename(&manifest, &aside).expect("the manifest can be moved away");
    let request = ForkCollectionRequest {
        operation_id: Uuid::new_v4().to_string(),
        ..first.fork_collection_request(first.ids.connection_v0)
    };

    let result = first.fork_collection(&request).await.expect("two of three are a success to tell of");
    assert_eq!((result.ready, result.failed, result.cancelled), (2, 1, 0), "{result:?}");
    for (world, fork) in [&first, &broken, &third].into_iter().zip(&result.syncs) {
        assert_eq!(fork.sync_id, world.ids.sync_id.to_string(), "in the order of the syncs");
    }
    let [one, failed, three] = result.syncs.as_slice() else { panic!("three syncs") };
    assert_eq!((failed.state.as_str(), failed.slot_id.as_str()), ("failed", ""));
    assert_eq!(failed.error_kind.parse(), Ok(ErrorKind::RawStoreInvalid), "{failed:?}");
    assert!(failed.error_message.contains("manifest"), "{failed:?}");
    assert_eq!(broken.list().slots, [], "it took back what it made");
    for (world, fork) in [(&first, one), (&third, three)] {
        assert_eq!((fork.state.as_str(), fork.entities, fork.dead_letter_count), ("ready", 24, 0));
        assert_holds(world, &world.stored_entities(&fork.slot_id).await);
        assert_eq!(world.list().slots.len(), 1);
    }
    assert_eq!(operations(&first, true).await, ["fork completed"]);
    let of_syncs = operations(&first, false).await;
    assert_eq!(of_syncs.iter().filter(|it| *it == "fork completed").count(), 2, "{of_syncs:?}");
    let handle =
        first.any_workflow(&fork_collection_workflow_id(&request.collection_id, &request.destination_connection_id));
    let shown = progress(&handle).await.expect("a finished workflow answers");
    assert_eq!((shown.phase.as_str(), &shown.syncs), ("done", &result.syncs));

    assert_eq!(first.fork_collection(&request).await.expect("the same operation again"), result);
    std::fs::rename(&aside, &manifest).expect("the manifest can be moved back");
    let again = ForkCollectionRequest { operation_id: String::new(), concurrency: 16, ..request };
    let result = first.fork_collection(&again).await.expect("now all are forked");
    assert_eq!((result.ready, result.failed), (3, 0), "{result:?}");
    assert_eq!([result.syncs[0].entities, result.syncs[1].entities], [0, 24], "what is there is not written again");
    assert_eq!(result.syncs[0].slot_id, one.slot_id);
    assert_holds(&broken, &broken.stored_entities(&result.syncs[1].slot_id).await);
    drop(worker);
    first.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_every_fork_and_waits_for_its_end() {
    let [first, second, third] = World::with_syncs::<3>(SMALL).await;
    let held = hold(&first).await;
    let request = first.fork_collection_request(first.ids.connection_v0);
    let handle = start(&first, &request).await;
    let worker = first.worker();
    for world in [&first, &second] {
        at(&fork_of(world), "a replay", |it| it.phase == "replay" && it.segments_in_flight > 0).await;
    }
    let shown = progress(&handle).await.expect("an answer").syncs;
    assert_eq!((in_state(&shown, "running"), in_state(&shown, "waiting")), (2, 1), "{shown:?}");
    cancel(&handle).await;
    let_go(held).await;
    assert_eq!(ended(&handle).await, Ended::Cancelled);
    for world in [&first, &second] {
        // Not waited for: the whole ended after them.
        assert!(matches!(ended(&fork_of(world)).await, Ended::Cancelled));
    }
    assert_eq!(progress(&fork_of(&third)).await, None, "the third was never begun");
    for (what, count) in first.residue().await {
        assert_eq!(count, 0, "{what} is left");
    }
    assert_eq!(operations(&first, true).await, ["fork cancelled"]);
    assert_eq!(operations(&first, false).await, ["fork cancelled", "fork cancelled"]);
    drop(worker);
    first.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ready_before_a_cancellation_is_told() {
    let [first, second] = World::with_syncs::<2>(SMALL).await;
    let held = hold_sync(&second).await;
    let worker = first.worker();
    let request = ForkCollectionRequest { concurrency: 1, ..first.fork_collection_request(first.ids.connection_v0) };
    let handle = start(&first, &request).await;
    at(&handle, "the second sync's turn", |it| in_state(&it.syncs, "ready") == 1).await;
    at(&fork_of(&second), "its fork to wait for its slot", |it| it.phase == "create").await;
    cancel(&handle).await;
    let_go(held).await;

    let result = completed(&handle).await;
    assert_eq!((result.ready, result.failed, result.cancelled), (1, 0, 1), "{result:?}");
    assert_eq!(result.syncs[1].state, "cancelled");
    assert_holds(&first, &first.stored_entities(&result.syncs[0].slot_id).await);
    assert_eq!(second.list().slots, []);
    assert_eq!(operations(&first, true).await, ["fork completed"], "what is there is no failure");
    drop(worker);
    first.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_reaches_the_forks_that_run_and_a_throttle_those_that_wait() {
    let [first, second, third] = World::with_syncs::<3>(SMALL).await;
    let held = hold(&first).await;
    let worker = first.worker();
    let request = ForkCollectionRequest { concurrency: 1, ..first.fork_collection_request(first.ids.connection_v0) };
    let handle = start(&first, &request).await;
    at(&fork_of(&first), "the first replay", |it| it.phase == "replay").await;
    assert_eq!(in_state(&progress(&handle).await.expect("an answer").syncs, "running"), 1);

    // More than there may be is refused by the update and ignored by the signal.
    signal(&handle, "throttle", vec![payload("json/plain", "{\"lanes\": 17}")]).await;
    let throttle = |lanes: u32| {
        let argument = payload("json/plain", format!("{{\"lanes\": {lanes}}}"));
        let options = WorkflowExecuteUpdateOptions::default();
        handle.execute_update(UntypedUpdate::new("throttle"), RawValue::new(vec![argument]), options)
    };
    assert!(throttle(17).await.is_err(), "at most sixteen");
    let answer = throttle(2).await.expect("the update is answered");
    assert_eq!(serde_json::from_slice::<Throttle>(&answer.payloads[0].data).expect("a throttle").lanes, 2);
    at(&fork_of(&second), "the second replay", |it| it.phase == "replay").await;

    signal(&handle, "pause", vec![]).await;
    for world in [&first, &second] {
        at(&fork_of(world), "the pause to reach the fork", |it| it.paused).await;
    }
    throttle(3).await.expect("the update is answered");
    assert_eq!(in_state(&progress(&handle).await.expect("an answer").syncs, "waiting"), 1, "none is begun in a pause");
    let_go(held).await;
    at(&fork_of(&first), "its lanes to run dry", |it| it.segments_in_flight == 0).await;
    assert_eq!(progress(&fork_of(&third)).await, None);

    signal(&handle, "resume", vec![]).await;
    let result = completed(&handle).await;
    assert_eq!((result.ready, result.failed), (3, 0), "{result:?}");
    drop(worker);
    first.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_runs_already_is_left_alone_and_told() {
    let [first, second] = World::with_syncs::<2>(SMALL).await;
    let held = hold(&first).await;
    let worker = first.worker();
    let running = second.fork_request(second.ids.connection_v0);
    second.start_fork(&running).await.expect("an ordinary fork starts");
    at(&fork_of(&second), "its replay", |it| it.phase == "replay").await;
    let request = first.fork_collection_request(first.ids.connection_v0);
    let handle = start(&first, &request).await;
    at(&handle, "the conflict", |it| in_state(&it.syncs, "failed") == 1).await;
    let_go(held).await;

    let result = completed(&handle).await;
    assert_eq!((result.ready, result.failed), (1, 1), "{result:?}");
    let told = &result.syncs[1];
    assert_eq!((told.error_kind.as_str(), told.operation_id.as_str()), ("Conflict", ""));
    assert!(told.error_message.contains("is running: wait for its end"), "{told:?}");
    assert!(matches!(ended(&fork_of(&second)).await, Ended::Completed(_)), "the other fork went on");

    // When not one can be begun, nothing was done, and that is a failure.
    let held = hold(&first).await;
    for world in [&first, &second] {
        // Something to write, so that the replay is held.
        world.put_entity(&world.entity_ids[0], "changed");
        world.start_fork(&world.fork_request(world.ids.connection_v0)).await.expect("an ordinary fork starts");
    }
    let failure = first.fork_collection(&request).await.expect_err("nothing could be begun");
    assert_eq!(failure.kind(), Some(ErrorKind::Conflict), "{failure}");
    assert!(failure.to_string().contains("no sync of the collection could be forked"), "{failure}");
    let_go(held).await;
    for world in [&first, &second] {
        assert!(matches!(ended(&fork_of(world)).await, Ended::Completed(_)));
    }
    drop(worker);
    first.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_is_refused_as_a_whole() {
    let [world, _second] = World::with_syncs::<2>(WorldOptions { entities: 1, ..SMALL }).await;
    let worker = world.worker();
    let plain = world.fork_collection_request(world.ids.connection_v0);
    let qdrant = world.connect_destination("qdrant", serde_json::json!({ "url": "http://127.0.0.1:1" })).await;
    for (request, kind, words) in [
        (ForkCollectionRequest { concurrency: 17, ..plain.clone() }, ErrorKind::InvalidInput, "at most 16"),
        (
            ForkCollectionRequest { collection_id: "x".into(), ..plain.clone() },
            ErrorKind::InvalidInput,
            "collection_id is not a UUID",
        ),
        (
            ForkCollectionRequest { collection_id: Uuid::new_v4().to_string(), ..plain.clone() },
            ErrorKind::NotFound,
            "does not exist",
        ),
        (
            ForkCollectionRequest { organization_id: Uuid::new_v4().to_string(), ..plain.clone() },
            ErrorKind::NotFound,
            "does not exist",
        ),
        (ForkCollectionRequest { profile: None, ..plain.clone() }, ErrorKind::InvalidInput, "profile"),
        (
            ForkCollectionRequest { destination_connection_id: qdrant.to_string(), ..plain.clone() },
            ErrorKind::InvalidInput,
            "is of kind qdrant, but the profile is for pgvector",
        ),
    ] {
        let failure = world.fork_collection(&request).await.expect_err(words);
        assert_eq!(failure.kind(), Some(kind), "{failure}");
        assert!(failure.to_string().contains(words), "{words:?} is not in {failure}");
    }
    sqlx::query("UPDATE public.source_connection SET readable_collection_id = NULL")
        .execute(world.database.pool())
        .await
        .expect("the syncs can feed no collection");
    let failure = world.fork_collection(&plain).await.expect_err("nobody feeds it");
    assert!(failure.kind() == Some(ErrorKind::Conflict) && failure.to_string().contains("no sync feeds"), "{failure}");
    assert_eq!(operations(&world, true).await, Vec::<String>::new(), "nothing was begun");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_forks_a_collection() {
    let [first, second] = World::with_syncs::<2>(WorldOptions { entities: 3, ..SMALL }).await;
    let worker = first.worker();
    let profile = first.store_root().join("v0.toml");
    std::fs::write(&profile, "name = \"v0\"\npgvector = {}\n").expect("writable");
    let (collection, connection) = (first.ids.collection_id.to_string(), first.ids.connection_v0.to_string());
    let run = |more: &[&str]| {
        let mut command = first.command();
        command.args(["fork", "--destination", &connection, "--profile"]).arg(&profile).args(more);
        let output = command.output().expect("the program runs");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), said(&output.stdout), said(&output.stderr))
    };
    let sync = first.ids.sync_id.to_string();
    for wrong in
        [vec![], vec!["--sync", &sync, "--collection", &collection], vec!["--sync", &sync, "--concurrency", "3"]]
    {
        assert_eq!(run(&wrong).0, Some(2), "{wrong:?}");
    }
    let (code, said, told) = run(&["--collection", &collection, "--json", "--concurrency", "1"]);
    assert_eq!(code, Some(0), "{said}\n{told}");
    let result: ForkCollectionResult = serde_json::from_str(&said).expect("it prints JSON");
    assert_eq!((result.ready, result.syncs.len()), (2, 2));
    assert!(told.contains(&format!("started fork/collection/{collection}/{connection}")), "{told}");
    assert!(told.contains(&format!("sync {} ready", second.ids.sync_id)), "{told}");

    std::fs::remove_file(second.store().join("manifest.json")).expect("there is a manifest");
    let (code, said, told) = run(&["--collection", &collection]);
    assert_eq!(code, Some(6), "the kind of the first failure\n{said}\n{told}");
    assert!(
        said.contains("1 ready, 1 failed, 0 cancelled") && told.contains("1 of 2 syncs are not ready"),
        "{said}{told}"
    );
    let output = first.command().args(["status", "--json"]).output().expect("the program runs");
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let of_collection =
        listed.as_array().expect("a list").iter().filter(|it| it["collection_id"] == collection.as_str());
    assert_eq!(of_collection.filter(|it| it["sync_id"].is_null() && it["kind"] == "fork").count(), 2, "{listed}");
    drop(worker);
    first.done().await;
}
