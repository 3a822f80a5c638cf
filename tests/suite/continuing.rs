//! Forking to a connection that has a slot already: it goes on where it was, or says why it must not.

use harness::World;
use proto::v1::{ForkOptions, ForkRequest, ForkResult, Role, SlotState};
use uuid::Uuid;
use workflows::domain::ErrorKind;

/// The words of a conflict.
async fn conflict(world: &World, request: &ForkRequest) -> String {
    let failure = world.fork(request).await.expect_err("it is refused");
    assert_eq!(failure.kind(), Some(ErrorKind::Conflict), "{failure}");
    failure.to_string()
}

/// Texts of an entity's chunks as they are in the slot.
async fn stored_texts(world: &World, slot: &str, entity: &str) -> Vec<String> {
    let query = format!("SELECT text FROM {} WHERE entity_id = $1 ORDER BY chunk_index", world.points_table(slot));
    sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .bind(entity)
        .fetch_all(world.database.pool())
        .await
        .expect("the slot can be read")
}

fn counts(result: &ForkResult) -> (u64, u64, u64) {
    (result.listed, result.unchanged, result.entities)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_without_replay_makes_an_empty_slot_that_a_later_one_fills() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    let options = ForkOptions { without_replay: true, ..request.options.unwrap_or_default() };
    let empty = ForkRequest { options: Some(options), ..request.clone() };

    let made = world.fork(&empty).await.expect("an empty slot can be made");
    assert_eq!((made.state.as_str(), made.continued, counts(&made)), ("empty", false, (0, 0, 0)));
    assert_eq!(world.list().slots[0].state(), SlotState::Empty);
    assert!(world.stored_entities(&made.slot_id).await.is_empty());

    let again = world.fork(&empty).await.expect("an empty slot can be made twice");
    assert_eq!((again.state.as_str(), again.continued, &again.slot_id), ("empty", true, &made.slot_id));

    let refused = world.switch(&world.switch_request(&made.slot_id)).await.expect_err("an empty slot is not promoted");
    assert_eq!(refused.kind(), Some(ErrorKind::Conflict));
    assert!(refused.to_string().contains("is empty") && refused.to_string().contains("run a fork"), "{refused}");

    let filled = world.fork(&request).await.expect("the slot can be filled");
    assert_eq!((filled.state.as_str(), filled.continued, counts(&filled)), ("ready", true, (60, 0, 60)));
    assert_eq!(filled.slot_id, made.slot_id);
    assert_eq!(world.stored_entities(&filled.slot_id).await.len(), 60);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forking_again_carries_only_what_is_new() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    let first = world.fork(&request).await.expect("the fork completes");
    assert_eq!(counts(&first), (60, 0, 60));

    let second = world.fork(&request).await.expect("nothing to do is no failure");
    assert_eq!((second.continued, second.state.as_str(), counts(&second)), (true, "ready", (60, 60, 0)));
    assert_eq!((&second.slot_id, second.points), (&first.slot_id, 0));

    world.put_entity("new one", "a page that was not there before");
    world.put_entity("new two", "another page that was not there before");
    let changed = &world.entity_ids[7];
    world.put_entity(changed, "this is what the page says since it was edited");
    let third = world.fork(&request).await.expect("the changes are carried over");
    assert_eq!((third.continued, counts(&third)), (true, (62, 59, 3)));
    let texts = stored_texts(&world, &third.slot_id, changed).await.join("\n");
    assert!(texts.contains("since it was edited"), "{texts}");

    let mut expected = world.entity_ids.clone();
    expected.extend(["new one".to_owned(), "new two".to_owned()]);
    expected.sort();
    assert_eq!(world.stored_entities(&third.slot_id).await, expected);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_profile_or_a_slot_in_use_is_a_conflict_with_a_way_out() {
    let world = World::new().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    let first = world.fork(&request).await.expect("the fork completes");

    let other = ForkRequest { profile: Some(world.profile(128)), ..request.clone() };
    let words = conflict(&world, &other).await;
    assert!(words.contains("built with another profile (chunks of 512)"), "{words}");
    assert!(words.contains("fork to another connection"), "{words}");
    let slot = &world.list().slots[0];
    assert_eq!((slot.state(), slot.role(), slot.entities), (SlotState::Ready, Role::Shadow, 60), "nothing was touched");

    // Another name for the same settings is the same profile.
    let mut renamed = world.profile(512);
    "another name".clone_into(&mut renamed.name);
    let again = world.fork(&ForkRequest { profile: Some(renamed), ..request.clone() }).await.expect("it is continued");
    assert_eq!(counts(&again), (60, 60, 0));

    world.switch(&world.switch_request(&first.slot_id)).await.expect("the slot is ready");
    let words = conflict(&world, &request).await;
    assert!(words.contains("is the active destination") && words.contains("fork to another connection"), "{words}");

    let second = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("the other connection is free");
    world.switch(&world.switch_request(&second.slot_id)).await.expect("the slot is ready");
    let words = conflict(&world, &request).await;
    assert!(words.contains("kept for a rollback") && words.contains("fork to another connection"), "{words}");
    let roles: Vec<_> = world.list().slots.iter().map(|slot| (slot.role(), slot.entities)).collect();
    assert_eq!(roles, [(Role::Active, 60), (Role::Deprecated, 60)]);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_operation_twice_is_one_operation() {
    let world = World::new().await;
    let worker = world.worker();
    let operation_id = Uuid::new_v4().to_string();
    let request = ForkRequest { operation_id: operation_id.clone(), ..world.fork_request(world.ids.connection_v0) };
    let first = world.fork(&request).await.expect("the fork completes");
    assert_eq!((&first.operation_id, first.continued), (&operation_id, false));

    // A change after the end is another operation's business.
    world.put_entity("later", "written after the operation ended");
    let second = world.fork(&request).await.expect("repeating a finished fork answers");
    assert_eq!(second, first);
    let recorded: Vec<String> = sqlx::query_scalar("SELECT state FROM sync_multiplexer.operation WHERE kind = 'fork'")
        .fetch_all(world.database.pool())
        .await
        .expect("the operations can be read");
    assert_eq!(recorded, ["completed"]);

    let other = ForkRequest { operation_id, ..world.fork_request(world.ids.connection_v1) };
    let words = conflict(&world, &other).await;
    assert!(words.contains("choose a new one"), "{words}");
    assert_eq!(world.list().slots.len(), 1, "the id of another operation makes nothing");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_operation_answers_its_failure_again() {
    let world = World::new().await;
    let worker = world.worker();
    let manifest = world.store().join("manifest.json");
    let whole = std::fs::read(&manifest).expect("the manifest is readable");
    std::fs::remove_file(&manifest).expect("the manifest can be removed");
    let operation_id = Uuid::new_v4().to_string();
    let request = ForkRequest { operation_id, ..world.fork_request(world.ids.connection_v0) };
    let first = world.fork(&request).await.expect_err("a store without a manifest is refused");

    std::fs::write(&manifest, whole).expect("the manifest can be put back");
    let again = world.fork(&request).await.expect_err("one id is one operation");
    assert_eq!(again.kind(), first.kind());
    assert!(again.to_string().contains("failed before") && again.to_string().contains("new operation id"), "{again}");
    world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("another operation completes");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}
