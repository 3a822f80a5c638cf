//! The raw store goes on changing while a slot is filled: in the end the slot is what a clean build would be, and nothing is
//! deleted because a listing was short.

use std::fs;
use std::time::Duration;

use harness::{AnyWorkflow, Ended, World, WorldOptions, ended, progress, signal, until_some};
use proto::v1::{ForkOptions, ForkRequest, ForkResult, Progress, SlotState};
use sqlx::{Postgres, Transaction};
use workflows::domain::ErrorKind;
use workflows::fork_workflow_id;

const SHORTLY: Duration = Duration::from_secs(60);

/// Keeps every replay of the world from passing its next checkpoint, until it is rolled back.
async fn hold(world: &World) -> Transaction<'static, Postgres> {
    let mut transaction = world.database.pool().begin().await.expect("a transaction begins");
    sqlx::query("LOCK TABLE sync_multiplexer.ledger_page IN EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await
        .expect("the ledger can be locked");
    transaction
}

async fn let_go(held: Transaction<'static, Postgres>) {
    held.rollback().await.expect("the lock can be given back");
}

fn request(world: &World, options: ForkOptions) -> ForkRequest {
    let options = ForkOptions { lanes: 3, batch_entities: 5, segment_entities: 10, ..options };
    ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) }
}

async fn start(world: &World, request: &ForkRequest) -> AnyWorkflow {
    world.start_fork(request).await.expect("the fork starts");
    world.any_workflow(&fork_workflow_id(&request.sync_id, &request.destination_connection_id))
}

async fn at(handle: &AnyWorkflow, what: &str, state: impl Fn(&Progress) -> bool) -> Progress {
    until_some(what, SHORTLY, || async { progress(handle).await.filter(&state) }).await
}

async fn completed(handle: &AnyWorkflow) -> ForkResult {
    match ended(handle).await {
        Ended::Completed(payload) => serde_json::from_slice(&payload.data).expect("a result is JSON"),
        other => panic!("the fork did not complete: {other:?}"),
    }
}

/// Builds another slot from nothing and compares the two, entity by entity and chunk by chunk.
async fn assert_is_a_clean_build(world: &World, slot: &str) {
    let clean = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("a clean build completes");
    let (found, expected) = (world.content(slot).await, world.content(&clean.slot_id).await);
    assert!(!expected.is_empty());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    let listed = world.list();
    let [one, other] = listed.slots.as_slice() else { panic!("two slots were expected") };
    assert_eq!((one.entities, one.points), (other.entities, other.points), "the ledgers add up to the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_during_a_fork_is_caught_up() {
    let mut world = World::with(WorldOptions { entities: 90, ..WorldOptions::default() }).await;
    let held = hold(&world).await;
    let handle =
        start(&world, &request(&world, ForkOptions { catch_up_entities: Some(0), ..ForkOptions::default() })).await;
    let worker = world.worker();
    at(&handle, "three lanes", |it| it.phase == "replay" && it.segments_in_flight == 3).await;
    // The plan is frozen; from here on it is out of date.
    let changes = world.platform_job(1, 16).await;
    assert_eq!((changes.updated.len(), changes.added.len(), changes.deleted.len()), (16, 8, 4));
    signal(&handle, "pause", vec![]).await;
    at(&handle, "the pause", |it| it.paused).await;
    let_go(held).await;
    at(&handle, "the lanes to run dry", |it| it.segments_in_flight == 0).await;
    signal(&handle, "resume", vec![]).await;

    let result = completed(&handle).await;
    assert_eq!((result.state.as_str(), result.listed), ("ready", 94), "{result:?}");
    assert!(result.catch_up_rounds >= 1 && result.lag.is_some_and(|lag| lag.entities == 0), "{result:?}");
    let shown = progress(&handle).await.expect("a finished fork answers");
    assert_eq!(
        (shown.phase.as_str(), shown.deleted, shown.catch_up_round),
        ("done", result.deleted, result.catch_up_rounds)
    );
    // What had been deleted before its turn was never written, the rest was deleted again.
    assert!(result.deleted <= 4);

    let mut expected = world.entity_ids.clone();
    expected.sort();
    assert_eq!(world.stored_entities(&result.slot_id).await, expected);
    assert_is_a_clean_build(&world, &result.slot_id).await;
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forking_again_deletes_what_is_gone_and_writes_what_is_back() {
    let mut world = World::with(WorldOptions { entities: 80, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let request = request(&world, ForkOptions::default());
    let first = world.fork(&request).await.expect("the fork completes");
    assert_eq!((first.deleted, first.catch_up_rounds), (0, 1), "a round looks whether anything changed");

    let changes = world.platform_job(1, 20).await;
    let second = world.fork(&request).await.expect("the changes are carried over");
    assert_eq!((second.continued, second.unchanged, second.entities, second.deleted), (true, 55, 30, 5), "{second:?}");
    for gone in &changes.deleted {
        assert!(!world.stored_entities(&second.slot_id).await.contains(gone), "{gone}");
    }
    assert_eq!(world.list().slots[0].entities, 85);

    // One of them comes back, in other words.
    world.put_entity(&changes.deleted[0], "back again");
    world.entity_ids.push(changes.deleted[0].clone());
    let third = world.fork(&request).await.expect("it is carried over");
    assert_eq!((third.entities, third.deleted), (1, 0));
    assert_is_a_clean_build(&world, &third.slot_id).await;
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_drop_is_refused_until_its_size_is_confirmed() {
    let mut world = World::with(WorldOptions { entities: 40, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let request = |options| request(&world, options);
    let (plain, first) = (request(ForkOptions::default()), request(ForkOptions::default()));
    let too_few = request(ForkOptions { confirm_drop: 8, ..ForkOptions::default() });
    let confirmed = request(ForkOptions { confirm_drop: 9, ..ForkOptions::default() });
    let slot = world.fork(&first).await.expect("the fork completes").slot_id;
    let before = world.content(&slot).await;
    let gone: Vec<String> = world.entity_ids[..9].to_vec();
    world.delete(&gone).await;

    for refused in [&plain, &too_few] {
        let failure = world.fork(refused).await.expect_err("nine of forty are more than a fifth");
        assert_eq!(failure.kind(), Some(ErrorKind::RawStoreInvalid), "{failure}");
        let words = failure.to_string();
        assert!(words.contains("9 of the 40") && words.contains("confirm_drop = 9"), "{words}");
        assert_eq!(world.content(&slot).await, before, "nothing was deleted");
        assert_eq!(world.list().slots[0].state(), SlotState::Ready, "and the slot is as ready as before");
    }

    let result = world.fork(&confirmed).await.expect("it is meant");
    assert_eq!((result.deleted, result.listed), (9, 31));
    assert_is_a_clean_build(&world, &slot).await;
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_or_is_empty_deletes_nothing() {
    let world = World::with(WorldOptions { entities: 20, ..WorldOptions::default() }).await;
    let worker = world.worker();
    // The platform knows nothing, so that nothing but the listing itself speaks against it.
    sqlx::query("DELETE FROM public.entity").execute(world.database.pool()).await.expect("the table can be emptied");
    let everything = ForkOptions { max_drop_percent: Some(100), confirm_drop: 1000, ..ForkOptions::default() };
    let request = request(&world, everything);
    let slot = world.fork(&request).await.expect("the fork completes").slot_id;
    let before = world.content(&slot).await;
    let (entities, aside) = (world.store().join("entities"), world.store().join("aside"));

    fs::rename(&entities, &aside).expect("the entities can be moved away");
    let failure = world.fork(&request).await.expect_err("there is nothing to list");
    assert_eq!(failure.kind(), Some(ErrorKind::NotFound), "{failure}");
    fs::create_dir(&entities).expect("an empty folder can be made");
    let failure = world.fork(&request).await.expect_err("an empty listing is no listing");
    assert_eq!(failure.kind(), Some(ErrorKind::RawStoreInvalid), "{failure}");
    fs::remove_dir(&entities).expect("it is empty");
    fs::rename(&aside, &entities).expect("the entities can be moved back");

    // A name that cannot be: the listing fails in the middle.
    let unlistable = entities.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff.json"));
    fs::write(&unlistable, "{}").expect("any bytes are a name");
    fs::remove_file(world.entity_file(&world.entity_ids[0])).expect("an entity can be removed");
    let failure = world.fork(&request).await.expect_err("the listing is not whole");
    assert_eq!(failure.kind(), Some(ErrorKind::RawStoreInvalid), "{failure}");
    assert_eq!(world.content(&slot).await, before, "nothing was deleted by any of them");
    assert_eq!(world.list().slots[0].state(), SlotState::Ready);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_still_knows_is_kept_and_named() {
    let mut world = World::with(WorldOptions { entities: 40, ..WorldOptions::default() }).await;
    let held = hold(&world).await;
    let handle = start(&world, &request(&world, ForkOptions::default())).await;
    let worker = world.worker();
    at(&handle, "three lanes", |it| it.segments_in_flight == 3).await;
    signal(&handle, "pause", vec![]).await;
    at(&handle, "the pause", |it| it.paused).await;
    let_go(held).await;
    let paused = at(&handle, "the lanes to run dry", |it| it.segments_in_flight == 0).await;
    // Written already, and lost from the raw store since, unless the platform says otherwise.
    let written = world.stored_entities(&paused.slot_id).await;
    let (lost, deleted) = (written[0].clone(), written[1].clone());
    fs::remove_file(world.entity_file(&lost)).expect("an entity can be removed");
    world.delete(std::slice::from_ref(&deleted)).await;
    signal(&handle, "resume", vec![]).await;

    let result = completed(&handle).await;
    assert_eq!((result.deleted, result.listed), (1, 38), "{result:?}");
    let kept = result.gaps.iter().find(|gap| gap.what.contains("still known to the platform"));
    assert_eq!(kept.map(|gap| gap.count), Some(1), "{:?}", result.gaps);
    let stored = world.stored_entities(&result.slot_id).await;
    assert!(stored.contains(&lost) && !stored.contains(&deleted));

    // Whoever goes on although the raw store is incomplete gets what the raw store holds.
    let incomplete = request(&world, ForkOptions { allow_incomplete: true, ..ForkOptions::default() });
    let result = world.fork(&incomplete).await.expect("it goes on");
    assert_eq!(result.deleted, 1);
    assert!(!world.stored_entities(&result.slot_id).await.contains(&lost));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_that_loses_its_text_loses_its_points() {
    let mut world = World::with(WorldOptions { entities: 12, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let request = request(&world, ForkOptions::default());
    let slot = world.fork(&request).await.expect("the fork completes").slot_id;
    let silent = world.entity_ids.remove(3);
    let mut fields = harness::entity(&silent, "a file that was not stored");
    fields.extend([
        ("__entity_class__".to_owned(), "SomeFileEntity".into()),
        ("url".to_owned(), "u".into()),
        ("size".to_owned(), 1.into()),
        ("file_type".to_owned(), "x".into()),
        ("local_path".to_owned(), "/tmp/a.md".into()),
    ]);
    world.put_entity_text(&silent, &serde_json::Value::Object(fields).to_string());
    let result = world.fork(&request).await.expect("it is carried over");
    assert_eq!((result.entities, result.textless), (1, 1), "{result:?}");
    assert!(!world.stored_entities(&slot).await.contains(&silent));
    assert_is_a_clean_build(&world, &slot).await;
    drop(worker);
    world.done().await;
}
