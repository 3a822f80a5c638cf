//! Removing a slot: all of it, nothing else, and no way back from the first point on.
//!
//! A lock on the slot's points shows where a retire is: hidden points cannot be counted, so it stands before the point of
//! no return; held points can be counted but not removed, so it stands behind it.

use std::time::{Duration, Instant};

use harness::{AnyWorkflow, Ended, Reader, World, ended, payload, progress, scheduled, signal, until};
use proto::v1::{ListResult, RetireRequest, RetireResult, Role, SlotState};
use serde_json::{Value, json};
use temporalio_client::WorkflowCancelOptions;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use uuid::Uuid;
use workflows::domain::ErrorKind;
use workflows::retire_workflow_id;

/// An answer that takes longer is no answer for somebody who waits.
const SOON: Duration = Duration::from_secs(10);

/// For a state that is a few round trips away.
const SHORTLY: Duration = Duration::from_secs(30);

/// A world with a deprecated slot and an active one.
async fn switched_world() -> (World, harness::Worker, [String; 2]) {
    let world = World::new().await;
    let worker = world.worker();
    let (v0, v1) = (world.fork_request(world.ids.connection_v0), world.fork_request(world.ids.connection_v1));
    let (v0, v1) = tokio::join!(world.fork(&v0), world.fork(&v1));
    let slots = [v0.expect("the first fork completes").slot_id, v1.expect("the second fork completes").slot_id];
    for slot in &slots {
        world.switch(&world.switch_request(slot)).await.expect("a switch");
    }
    (world, worker, slots)
}

/// A ready shadow, alone.
async fn world_with_a_shadow() -> (World, harness::Worker, String) {
    let world = World::new().await;
    let worker = world.worker();
    let forked = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes");
    (world, worker, forked.slot_id)
}

async fn start(world: &World, request: &RetireRequest) -> AnyWorkflow {
    world.start_retire(request).await.expect("the retire starts");
    world.any_workflow(&retire_workflow_id(&request.slot_id))
}

async fn cancel(handle: &AnyWorkflow) {
    handle.cancel(WorkflowCancelOptions::builder().reason("a test").build()).await.expect("it can be cancelled");
}

async fn refused(world: &World, payloads: Vec<Payload>) -> (String, String) {
    let started = Instant::now();
    let id = format!("{}/{}", world.task_queue, Uuid::new_v4());
    let handle = world.start_any("RetireWorkflow", &id, payloads).await;
    let end = ended(&handle).await;
    assert!(started.elapsed() < SOON, "{end:?} took {:?}", started.elapsed());
    let (kind, message) = end.failure();
    (kind.to_owned(), message.to_owned())
}

async fn until_points_may_be_gone(world: &World) {
    until("the point of no return", SHORTLY, async || {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM sync_multiplexer.retirement WHERE clearing_at IS NOT NULL)")
            .fetch_one(world.database.pool())
            .await
            .expect("the marks are readable")
    })
    .await;
}

async fn until_points_are_looked_for(world: &World, slot: &str) {
    until("the points are being counted", SHORTLY, async || world.waiting_for_points(slot).await > 0).await;
}

/// The state of the newest retire, as it is recorded.
async fn retire_state(world: &World) -> String {
    sqlx::query_scalar(
        "SELECT state FROM sync_multiplexer.operation WHERE kind = 'retire' ORDER BY started_at DESC LIMIT 1",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("there is a retire")
}

async fn marks(world: &World) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM sync_multiplexer.retirement")
        .fetch_one(world.database.pool())
        .await
        .expect("the marks can be counted")
}

fn result(end: &Ended) -> RetireResult {
    let Ended::Completed(answer) = end else { panic!("the retire did not complete: {end:?}") };
    serde_json::from_slice(&answer.data).expect("a result")
}

/// A list without what a follow notes from time to time.
fn without_follow(mut listed: ListResult) -> ListResult {
    for slot in &mut listed.slots {
        slot.followed = None;
    }
    listed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_goes_with_all_that_is_its_own_and_the_active_one_stays_as_it_is() {
    let (world, worker, [old, active]) = switched_world().await;
    let (points, before) = (world.fingerprint(&old).await.0.len(), world.fingerprint(&active).await);
    world.end_window(&old).await;
    let operation_id = Uuid::new_v4().to_string();
    let request = RetireRequest {
        operation_id: operation_id.clone(),
        requested_by: "ada".to_owned(),
        reason: "the week is over".to_owned(),
        ..world.retire_request(&old)
    };
    let retired = world.retire(&request).await.expect("the slot can be retired");
    assert_eq!((&retired.slot_id, &retired.operation_id), (&old, &operation_id));
    assert_eq!((retired.points_removed, retired.forced, retired.cancelled_too_late), (points as u64, false, false));
    assert!(chrono::DateTime::parse_from_rfc3339(&retired.retired_at).is_ok(), "{retired:?}");

    assert_eq!(world.fingerprint(&active).await, before, "the active slot was touched");
    let listed = world.list();
    assert_eq!((listed.generation, listed.slots.len(), &listed.slots[0].slot_id), (2, 1, &active));
    let reader = Reader::start(&world).await;
    assert_eq!(reader.ask("invoice").await.expect("readers go on").destination.slot_id.to_string(), active);
    drop(reader);
    // Its fork verified the slot, and the switch to it.
    for (table, rows) in [("slot", 1), ("plan", 1), ("ledger_page", 1), ("verification", 2)] {
        let count = format!("SELECT count(*) FROM sync_multiplexer.{table}");
        let left: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(world.database.pool()).await.expect("a count");
        assert_eq!(left, rows, "rows of {table}");
    }
    let (who, why, removed): (String, String, i64) = sqlx::query_as(
        "SELECT requested_by, reason, points FROM sync_multiplexer.retirement WHERE removed_at IS NOT NULL",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("the retire is on record");
    assert_eq!((who.as_str(), why.as_str(), removed), ("ada", "the week is over", points as i64));
    assert_eq!(retire_state(&world).await, "completed");

    // Asked again: the same operation answers the same, another one finds nothing.
    assert_eq!(world.retire(&request).await.expect("the same operation"), retired);
    let gone = world.retire(&world.retire_request(&old)).await.expect_err("the slot is gone");
    assert_eq!(gone.kind(), Some(ErrorKind::NotFound), "{gone}");
    assert!(gone.to_string().contains(&format!("operation {operation_id} retired it")), "{gone}");

    // The connection is free for a new slot.
    let again = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("a fork to it completes");
    assert!(!again.continued && again.slot_id != old && again.entities == 60, "{again:?}");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_retired_is_refused_soon_and_changes_nothing() {
    let (world, worker, [old, active]) = switched_world().await;
    let source: Uuid = sqlx::query_scalar("SELECT id FROM public.sync_connection WHERE role IS NULL")
        .fetch_one(world.database.pool())
        .await
        .expect("the source has a row");
    let theirs: Uuid = sqlx::query_scalar(
        "WITH connection AS (
             INSERT INTO public.connection (id, created_at, modified_at, name, readable_id, integration_type, status, short_name)
             VALUES (gen_random_uuid(), now(), now(), 'native', 'native', 'DESTINATION', 'ACTIVE', 'qdrant_native') RETURNING id)
         INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id)
         SELECT gen_random_uuid(), now(), now(), $1, id FROM connection RETURNING id",
    )
    .bind(world.ids.sync_id)
    .fetch_one(world.database.pool())
    .await
    .expect("the platform can add a destination");
    let (before, listed) = ((world.fingerprint(&old).await, world.fingerprint(&active).await), world.list());
    let good = serde_json::to_value(world.retire_request(&old)).expect("a request has a JSON form");
    let with = |key: &str, value: Value| {
        let mut request = good.clone();
        request[key] = value;
        request
    };
    let mut forced_without_reason = with("force", json!(true));
    forced_without_reason["reason"] = json!(" ");
    for (request, kind, words) in [
        (good.clone(), "Conflict", "is kept for a rollback until"),
        (with("slot_id", json!(active)), "Conflict", "an active slot is never retired"),
        (with("slot_id", json!(theirs)), "Conflict", "made by the platform"),
        (with("slot_id", json!(source)), "NotFound", "is not a destination"),
        (with("slot_id", json!(Uuid::new_v4())), "NotFound", "is not a destination"),
        (with("slot_id", json!("nope")), "InvalidInput", "slot_id is not a UUID"),
        (with("slot_id", json!("")), "InvalidInput", "slot_id is missing"),
        (with("organization_id", json!(Uuid::new_v4())), "NotFound", "sync"),
        (with("sync_id", json!(Uuid::new_v4())), "NotFound", "sync"),
        (with("operation_id", json!("nope")), "InvalidInput", "operation_id is not a UUID"),
        (forced_without_reason, "InvalidInput", "force needs a reason"),
        (with("slod_id", json!("x")), "InvalidInput", "unknown field"),
    ] {
        let (seen, said) = refused(&world, vec![payload("json/plain", request.to_string())]).await;
        assert!(seen == kind && said.contains(words), "{request}: {seen}: {said}");
    }
    for payloads in [vec![], vec![payload("json/plain", "garbage")], vec![payload("binary/plain", "x")]] {
        assert_eq!(refused(&world, payloads).await.0, "InvalidInput");
    }

    // A dry run says the same, and is no operation.
    let operations: i64 = count(&world, "SELECT count(*) FROM sync_multiplexer.operation").await;
    let dry = world.retire(&RetireRequest { dry_run: true, ..world.retire_request(&old) }).await.expect("an answer");
    let [blocker] = dry.blockers.as_slice() else { panic!("one blocker: {dry:?}") };
    assert_eq!(blocker.kind, "Conflict");
    assert!(blocker.message.contains("is kept for a rollback") && blocker.next_step.contains("force"), "{blocker:?}");
    let forced = RetireRequest { force: true, reason: "space".to_owned(), ..world.retire_request(&old) };
    let dry = world.retire(&RetireRequest { dry_run: true, ..forced }).await.expect("an answer");
    assert_eq!((dry.blockers.len(), dry.retired_at.as_str()), (0, ""));
    assert_eq!(count(&world, "SELECT count(*) FROM sync_multiplexer.operation").await, operations);

    // Only the follow of the deprecated slot goes on.
    let running = "SELECT count(*) FROM sync_multiplexer.operation WHERE state = 'running' AND kind <> 'follow'";
    assert_eq!(count(&world, running).await, 0);
    assert_eq!((world.fingerprint(&old).await, world.fingerprint(&active).await), before);
    assert_eq!((without_follow(world.list()), marks(&world).await), (without_follow(listed), 0));
    drop(worker);
    world.done().await;
}

async fn count(world: &World, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(world.database.pool()).await.expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_a_fork_works_on_is_not_retired() {
    let (world, worker, slot) = world_with_a_shadow().await;
    world.put_entity("one more", "something to replay");
    let fork = world.start_fork(&world.fork_request(world.ids.connection_v0)).await.expect("a fork starts");
    let held = world.hide_points(&slot).await;
    until("the fork works on the slot", SHORTLY, async || world.waiting_for_points(&slot).await > 0).await;
    let request = serde_json::to_string(&world.retire_request(&slot)).expect("JSON");
    let (kind, said) = refused(&world, vec![payload("json/plain", request)]).await;
    assert_eq!(kind, "Conflict");
    assert!(said.contains("fork ") && said.contains(&format!("works on slot {slot}")), "{said}");
    held.rollback().await.expect("the lock can be given back");
    sync_multiplexer::temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    world.retire(&world.retire_request(&slot)).await.expect("then it can be retired");
    assert!(world.residue().await.iter().all(|(_, rows)| *rows == 0), "{:?}", world.residue().await);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_before_the_first_point_it_leaves_the_slot_as_it_was() {
    let (world, worker, slot) = world_with_a_shadow().await;
    let before = world.fingerprint(&slot).await;
    let hidden = world.hide_points(&slot).await;
    let handle = start(&world, &world.retire_request(&slot)).await;
    until_points_are_looked_for(&world, &slot).await;

    // Meanwhile nobody gets at the slot.
    let listed = world.list().slots.remove(0);
    assert!(!listed.retiring_operation_id.is_empty(), "{listed:?}");
    let words = format!("is being retired (operation {})", listed.retiring_operation_id);
    let fork = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect_err("a fork is refused");
    assert!(fork.kind() == Some(ErrorKind::Conflict) && fork.to_string().contains(&words), "{fork}");
    let switch = world.switch(&world.switch_request(&slot)).await.expect_err("a switch is refused");
    assert!(switch.kind() == Some(ErrorKind::Conflict) && switch.to_string().contains(&words), "{switch}");
    let second = world.start_retire(&world.retire_request(&slot)).await.err().expect("one retire at a time");
    assert_eq!(second.kind(), Some(ErrorKind::Conflict), "{second}");

    cancel(&handle).await;
    assert_eq!(ended(&handle).await, Ended::Cancelled);
    hidden.rollback().await.expect("the lock can be given back");
    assert_eq!((world.fingerprint(&slot).await, marks(&world).await), (before, 0));
    assert_eq!(retire_state(&world).await, "cancelled");
    let listed = world.list().slots.remove(0);
    assert_eq!((listed.state(), listed.retiring_operation_id.as_str()), (SlotState::Ready, ""));
    world.switch(&world.switch_request(&slot)).await.expect("it can be promoted again");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_after_the_first_point_it_says_so_and_goes_on() {
    let (world, worker, slot) = world_with_a_shadow().await;
    let points = world.fingerprint(&slot).await.0.len() as u64;
    let held = world.hold_points(&slot).await;
    let handle = start(&world, &world.retire_request(&slot)).await;
    until_points_may_be_gone(&world).await;
    cancel(&handle).await;
    until("the cancellation is answered", SHORTLY, async || scheduled(&handle, "remove_points").await == 2).await;
    assert_eq!(scheduled(&handle, "unmark_retiring").await, 1);
    assert!(!world.list().slots[0].retiring_operation_id.is_empty(), "the slot stays marked");
    held.rollback().await.expect("the lock can be given back");
    let result = result(&ended(&handle).await);
    assert_eq!((result.points_removed, result.cancelled_too_late), (points, true));
    assert!(world.residue().await.iter().all(|(_, rows)| *rows == 0), "{:?}", world.residue().await);
    assert_eq!(retire_state(&world).await, "completed");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_honoured_before_and_after_the_points() {
    let (world, worker, slot) = world_with_a_shadow().await;
    drop(worker);
    let handle = start(&world, &world.retire_request(&slot)).await;
    signal(&handle, "pause", vec![payload("json/plain", "\"mistyped\"")]).await;
    let worker = world.worker();
    let at = async |phase: &str, paused: bool| {
        until(phase, SHORTLY, async || {
            progress(&handle).await.is_some_and(|it| it.phase == phase && it.paused == paused)
        })
        .await;
    };
    at("start", true).await;
    assert_eq!(scheduled(&handle, "check_retire").await, 0);

    let held = world.hold_points(&slot).await;
    signal(&handle, "resume", vec![]).await;
    until_points_may_be_gone(&world).await;
    at("clear", false).await;
    signal(&handle, "pause", vec![]).await;
    held.rollback().await.expect("the lock can be given back");
    until("the points are gone", SHORTLY, async || {
        progress(&handle).await.is_some_and(|it| it.paused && it.points > 0)
    })
    .await;
    // Not even a cancellation gets past the pause, and none takes back what is gone.
    cancel(&handle).await;
    at("clear", true).await;
    assert_eq!(scheduled(&handle, "remove_slot").await, 0);
    signal(&handle, "resume", vec![]).await;
    assert!(result(&ended(&handle).await).cancelled_too_late);
    let done = progress(&handle).await.expect("a finished retire answers");
    assert_eq!((done.operation.as_str(), done.phase.as_str(), &done.slot_id), ("retire", "done", &slot));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_away_or_refuses_us_is_found_out_before_the_first_point() {
    let (world, worker, slot) = world_with_a_shadow().await;
    let before = world.fingerprint(&slot).await;
    let (_, server) = world.database_url.split_once('@').expect("the database URL names a user");
    world.move_destinations(&format!("postgres://nobody_{}@{server}", world.ids.sync_id.simple())).await;
    let denied = world.retire(&world.retire_request(&slot)).await.expect_err("the destination refuses us");
    assert_eq!(denied.kind(), Some(ErrorKind::DestinationDenied), "{denied}");
    assert_eq!((marks(&world).await, retire_state(&world).await.as_str()), (0, "failed"));

    world.move_destinations("postgres://nobody@127.0.0.1:1/nowhere").await;
    let handle = start(&world, &world.retire_request(&slot)).await;
    until("it waits for the destination", SHORTLY, async || {
        progress(&handle).await.is_some_and(|it| it.phase == "clear") && marks(&world).await == 1
    })
    .await;
    cancel(&handle).await;
    assert_eq!(ended(&handle).await, Ended::Cancelled);
    assert_eq!((marks(&world).await, retire_state(&world).await.as_str()), (0, "cancelled"));

    world.move_destinations(&world.database_url.clone()).await;
    assert_eq!(world.fingerprint(&slot).await, before);
    assert_eq!(world.list().slots[0].role(), Role::Shadow);
    world.retire(&world.retire_request(&slot)).await.expect("once it is back, the slot can be retired");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_retire_is_taken_up_by_the_next_one() {
    let (world, worker, slot) = world_with_a_shadow().await;
    let points = world.fingerprint(&slot).await.0.len() as u64;
    let held = world.hold_points(&slot).await;
    let handle = start(&world, &world.retire_request(&slot)).await;
    until_points_may_be_gone(&world).await;
    let options = temporalio_client::WorkflowTerminateOptions::default();
    handle.terminate(options).await.expect("it can be terminated");
    held.rollback().await.expect("the lock can be given back");
    let retired = world.retire(&world.retire_request(&slot)).await.expect("the next one goes on");
    assert_eq!(retired.points_removed, points, "counted before the first of them went");
    assert!(world.residue().await.iter().all(|(_, rows)| *rows == 0), "{:?}", world.residue().await);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_the_blockers_and_retires_by_force_with_a_reason() {
    let (world, worker, [old, active]) = switched_world().await;
    let sync = world.ids.sync_id.to_string();
    let retire = |slot: &str, more: &[&str], code: i32| {
        let output = world
            .command()
            .args(["retire", "--sync", &sync, "--slot", slot])
            .args(more)
            .output()
            .expect("the program runs");
        let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{more:?}\n{}\n{}", said.0, said.1);
        said.0.into_owned()
    };
    let table = retire(&old, &["--dry-run"], 5);
    assert!(table.contains("is kept for a rollback until") && table.contains("force it and say why"), "{table}");
    let blockers: RetireResult = serde_json::from_str(&retire(&active, &["--dry-run", "--json"], 5)).expect("JSON");
    assert_eq!(blockers.blockers.len(), 1, "{blockers:?}");
    retire(&old, &["--force"], 2);
    retire(&old, &[], 5);
    retire(&Uuid::new_v4().to_string(), &[], 4);
    let free = retire(&old, &["--dry-run", "--force", "--reason", "space"], 0);
    assert!(free.contains("can be retired"), "{free}");
    let retired: RetireResult =
        serde_json::from_str(&retire(&old, &["--force", "--reason", "space", "--json"], 0)).expect("JSON");
    assert!(retired.forced && retired.points_removed > 0, "{retired:?}");
    let kept: (bool, String) = sqlx::query_as("SELECT forced_before > now(), reason FROM sync_multiplexer.retirement")
        .fetch_one(world.database.pool())
        .await
        .expect("the retire is on record");
    assert_eq!(kept, (true, "space".to_owned()));
    drop(worker);
    world.done().await;
}
