//! The flip, alone and in a crowd.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sqlx::postgres::PgListener;
use uuid::Uuid;

use super::world::{World, join, sync};
use crate::database::roles::{self, CHANNEL, FlipCommand, SwitchCheck};
use crate::database::slots;
use crate::error::ErrorKind;

/// The refusal of a flip, which changes nothing and is what the dry run announces.
pub(super) async fn refused(world: &World, command: &FlipCommand) -> String {
    let before = world.everything().await;
    let check = roles::check_switch(world.database(), command).await.unwrap();
    assert_eq!(check.finished, None);
    let error = roles::flip(world.database(), std::slice::from_ref(command)).await.unwrap_err();
    assert_eq!(world.everything().await, before, "a refused flip changes nothing");
    let first = &check.blockers[0];
    assert_eq!(
        (error.kind(), error.message()),
        (first.kind, format!("{}: {}", first.message, first.next_step).as_str())
    );
    assert!(!first.next_step.is_empty());
    error.message().to_owned()
}

#[tokio::test]
async fn a_ready_shadow_is_promoted_and_everybody_can_know() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let untouched = join(world.pool(), world.sync_id, world.destination().await, 3).await;
    let mut listener = PgListener::connect_with(world.pool()).await.unwrap();
    listener.listen(CHANNEL).await.unwrap();
    let times = "SELECT id, modified_at::text FROM public.sync_connection ORDER BY id";
    let before: BTreeMap<Uuid, String> =
        sqlx::query_as(times).fetch_all(world.pool()).await.unwrap().into_iter().collect();
    let command = FlipCommand {
        expected_active: Some(world.active_slot_id),
        expected_generation: Some(0),
        ..world.flip_to(slot.slot_id)
    };
    assert_eq!(roles::check_switch(world.database(), &command).await.unwrap(), SwitchCheck::default());

    let outcome = world.flip(&command).await.unwrap();

    assert_eq!(outcome.previous_active, Some(world.active_slot_id));
    assert_eq!((outcome.new_active, outcome.generation), (slot.slot_id, 1));
    assert_eq!(roles::generation(world.database(), world.organization_id, world.sync_id).await.unwrap(), 1);
    let roles: BTreeMap<Uuid, Option<String>> = world.roles().await.into_iter().collect();
    assert_eq!(roles[&slot.slot_id].as_deref(), Some("active"));
    assert_eq!(roles[&world.active_slot_id].as_deref(), Some("deprecated"));
    assert_eq!(roles[&untouched].as_deref(), Some("shadow"));
    assert_eq!(roles[&world.source_row_id], None);
    let after: BTreeMap<Uuid, String> =
        sqlx::query_as(times).fetch_all(world.pool()).await.unwrap().into_iter().collect();
    let changed: Vec<Uuid> = before.keys().filter(|id| before[*id] != after[*id]).copied().collect();
    let mut expected = vec![slot.slot_id, world.active_slot_id];
    expected.sort();
    assert_eq!(changed, expected, "modified_at tells which rows were written");

    let (connection_id, slot_id, short_name, profile, generation): (Uuid, Uuid, String, Value, i64) = sqlx::query_as(
        "SELECT connection_id, slot_id, short_name, profile, generation
         FROM sync_multiplexer.active_destination WHERE sync_id = $1 AND organization_id = $2",
    )
    .bind(world.sync_id)
    .bind(world.organization_id)
    .fetch_one(world.pool())
    .await
    .unwrap();
    let promoted = slots::get(world.database(), &slot).await.unwrap();
    assert_eq!((connection_id, slot_id, short_name.as_str()), (promoted.connection_id, slot.slot_id, "qdrant"));
    assert_eq!((Some(profile), generation), (promoted.built.map(|built| built.profile), 1));

    let notice = tokio::time::timeout(std::time::Duration::from_secs(20), listener.recv()).await.unwrap().unwrap();
    let notice: Value = serde_json::from_str(notice.payload()).unwrap();
    assert_eq!(notice["new_active"], slot.slot_id.to_string());
    assert_eq!(notice["generation"], 1);
}

#[tokio::test]
async fn a_repeated_flip_gives_the_same_answer_and_changes_nothing() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let command = FlipCommand { expected_generation: Some(0), ..world.flip_to(slot.slot_id) };
    let outcome = world.flip(&command).await.unwrap();
    let after = world.everything().await;
    assert_eq!(world.flip(&command).await.unwrap(), outcome);
    // Another operation that asks for the very same change finds it done.
    let equal = FlipCommand { operation_id: Uuid::now_v7(), ..command.clone() };
    assert_eq!(world.flip(&equal).await.unwrap(), outcome);
    let check = roles::check_switch(world.database(), &equal).await.unwrap();
    assert_eq!(check, SwitchCheck { finished: Some(outcome.clone()), blockers: vec![] });
    assert_eq!(world.everything().await, after);

    // One that expects another beginning does not.
    let stale = FlipCommand { expected_generation: Some(1), ..equal.clone() };
    assert!(refused(&world, &stale).await.contains("is the active one already"));
    let stale = FlipCommand { expected_active: Some(Uuid::now_v7()), expected_generation: None, ..equal };
    assert!(refused(&world, &stale).await.contains("is the active one already"));

    // A later flip does not change what the first operation answers.
    let next = world.ready_shadow().await;
    world.flip(&world.flip_to(next.slot_id)).await.unwrap();
    assert_eq!(world.flip(&command).await.unwrap(), outcome);
}

#[tokio::test]
async fn what_cannot_be_promoted() {
    let world = World::new().await;
    let platform_made = join(world.pool(), world.sync_id, world.destination().await, 3).await;
    let empty = world.shadow().await;
    let building = world.shadow().await;
    slots::mark_building(world.database(), &building).await.unwrap();
    for (target, words) in [
        (world.active_slot_id, "is the active one already"),
        (platform_made, "made by the platform"),
        (empty.slot_id, "is empty"),
        (building.slot_id, "still being built"),
        (world.source_row_id, "is not a destination"),
        (Uuid::now_v7(), "is not a destination"),
    ] {
        let message = refused(&world, &world.flip_to(target)).await;
        assert!(message.contains(words), "{message}");
    }
    let ready = world.ready_shadow().await;
    world.flip(&world.flip_to(ready.slot_id)).await.unwrap();
    let message = refused(&world, &world.flip_to(world.active_slot_id)).await;
    assert!(message.contains("deprecated"), "{message}");
}

#[tokio::test]
async fn expectations_that_do_not_hold() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let stale = FlipCommand {
        expected_active: Some(Uuid::now_v7()),
        expected_generation: Some(7),
        ..world.flip_to(slot.slot_id)
    };
    assert!(refused(&world, &stale).await.contains("the active slot is"));
    let check = roles::check_switch(world.database(), &stale).await.unwrap();
    assert_eq!(check.blockers.len(), 2, "every reason is named");
    let stale = FlipCommand { expected_active: None, ..stale };
    assert!(refused(&world, &stale).await.contains("generation 0, not 7"));
}

#[tokio::test]
async fn an_operation_id_is_one_switch() {
    let world = World::new().await;
    let (first, second) = (world.ready_shadow().await, world.ready_shadow().await);
    let command = world.flip_to(first.slot_id);
    world.flip(&command).await.unwrap();
    let other = FlipCommand { target_slot_id: second.slot_id, ..command };
    assert!(refused(&world, &other).await.contains("another switch"));
}

#[tokio::test]
async fn a_sync_without_an_active_slot_gets_one() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    sqlx::query("DELETE FROM public.sync_connection WHERE id = $1")
        .bind(world.active_slot_id)
        .execute(world.pool())
        .await
        .unwrap();
    let outcome = world.flip(&world.flip_to(slot.slot_id)).await.unwrap();
    assert_eq!((outcome.previous_active, outcome.generation), (None, 1));
}

#[tokio::test]
async fn a_slot_of_another_sync_is_not_found() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let other_sync = sync(world.pool(), world.organization_id).await;
    let command = FlipCommand { sync_id: other_sync, ..world.flip_to(slot.slot_id) };
    let error = roles::flip(world.database(), &[command]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(roles::generation(world.database(), world.organization_id, other_sync).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_a_crowd_each_generation_has_one_winner() {
    let world = World::new().await;
    let targets = [world.ready_shadow().await.slot_id, world.ready_shadow().await.slot_id];
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let world = Arc::clone(&world);
            let command = FlipCommand { expected_generation: Some(0), ..world.flip_to(targets[n % 2]) };
            tokio::spawn(async move { (command.clone(), world.flip(&command).await) })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        let (command, outcome) = task.await.unwrap();
        match outcome {
            Ok(outcome) => winners.push((command, outcome)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
        let active: i64 =
            sqlx::query_scalar("SELECT count(*) FROM public.sync_connection WHERE sync_id = $1 AND role = 'active'")
                .bind(world.sync_id)
                .fetch_one(world.pool())
                .await
                .unwrap();
        assert_eq!(active, 1);
    }
    // Half of them asked for the target that won, and are told the one outcome; the others were refused.
    assert_eq!(winners.len(), 10);
    assert!(winners.iter().all(|(_, outcome)| *outcome == winners[0].1));
    let audit: Vec<(i64, Uuid)> = sqlx::query_as("SELECT generation, new_active FROM sync_multiplexer.audit")
        .fetch_all(world.pool())
        .await
        .unwrap();
    assert_eq!(audit, [(1, winners[0].1.new_active)]);
    for (command, outcome) in &winners {
        assert_eq!(&world.flip(command).await.unwrap(), outcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_expectations_each_ready_shadow_is_promoted_once() {
    let world = World::new().await;
    let targets = [world.ready_shadow().await.slot_id, world.ready_shadow().await.slot_id];
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (world, command) = (Arc::clone(&world), world.flip_to(targets[n % 2]));
            tokio::spawn(async move { world.flip(&command).await })
        })
        .collect();
    let mut winners = BTreeMap::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(outcome) => {
                let target = winners.entry(outcome.generation).or_insert(outcome.new_active);
                assert_eq!(*target, outcome.new_active, "one generation, one winner");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    assert_eq!(winners.keys().copied().collect::<Vec<_>>(), [1, 2]);
    let active = slots::list(world.database(), world.organization_id, world.sync_id).await.unwrap().remove(0);
    assert_eq!(active.slot_id, winners[&2]);
}
