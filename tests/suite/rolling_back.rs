//! Going back: to the slot that was active before, inside its reverse window, and once per operation.

use std::time::{Duration, Instant};

use harness::{Ended, World, ended, payload};
use proto::v1::{Role, RollbackRequest, RollbackResult, SwitchRequest, SwitchResult};
use serde_json::{Value, json};
use uuid::Uuid;
use workflows::domain::ErrorKind;
use workflows::switch_workflow_id;

/// An answer that takes longer is no answer for somebody who waits.
const SOON: Duration = Duration::from_secs(10);

/// A world whose first slot was left for the second.
async fn switched_world() -> (World, harness::Worker, [String; 2], SwitchResult) {
    let world = World::new().await;
    let worker = world.worker();
    let (v0, v1) = (world.fork_request(world.ids.connection_v0), world.fork_request(world.ids.connection_v1));
    let (v0, v1) = tokio::join!(world.fork(&v0), world.fork(&v1));
    let slots = [v0.expect("the first fork completes").slot_id, v1.expect("the second fork completes").slot_id];
    world.switch(&world.switch_request(&slots[0])).await.expect("the first switch");
    let left = world.switch(&world.switch_request(&slots[1])).await.expect("the second switch");
    (world, worker, slots, left)
}

async fn refused(world: &World, request: &RollbackRequest, kind: ErrorKind, words: &str) {
    let started = Instant::now();
    let failure = world.rollback(request).await.expect_err("the rollback is refused");
    assert!(started.elapsed() < SOON, "{failure} took {:?}", started.elapsed());
    assert_eq!(failure.kind(), Some(kind), "{failure}");
    assert!(failure.to_string().contains(words), "{words:?} is not in {failure}");
}

fn time(text: &str) -> chrono::DateTime<chrono::FixedOffset> {
    chrono::DateTime::parse_from_rfc3339(text).expect("a time in RFC 3339")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_goes_back_and_forth_but_each_operation_only_once() {
    let (world, worker, [v0, v1], left) = switched_world().await;
    assert_eq!(
        time(&left.kept_until) - time(&left.switched_at),
        chrono::Duration::days(7),
        "kept for a week by default"
    );
    let listed = world.list().slots;
    assert_eq!((listed[1].role(), listed[1].kept), (Role::Deprecated, true));
    assert!((time(&listed[1].kept_until) - time(&left.kept_until)).abs() < chrono::Duration::seconds(2));
    assert_eq!((listed[0].kept_until.as_str(), listed[0].kept), ("", false), "the active one is kept for nothing");

    let request = RollbackRequest {
        operation_id: Uuid::new_v4().to_string(),
        requested_by: "ada".to_owned(),
        reason: "the answers got worse".to_owned(),
        reverse_window_seconds: Some(60),
        ..world.rollback_request()
    };
    let back = world.rollback(&request).await.expect("the rollback");
    assert_eq!((&back.new_active_slot_id, &back.previous_active_slot_id, back.generation), (&v0, &v1, 3));
    assert_eq!(time(&back.kept_until) - time(&back.switched_at), chrono::Duration::seconds(60));
    // What "the one before" means was decided when it was asked for the first time.
    assert_eq!(world.rollback(&request).await.expect("the same rollback again"), back);
    assert_eq!(world.list().generation, 3);

    let (kind, who, why): (String, String, String) = sqlx::query_as(
        "SELECT kind, audit.requested_by, reason FROM sync_multiplexer.operation
         JOIN sync_multiplexer.audit USING (operation_id) WHERE generation = 3",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("the rollback is recorded");
    assert_eq!((kind.as_str(), who.as_str(), why.as_str()), ("rollback", "ada", "the answers got worse"));

    let forth = world.rollback(&world.rollback_request()).await.expect("a rollback can be rolled back");
    assert_eq!((&forth.new_active_slot_id, forth.generation), (&v1, 4));
    assert_eq!(world.rollback(&request).await.expect("the first one, asked late"), back, "its answer stays");
    assert_eq!(world.list().generation, 4);
    let named = RollbackRequest { target_slot_id: v0.clone(), ..world.rollback_request() };
    assert_eq!(world.rollback(&named).await.expect("to a named slot").new_active_slot_id, v0);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rolled_back_is_refused_with_the_reason() {
    let (world, worker, [v0, _], _) = switched_world().await;
    let request = world.rollback_request();
    let to = |slot: &str| RollbackRequest { target_slot_id: slot.to_owned(), ..request.clone() };
    refused(&world, &to(&Uuid::new_v4().to_string()), ErrorKind::NotFound, "is not a destination of sync").await;
    refused(&world, &to("nope"), ErrorKind::InvalidInput, "target_slot_id is not a UUID").await;
    let without_reason = RollbackRequest { reason: "  ".to_owned(), ..request.clone() };
    refused(&world, &without_reason, ErrorKind::InvalidInput, "a rollback needs a reason").await;
    let too_long = RollbackRequest { reverse_window_seconds: Some(7_776_001), ..request.clone() };
    refused(&world, &too_long, ErrorKind::InvalidInput, "at most 7776000 (90 days)").await;
    let theirs = RollbackRequest { organization_id: Uuid::new_v4().to_string(), ..request.clone() };
    refused(&world, &theirs, ErrorKind::NotFound, "sync").await;
    let plain = world.switch(&world.switch_request(&v0)).await.expect_err("a switch is no rollback");
    assert!(plain.kind() == Some(ErrorKind::Conflict) && plain.to_string().contains("syncmux rollback"), "{plain}");
    let untargeted = world.switch(&world.switch_request("")).await.expect_err("a switch names its target");
    assert_eq!(untargeted.kind(), Some(ErrorKind::InvalidInput), "{untargeted}");

    world.end_window(&v0).await;
    refused(&world, &request, ErrorKind::Conflict, "its reverse window ended at").await;
    let listed = world.list();
    assert_eq!((listed.generation, listed.slots[1].kept, listed.slots[1].kept_until.is_empty()), (2, false, false));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_switch_or_a_window_there_is_nothing_to_go_back_to() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.rollback_request();
    refused(&world, &request, ErrorKind::Conflict, "was never switched").await;
    let slots = [
        world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id,
        world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("the fork completes").slot_id,
    ];
    let first = world.switch(&world.switch_request(&slots[0])).await.expect("the first switch");
    assert_eq!(first.kept_until, "", "nothing was left");
    refused(&world, &request, ErrorKind::Conflict, "had no active slot before its last switch").await;
    let shadow = RollbackRequest { target_slot_id: slots[1].clone(), ..request.clone() };
    refused(&world, &shadow, ErrorKind::Conflict, "is a shadow, and a rollback goes to").await;

    let unkept = SwitchRequest { reverse_window_seconds: Some(0), ..world.switch_request(&slots[1]) };
    assert_eq!(world.switch(&unkept).await.expect("a switch for good").kept_until, "");
    refused(&world, &request, ErrorKind::Conflict, "was left without a reverse window").await;
    drop(worker);
    world.done().await;
}

/// The request as somebody types it into the terminal of Temporal.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_starts_from_json_under_the_id_of_the_switches() {
    let (world, worker, [v0, _], _) = switched_world().await;
    let request = json!({
        "organizationId": world.ids.organization_id,
        "sync_id": world.ids.sync_id,
        "rollback": true,
        "reason": "by hand",
    });
    let id = switch_workflow_id(&world.ids.sync_id.to_string());
    let handle = world.start_any("SwitchWorkflow", &id, vec![payload("json/plain", request.to_string())]).await;
    let Ended::Completed(answer) = ended(&handle).await else { panic!("the rollback failed") };
    let answer: Value = serde_json::from_slice(&answer.data).expect("the result is JSON");
    assert_eq!(answer["new_active_slot_id"], v0.as_str(), "{answer}");
    let progress = harness::progress(&handle).await.expect("an answer");
    assert_eq!((progress.operation.as_str(), progress.slot_id), ("rollback", v0));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_rolls_back_and_says_until_when_slots_are_kept() {
    let (world, worker, [v0, v1], left) = switched_world().await;
    let sync = world.ids.sync_id.to_string();
    let run = |arguments: &[&str], code: i32| {
        let output = world.command().args(arguments).args(["--sync", &sync]).output().expect("the program runs");
        let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}\n{}", said.0, said.1);
        format!("{}{}", said.0, said.1)
    };
    assert!(run(&["list"], 0).contains(&left.kept_until[..19]), "the list says until when");
    let status = run(&["status"], 0);
    assert!(status.contains(&format!("slot {v0} is kept until {}", &left.kept_until[..19])), "{status}");

    run(&["rollback"], 2);
    let output = run(&["rollback", "--reason", "a drill", "--reverse-window-seconds", "0"], 0);
    assert!(output.contains(&format!("slot {v0} is active, generation 3")), "{output}");
    assert!(output.contains(&format!("slot {v1} is deprecated, not kept for a rollback")), "{output}");
    let output = run(&["rollback", "--reason", "and forth"], 5);
    assert!(output.contains("left without a reverse window"), "{output}");
    assert!(run(&["status"], 0).contains("rollback"), "the operation is listed as what it is");

    let repeated = Uuid::new_v4().to_string();
    let output = world
        .command()
        .args(["rollback", "--json", "--reason", "x", "--to", &v0, "--operation-id", &repeated, "--sync", &sync])
        .output()
        .expect("the program runs");
    let result: RollbackResult = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let switched = result.switched.expect("what was done already is answered");
    assert_eq!((switched.new_active_slot_id, switched.generation), (v0, 3));
    drop(worker);
    world.done().await;
}
