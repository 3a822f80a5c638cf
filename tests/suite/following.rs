//! Slots that are not active follow the raw store, until there is none left to follow.

use std::time::Duration;

use harness::{AnyWorkflow, Ended, World, WorldOptions, ended, payload, progress, signal, until_some};
use proto::v1::{FollowOptions, FollowRequest, FollowedSlot, ForkResult, Progress};
use sync_multiplexer::temporal;
use workflows::follow_workflow_id;

const SHORTLY: Duration = Duration::from_secs(60);

fn follow(world: &World) -> AnyWorkflow {
    world.any_workflow(&follow_workflow_id(&world.ids.sync_id.to_string()))
}

async fn at(handle: &AnyWorkflow, what: &str, state: impl Fn(&Progress) -> bool) -> Progress {
    until_some(what, SHORTLY, || async { progress(handle).await.filter(&state) }).await
}

/// Makes the follow look, and waits until it has looked at the slot after this.
async fn caught_up(handle: &AnyWorkflow, slot: &str) -> FollowedSlot {
    let of = |shown: &Progress| shown.followed.iter().find(|it| it.slot_id == slot).cloned();
    let before = progress(handle).await.and_then(|shown| of(&shown)).map_or(0, |it| it.caught_up_at_ms);
    signal(handle, "now", vec![]).await;
    let shown =
        at(handle, "the slot to be caught up", |shown| of(shown).is_some_and(|it| it.caught_up_at_ms > before)).await;
    of(&shown).expect("it was there")
}

async fn forked(world: &World) -> ForkResult {
    world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes")
}

/// A slot of the other connection that is built from nothing has the same content.
async fn assert_is_a_clean_build(world: &World, slot: &str) {
    let clean = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("a clean build completes");
    assert!(world.content(slot).await == world.content(&clean.slot_id).await, "the slot is not a clean build");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_is_ready_is_followed_until_it_is_gone() {
    let mut world = World::with(WorldOptions { entities: 60, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let slot = forked(&world).await.slot_id;
    let handle = follow(&world);
    at(&handle, "the follow to wait", |it| it.operation == "follow" && it.phase == "wait").await;

    let changes = world.platform_job(1, 12).await;
    let shown = caught_up(&handle, &slot).await;
    assert_eq!(shown.lag.map(|lag| lag.entities), Some(12 + 6 + 3), "{shown:?}");
    assert_eq!((shown.failing_since_ms, shown.error_kind.as_str()), (0, ""), "{shown:?}");
    for gone in &changes.deleted {
        assert!(!world.stored_entities(&slot).await.contains(gone), "{gone}");
    }
    // The slot stays ready, and the plan has a verification of its own.
    let listed = world.list();
    let listed = listed.slots.iter().find(|it| it.slot_id == slot).expect("it is listed");
    assert_eq!(listed.state().as_str_name(), "SLOT_STATE_READY");
    assert_eq!(listed.followed.as_ref().map(|it| it.caught_up_at_ms), Some(shown.caught_up_at_ms));
    let passed: bool = sqlx::query_scalar(
        "SELECT passed FROM sync_multiplexer.verification JOIN sync_multiplexer.plan ON plan_id = verification_id",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("the plan was verified");
    assert!(passed);
    let shown = caught_up(&handle, &slot).await;
    assert_eq!(shown.lag.map(|lag| lag.entities), Some(0), "nothing changed since");

    // Another fork is seen by the follow that runs; when both slots are gone, it ends by itself.
    assert_is_a_clean_build(&world, &slot).await;
    let both = at(&handle, "the other slot", |it| it.phase == "wait").await;
    assert!(!both.followed.is_empty());
    for slot in world.list().slots {
        world.retire(&world.retire_request(&slot.slot_id)).await.expect("a shadow can be retired");
    }
    signal(&handle, "now", vec![]).await;
    assert!(matches!(ended(&handle).await, Ended::Completed(_)), "nothing is left to follow");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slot_that_a_switch_leaves_is_followed_for_the_rollback() {
    let mut world = World::with(WorldOptions { entities: 40, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let first = forked(&world).await.slot_id;
    world.switch(&world.switch_request(&first)).await.expect("a ready slot can be promoted");
    let second = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("the fork completes").slot_id;
    world.switch(&world.switch_request(&second)).await.expect("a ready slot can be promoted");
    let handle = follow(&world);
    world.platform_job(1, 8).await;
    let active = world.content(&second).await;
    caught_up(&handle, &first).await;
    let mut expected = world.entity_ids.clone();
    expected.sort();
    assert_eq!(world.stored_entities(&first).await, expected, "the deprecated slot has what was written since");
    assert_eq!(world.content(&second).await, active, "the active slot is not ours to write to");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_drop_waits_for_its_confirmation_and_shows_since_when() {
    let mut world = World::with(WorldOptions { entities: 40, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let slot = forked(&world).await.slot_id;
    let handle = follow(&world);
    caught_up(&handle, &slot).await;
    let gone: Vec<_> = world.entity_ids.iter().take(20).cloned().collect();
    world.delete(&gone).await;
    signal(&handle, "now", vec![]).await;
    let failing = |it: &Progress| it.phase == "wait" && it.followed.iter().any(|it| it.failing_since_ms > 0);
    let shown = at(&handle, "the drop to be refused", failing).await;
    let failed = &shown.followed[0];
    assert_eq!(failed.error_kind, "RawStoreInvalid", "{failed:?}");
    assert!(failed.error_message.contains("confirm_drop = 20"), "{failed:?}");
    assert_eq!(world.stored_entities(&slot).await.len(), 40, "nothing was deleted");
    let listed = world.list().slots.into_iter().find(|it| it.slot_id == slot).and_then(|it| it.followed);
    assert_eq!(listed.map(|it| it.failing_since_ms), Some(failed.failing_since_ms), "it can be seen from outside");

    // What cannot be meant does nothing; what is meant does it once.
    signal(&handle, "confirm_drop", vec![payload("json/plain", *br#"{"slot_id":"another","entities":20}"#)]).await;
    signal(&handle, "confirm_drop", vec![payload("json/plain", *b"\"x\"")]).await;
    let confirmed = format!(r#"{{"slot_id":"{slot}","entities":20}}"#);
    signal(&handle, "confirm_drop", vec![payload("json/plain", confirmed)]).await;
    let well = |it: &Progress| it.phase == "wait" && it.followed.iter().all(|it| it.failing_since_ms == 0);
    at(&handle, "the drop to be carried out", well).await;
    assert_eq!(world.stored_entities(&slot).await.len(), 20);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_verification_finds_is_mended_by_the_next_round() {
    let world = World::with(WorldOptions { entities: 40, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let slot = forked(&world).await.slot_id;
    let handle = follow(&world);
    caught_up(&handle, &slot).await;
    // Somebody took an entity out of the slot that the round does not write; the count says so.
    let victim = world.stored_entities(&slot).await[0].clone();
    let table = world.points_table(&slot);
    let remove = format!("DELETE FROM {table} WHERE entity_id = $1");
    sqlx::query(sqlx::AssertSqlSafe(remove)).bind(&victim).execute(world.database.pool()).await.expect("it goes");
    world.put_entity(&world.stored_entities(&slot).await[5].clone(), "other words");
    signal(&handle, "now", vec![]).await;
    let failing = |it: &Progress| it.phase == "wait" && it.followed.iter().any(|it| it.failing_since_ms > 0);
    let shown = at(&handle, "the difference to be found", failing).await;
    assert_eq!(shown.followed[0].error_kind, "VerificationFailed", "{shown:?}");
    assert!(shown.followed[0].error_message.contains(&victim), "{shown:?}");

    let shown = caught_up(&handle, &slot).await;
    assert_eq!(shown.error_kind, "", "{shown:?}");
    assert!(world.stored_entities(&slot).await.contains(&victim), "it was written again");
    assert_is_a_clean_build(&world, &slot).await;
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_between_rounds_and_a_cancellation_leaves_the_slot_ready() {
    let mut world = World::with(WorldOptions { entities: 30, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let slot = forked(&world).await.slot_id;
    let handle = follow(&world);
    at(&handle, "the follow to wait", |it| it.phase == "wait").await;
    signal(&handle, "pause", vec![]).await;
    signal(&handle, "now", vec![]).await;
    at(&handle, "the pause", |it| it.paused).await;
    world.platform_job(1, 8).await;
    let before = world.content(&slot).await;
    // The signals are answered in order: what comes after the pause finds it paused.
    assert!(progress(&handle).await.is_some_and(|it| it.paused && it.phase == "wait"));
    assert_eq!(world.content(&slot).await, before);
    signal(&handle, "resume", vec![]).await;
    caught_up(&handle, &slot).await;
    assert!(world.content(&slot).await != before);

    handle.cancel(temporalio_client::WorkflowCancelOptions::default()).await.expect("it can be cancelled");
    assert!(matches!(ended(&handle).await, Ended::Cancelled), "cancelled");
    let state: String = sqlx::query_scalar("SELECT state FROM sync_multiplexer.operation WHERE kind = 'follow'")
        .fetch_one(world.database.pool())
        .await
        .expect("there is a record");
    assert_eq!(state, "cancelled");
    assert_eq!(world.list().slots.iter().find(|it| it.slot_id == slot).map(|it| it.state), Some(3));

    // It can be started again, with other settings; bad ones are refused.
    let request = |interval_seconds| FollowRequest {
        organization_id: world.ids.organization_id.to_string(),
        sync_id: world.ids.sync_id.to_string(),
        interval_seconds,
        options: Some(FollowOptions::default()),
        requested_by: "a test".to_owned(),
        ..FollowRequest::default()
    };
    temporal::start_follow(&world.client, &world.task_queue, &request(86_401)).await.expect("it starts");
    assert!(matches!(ended(&handle).await, Ended::Failed { .. }), "too long an interval");
    temporal::start_follow(&world.client, &world.task_queue, &request(1)).await.expect("it starts");
    world.put_entity(&world.entity_ids[0].clone(), "seen without being told");
    let seen = |it: &Progress| it.followed.first().and_then(|it| it.lag).is_some_and(|lag| lag.entities > 0);
    at(&handle, "the change to be seen", seen).await;
    drop(worker);
    world.done().await;
}
