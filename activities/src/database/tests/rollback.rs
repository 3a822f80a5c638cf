//! Reverse windows, and going back inside them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::roles::refused;
use super::world::World;
use crate::database::reverse_window::{self, ReverseWindow};
use crate::database::roles::{self, FlipCommand, Predecessor};
use crate::database::{SlotScope, active_destination, slots};
use crate::error::ErrorKind;

async fn window(world: &World, slot_id: Uuid) -> Option<ReverseWindow> {
    let scope = world.scope(slot_id);
    let window = reverse_window::of(world.database(), &scope).await.unwrap();
    assert_eq!(slots::get(world.database(), &scope).await.unwrap().window, window, "the list says the same");
    window
}

/// Two ready slots; the first is active, after the platform's own.
async fn two_slots() -> (World, SlotScope, SlotScope) {
    let world = World::new().await;
    let (first, second) = (world.ready_shadow().await, world.ready_shadow().await);
    world.flip(&world.flip_to(first.slot_id)).await.unwrap();
    (world, first, second)
}

async fn kept_until(world: &World, slot_id: Uuid) -> Option<DateTime<Utc>> {
    sqlx::query_scalar("SELECT kept_until FROM sync_multiplexer.slot WHERE slot_id = $1")
        .bind(slot_id)
        .fetch_one(world.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_flip_opens_the_window_of_the_slot_it_leaves_and_going_back_ends_it() {
    let (world, first, second) = two_slots().await;
    assert_eq!(window(&world, first.slot_id).await, None, "an active slot has no window");

    let left = world.flip(&world.flip_to(second.slot_id)).await.unwrap();
    let until = left.kept_until.unwrap();
    assert_eq!(until - left.switched_at, chrono::Duration::seconds(3600));
    assert_eq!(window(&world, first.slot_id).await, Some(ReverseWindow { kept_until: until, is_open: true }));
    assert_eq!(kept_until(&world, first.slot_id).await, Some(until));

    let back = FlipCommand { rollback: true, ..world.flip_to(first.slot_id) };
    assert_eq!(roles::check_switch(world.database(), &back).await.unwrap(), roles::SwitchCheck::default());
    let returned = world.flip(&back).await.unwrap();
    assert_eq!((returned.previous_active, returned.generation), (Some(second.slot_id), 3));
    assert_eq!(kept_until(&world, first.slot_id).await, None, "the slot that is active again is kept for nothing");
    assert_eq!(window(&world, first.slot_id).await, None);
    assert!(window(&world, second.slot_id).await.unwrap().is_open, "a rollback can be rolled back");
    assert_eq!(world.flip(&back).await.unwrap(), returned, "asked again, it answers the same");
    let equal = FlipCommand { operation_id: Uuid::now_v7(), ..back };
    assert_eq!(world.flip(&equal).await.unwrap(), returned);

    // A switch that comes late is no rollback.
    let words = refused(&world, &world.flip_to(second.slot_id)).await;
    assert!(words.contains("going back to it is a rollback"), "{words}");
    let again = FlipCommand { rollback: true, ..world.flip_to(second.slot_id) };
    world.flip(&again).await.unwrap();
    let active = active_destination::resolve(world.database(), world.organization_id, world.sync_id).await.unwrap();
    assert_eq!((active.slot_id, active.generation), (second.slot_id, 4));
}

#[tokio::test]
async fn after_the_window_or_without_one_there_is_no_way_back() {
    let (world, first, second) = two_slots().await;
    world.flip(&world.flip_to(second.slot_id)).await.unwrap();
    world.end_window(first.slot_id).await;
    assert!(!window(&world, first.slot_id).await.unwrap().is_open);
    for rollback in [false, true] {
        let words = refused(&world, &FlipCommand { rollback, ..world.flip_to(first.slot_id) }).await;
        assert!(
            words.contains("its reverse window ended at") && words.contains("fork to another connection"),
            "{words}"
        );
    }

    let third = world.ready_shadow().await;
    let unkept = FlipCommand { reverse_window: Duration::ZERO, ..world.flip_to(third.slot_id) };
    assert_eq!(world.flip(&unkept).await.unwrap().kept_until, None);
    assert_eq!(window(&world, second.slot_id).await, None);
    let words = refused(&world, &world.flip_to(second.slot_id)).await;
    assert!(words.contains("left without a reverse window"), "{words}");
}

#[tokio::test]
async fn a_slot_of_the_platform_has_a_window_but_nothing_is_known_of_its_content() {
    let (world, ..) = two_slots().await;
    let window_of_theirs = window(&world, world.active_slot_id).await.unwrap();
    assert!(window_of_theirs.is_open);
    let words = refused(&world, &FlipCommand { rollback: true, ..world.flip_to(world.active_slot_id) }).await;
    assert!(words.contains("was made by the platform"), "{words}");
    assert!(words.contains("fork to its connection to adopt it, then roll back"), "{words}");
    world.end_window(world.active_slot_id).await;
    assert!(!window(&world, world.active_slot_id).await.unwrap().is_open);
    let words = refused(&world, &FlipCommand { rollback: true, ..world.flip_to(world.active_slot_id) }).await;
    assert!(words.contains("fork to another connection and switch to that shadow"), "{words}");
}

#[tokio::test]
async fn a_rollback_goes_to_a_slot_that_was_active_before() {
    let (world, _, second) = two_slots().await;
    let words = refused(&world, &FlipCommand { rollback: true, ..world.flip_to(second.slot_id) }).await;
    assert!(words.contains("is a shadow, and a rollback goes to a slot that was active before"), "{words}");
}

#[tokio::test]
async fn the_one_before_is_where_the_last_switch_came_from() {
    let world = World::new().await;
    let before = async || roles::predecessor(world.database(), world.organization_id, world.sync_id).await;
    let error = before().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("was never switched"), "{error}");

    let (first, second) = (world.ready_shadow().await, world.ready_shadow().await);
    let came_from = |slot_id, generation| Predecessor { slot_id, generation };
    let steps = [(first, world.active_slot_id, false), (second, first.slot_id, false), (first, second.slot_id, true)];
    for (generation, (to, from, rollback)) in (1..).zip(steps) {
        world.flip(&FlipCommand { rollback, ..world.flip_to(to.slot_id) }).await.unwrap();
        assert_eq!(before().await.unwrap(), came_from(from, generation));
    }

    let other = World::new().await;
    let only = other.ready_shadow().await;
    sqlx::query("DELETE FROM public.sync_connection WHERE id = $1")
        .bind(other.active_slot_id)
        .execute(other.pool())
        .await
        .unwrap();
    other.flip(&other.flip_to(only.slot_id)).await.unwrap();
    let error = roles::predecessor(other.database(), other.organization_id, other.sync_id).await.unwrap_err();
    assert!(error.message().contains("had no active slot before"), "{error}");
}

#[tokio::test]
async fn readers_are_told_sync_collection_connection_kind_profile_and_generation() {
    let (world, first, _) = two_slots().await;
    let seen = async || active_destination::resolve(world.database(), world.organization_id, world.sync_id).await;
    let active = seen().await.unwrap();
    let slot = slots::get(world.database(), &first).await.unwrap();
    assert_eq!((active.slot_id, active.connection_id, active.generation), (first.slot_id, slot.connection_id, 1));
    assert_eq!((active.short_name.as_str(), active.profile), ("qdrant", slot.built.map(|built| built.profile)));
    assert_eq!((active.collection_id, active.collection_readable_id), (None, None), "no source connection names one");

    let collection_id: Uuid = sqlx::query_scalar(
        "INSERT INTO public.collection
             (id, created_at, modified_at, organization_id, name, readable_id, vector_size, embedding_model_name)
         VALUES (gen_random_uuid(), now(), now(), $1, 'Notes', 'notes-7', 3, 'm') RETURNING id",
    )
    .bind(world.organization_id)
    .fetch_one(world.pool())
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO public.source_connection
             (id, created_at, modified_at, organization_id, name, short_name, sync_id, readable_collection_id)
         VALUES (gen_random_uuid(), now(), now(), $1, 'Slack', 'slack', $2, 'notes-7')",
    )
    .bind(world.organization_id)
    .bind(world.sync_id)
    .execute(world.pool())
    .await
    .unwrap();
    let active = seen().await.unwrap();
    assert_eq!(
        (active.collection_id, active.collection_readable_id.as_deref()),
        (Some(collection_id), Some("notes-7"))
    );
    let sync = crate::database::platform::sync(world.database(), world.organization_id, world.sync_id).await.unwrap();
    assert_eq!(active.collection_id, sync.collection_id, "readers and the worker mean the same collection");

    sqlx::query("UPDATE public.sync_connection SET role = 'shadow' WHERE id = $1")
        .bind(first.slot_id)
        .execute(world.pool())
        .await
        .unwrap();
    let error = seen().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("has no active destination"), "{error}");
}
