//! The rules for making a shadow, one by one.

use serde_json::json;
use uuid::Uuid;

use super::world::{World, join, sync};
use crate::database::SlotScope;
use crate::database::classify::is_violation_of;
use crate::database::dead_letters;
use crate::database::shadow::{self, NewShadow, Shadow};
use crate::database::slots::{self, Role, SlotState};
use crate::error::ErrorKind;

#[tokio::test]
async fn a_new_connection_gets_a_shadow_and_a_retry_the_same_one() {
    let world = World::new().await;
    let new = world.new_shadow(world.destination().await);
    let created = shadow::create(world.database(), &new).await.unwrap();
    assert_eq!(created, Shadow::Created(new.scope));
    let once = world.everything().await;
    assert_eq!(shadow::create(world.database(), &new).await.unwrap(), created);
    assert_eq!(world.everything().await, once);

    let slot = slots::get(world.database(), &new.scope).await.unwrap();
    assert_eq!(slot.role, Some(Role::Shadow));
    let built = slot.built.unwrap();
    assert_eq!((built.state, built.fingerprint.as_str(), built.profile), (SlotState::Empty, "f1", new.profile.clone()));
    assert_eq!((built.created_by_operation, built.embedder_model), (new.operation_id, new.embedder_model.clone()));
    let age = chrono::Utc::now() - slot.created_at;
    assert!(age.abs() < chrono::Duration::minutes(5), "the platform's times are UTC, not {}", slot.created_at);
}

#[tokio::test]
async fn another_operation_with_the_same_profile_continues() {
    let world = World::new().await;
    let first = world.new_shadow(world.destination().await);
    shadow::create(world.database(), &first).await.unwrap();
    let before = world.everything().await;
    let second = NewShadow { scope: first.scope, place: first.place.clone(), ..world.new_shadow(first.connection_id) };
    assert_eq!(shadow::create(world.database(), &second).await.unwrap(), Shadow::Continued(first.scope));
    let late = world.new_shadow(first.connection_id);
    assert_eq!(shadow::create(world.database(), &late).await.unwrap(), Shadow::Continued(first.scope));
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn what_does_not_count_for_the_fingerprint_is_as_the_last_fork_says() {
    let world = World::new().await;
    let first = world.new_shadow(world.destination().await);
    shadow::create(world.database(), &first).await.unwrap();
    let profile = json!({"chunker": {"max_tokens": 512}, "qdrant": {"alias": "current"}});
    let second = NewShadow { profile: profile.clone(), profile_name: "renamed".into(), ..first.clone() };
    let second = NewShadow { operation_id: Uuid::now_v7(), ..second };
    assert_eq!(shadow::create(world.database(), &second).await.unwrap(), Shadow::Continued(first.scope));
    let built = slots::get(world.database(), &first.scope).await.unwrap().built.unwrap();
    assert_eq!((built.profile, built.profile_name.as_str()), (profile, "renamed"));
    assert_eq!((built.fingerprint, built.created_by_operation), (first.fingerprint, first.operation_id));
}

#[tokio::test]
async fn what_must_not_be_touched_is_a_conflict_that_says_what_to_do() {
    let world = World::new().await;
    let other_profile = world.new_shadow(world.destination().await);
    shadow::create(world.database(), &other_profile).await.unwrap();
    let platform_made = world.destination().await;
    join(world.pool(), world.sync_id, platform_made, 3).await;
    // The platform's own active slot would be adopted, so another one of ours is left.
    let left = world.ready_shadow().await;
    let left_connection = slots::get(world.database(), &left).await.unwrap().connection_id;
    world.flip(&world.flip_to(left.slot_id)).await.unwrap();
    let promoted = world.ready_shadow().await;
    let promoted_connection = slots::get(world.database(), &promoted).await.unwrap().connection_id;
    world.flip(&world.flip_to(promoted.slot_id)).await.unwrap();
    let before = world.everything().await;

    for (connection_id, words) in [
        (other_profile.connection_id, "another profile (v1)"),
        (platform_made, "added by the platform"),
        (promoted_connection, "active destination"),
        (left_connection, "kept for a rollback"),
    ] {
        let new = NewShadow { fingerprint: "f2".into(), ..world.new_shadow(connection_id) };
        let error = shadow::create(world.database(), &new).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains(words), "{error}");
        assert!(error.message().contains("fork to another connection"), "{error}");
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn another_model_behind_the_same_profile_is_a_conflict() {
    let world = World::new().await;
    let first = world.new_shadow(world.destination().await);
    shadow::create(world.database(), &first).await.unwrap();
    let before = world.everything().await;
    let other = NewShadow { embedder_model: Some("model two".into()), ..world.new_shadow(first.connection_id) };
    let error = shadow::create(world.database(), &other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("holds vectors of the model model one, but this worker has model two"), "{error}");

    // Of a slot that an earlier release made it is not known, so nothing speaks against going on.
    sqlx::query("UPDATE sync_multiplexer.slot SET embedder_model = NULL").execute(world.pool()).await.unwrap();
    assert_eq!(shadow::create(world.database(), &other).await.unwrap(), Shadow::Continued(first.scope));
    sqlx::query("UPDATE sync_multiplexer.slot SET embedder_model = 'model one'").execute(world.pool()).await.unwrap();
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn a_retry_with_other_settings_is_refused() {
    let world = World::new().await;
    let new = world.new_shadow(world.destination().await);
    shadow::create(world.database(), &new).await.unwrap();
    let changed = NewShadow { fingerprint: "f2".into(), ..new };
    assert_eq!(shadow::create(world.database(), &changed).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn only_destinations_become_shadows() {
    let world = World::new().await;
    let before = world.everything().await;
    let source = world.new_shadow(world.source_connection_id);
    assert_eq!(shadow::create(world.database(), &source).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let unknown = world.new_shadow(Uuid::now_v7());
    assert_eq!(shadow::create(world.database(), &unknown).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn a_slot_id_is_used_once() {
    let world = World::new().await;
    let first = world.shadow().await;
    let second = NewShadow { scope: first, ..world.new_shadow(world.destination().await) };
    assert_eq!(shadow::create(world.database(), &second).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn no_two_slots_of_a_sync_are_in_one_place() {
    let world = World::new().await;
    let first = world.ready_shadow().await;
    let taken = slots::get(world.database(), &first).await.unwrap().built.unwrap().place.unwrap();
    world.flip(&world.flip_to(first.slot_id)).await.unwrap();
    let before = world.everything().await;
    let second = NewShadow { place: taken.clone(), ..world.new_shadow(world.destination().await) };
    let error = shadow::create(world.database(), &second).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    for words in [&first.slot_id.to_string(), "active", &taken, "name another collection"] {
        assert!(error.message().contains(words), "{error}");
    }
    assert_eq!(world.everything().await, before);

    // The rule is in the schema too, and it is a rule of one sync.
    shadow::create(world.database(), &NewShadow { place: "elsewhere".into(), ..second.clone() }).await.unwrap();
    let by_hand = sqlx::query("UPDATE sync_multiplexer.slot SET place = $1 WHERE slot_id = $2");
    let error = by_hand.bind(&taken).bind(second.scope.slot_id).execute(world.pool()).await.unwrap_err();
    assert!(is_violation_of(&error, "slot_place_taken_once"), "{error}");
    let sync_id = sync(world.pool(), world.organization_id).await;
    let scope = SlotScope { sync_id, ..world.scope(Uuid::now_v7()) };
    let other_sync = NewShadow { scope, place: taken, ..world.new_shadow(world.destination().await) };
    assert_eq!(shadow::create(world.database(), &other_sync).await.unwrap(), Shadow::Created(scope));
}

#[tokio::test]
async fn a_continued_slot_is_where_its_connection_leads_now() {
    let world = World::new().await;
    let first = world.new_shadow(world.destination().await);
    shadow::create(world.database(), &first).await.unwrap();
    let neighbour = world.new_shadow(world.destination().await);
    shadow::create(world.database(), &neighbour).await.unwrap();
    let place = async || slots::get(world.database(), &first.scope).await.unwrap().built.unwrap().place;
    let continued = |place: &str| NewShadow { place: place.into(), operation_id: Uuid::now_v7(), ..first.clone() };

    let moved = shadow::create(world.database(), &continued("elsewhere")).await.unwrap();
    assert_eq!((moved, place().await.as_deref()), (Shadow::Continued(first.scope), Some("elsewhere")));
    let error = shadow::create(world.database(), &continued(&neighbour.place)).await.unwrap_err();
    assert_eq!((error.kind(), place().await.as_deref()), (ErrorKind::Conflict, Some("elsewhere")));

    // Made before places were recorded.
    sqlx::raw_sql("UPDATE sync_multiplexer.slot SET place = NULL").execute(world.pool()).await.unwrap();
    shadow::create(world.database(), &continued("here")).await.unwrap();
    assert_eq!(place().await.as_deref(), Some("here"));
}

#[tokio::test]
async fn of_concurrent_creators_one_gets_the_place() {
    let world = World::new().await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let connection_id = world.destination().await;
        let new = NewShadow { place: "here".into(), ..world.new_shadow(connection_id) };
        let database = world.database().clone();
        tasks.push(tokio::spawn(async move { shadow::create(&database, &new).await.map_err(|error| error.kind()) }));
    }
    let mut created = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(Shadow::Created(_)) => created += 1,
            refused => assert_eq!(refused, Err(ErrorKind::Conflict)),
        }
    }
    assert_eq!(created, 1);
}

#[tokio::test]
async fn of_concurrent_creators_one_creates_and_the_others_continue() {
    let world = World::new().await;
    let connection_id = world.destination().await;
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (database, new) = (world.database().clone(), world.new_shadow(connection_id));
            tokio::spawn(async move { shadow::create(&database, &new).await.unwrap() })
        })
        .collect();
    let mut created = Vec::new();
    let mut continued = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Shadow::Created(scope) => created.push(scope),
            Shadow::Continued(scope) => continued.push(scope),
        }
    }
    assert_eq!((created.len(), continued.len()), (1, 11));
    assert!(continued.iter().all(|scope| *scope == created[0]));
}

#[tokio::test]
async fn the_undo_leaves_a_clean_slate_and_may_come_twice_or_too_early() {
    let world = World::new().await;
    // A neighbour, so that the lock row of the sync exists before and after.
    let neighbour = world.ready_shadow().await;
    let clean = world.everything().await;
    let new = world.new_shadow(world.destination().await);
    assert!(!shadow::drop_shadow(world.database(), &new.scope, new.operation_id).await.unwrap());

    shadow::create(world.database(), &new).await.unwrap();
    slots::mark_building(world.database(), &new.scope).await.unwrap();
    world.plan(&new.scope, &["a.json", "b.json"], Some(1)).await;
    assert!(shadow::drop_shadow(world.database(), &new.scope, new.operation_id).await.unwrap());
    assert!(!shadow::drop_shadow(world.database(), &new.scope, new.operation_id).await.unwrap());
    assert_eq!(world.everything().await, clean);
    assert_eq!(dead_letters::count(world.database(), &neighbour).await.unwrap(), 0);
}

#[tokio::test]
async fn the_undo_removes_only_what_its_operation_made_and_only_a_shadow() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let made_by = slots::get(world.database(), &slot).await.unwrap().built.unwrap().created_by_operation;
    let before = world.everything().await;
    assert!(!shadow::drop_shadow(world.database(), &slot, Uuid::now_v7()).await.unwrap());
    assert!(!shadow::drop_shadow(world.database(), &world.scope(world.active_slot_id), made_by).await.unwrap());
    assert_eq!(world.everything().await, before);

    world.flip(&world.flip_to(slot.slot_id)).await.unwrap();
    let flipped = world.everything().await;
    let error = shadow::drop_shadow(world.database(), &slot, made_by).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(world.everything().await, flipped);
}

#[tokio::test]
async fn the_list_is_in_the_order_of_roles_and_counts_what_is_recorded() {
    let world = World::new().await;
    let platform_made = join(world.pool(), world.sync_id, world.destination().await, 3).await;
    let promoted = world.ready_shadow().await;
    let newest = world.shadow().await;
    world.flip(&world.flip_to(promoted.slot_id)).await.unwrap();
    let listed = slots::list(world.database(), world.organization_id, world.sync_id).await.unwrap();
    let order: Vec<_> = listed.iter().map(|slot| (slot.slot_id, slot.role.unwrap())).collect();
    assert_eq!(
        order,
        [
            (promoted.slot_id, Role::Active),
            (platform_made, Role::Shadow),
            (newest.slot_id, Role::Shadow),
            (world.active_slot_id, Role::Deprecated),
        ]
    );
    assert_eq!((listed[0].entities, listed[0].points, listed[0].dead_letters), (1, 2, 0));
    assert_eq!(listed[0].connection_name, "qdrant connection");
    assert!(listed[1].built.is_none(), "the platform built that one");
    let found =
        slots::find_by_connection(world.database(), world.organization_id, world.sync_id, world.active_connection_id)
            .await
            .unwrap();
    assert_eq!(found.as_ref(), Some(&listed[3]));
    let none =
        slots::find_by_connection(world.database(), world.organization_id, world.sync_id, world.source_connection_id)
            .await
            .unwrap();
    assert_eq!(none, None, "a source is no slot");
}
