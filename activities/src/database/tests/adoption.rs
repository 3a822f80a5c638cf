//! Taking over the platform's own slot, and giving it back.

use futures::{StreamExt, stream};
use uuid::Uuid;

use super::world::{World, accepted, listing, sized};
use crate::database::adoption::seed;
use crate::database::ledger;
use crate::database::retire::{self, RetireCheck, RetireCommand};
use crate::database::segments::{self, BatchRecord};
use crate::database::shadow::{self, NewShadow, Shadow};
use crate::database::slots::{self, Role, Slot, SlotState};
use crate::database::{SlotScope, donors, plans, reverse_window, roles};
use crate::destinations::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::raw_store::entity_file_name;

/// A world whose first migration left the platform's slot, and what would adopt that.
async fn migrated() -> (World, NewShadow) {
    let world = World::new().await;
    let promoted = world.ready_shadow().await;
    world.flip(&world.flip_to(promoted.slot_id)).await.unwrap();
    let new = world.new_shadow(world.active_connection_id);
    (world, new)
}

fn theirs(world: &World) -> SlotScope {
    world.scope(world.active_slot_id)
}

async fn slot(world: &World) -> Slot {
    slots::get(world.database(), &theirs(world)).await.unwrap()
}

async fn record(world: &World, operation_id: Uuid, found: &[(&str, u32)]) -> Result<u64, Error> {
    let found: Vec<_> = found.iter().map(|(id, points)| Ok((EntityRef((*id).to_owned()), *points))).collect();
    seed(world.database(), &theirs(world), operation_id, stream::iter(found).boxed()).await
}

#[tokio::test]
async fn the_platforms_slot_gets_a_row_of_ours_and_keeps_role_and_window() {
    let (world, new) = migrated().await;
    let window = reverse_window::of(world.database(), &theirs(&world)).await.unwrap().unwrap();
    let before = world.everything().await;
    assert_eq!(shadow::create(world.database(), &new).await.unwrap(), Shadow::Created(theirs(&world)));
    assert_eq!(shadow::create(world.database(), &new).await.unwrap(), Shadow::Created(theirs(&world)), "repeated");

    let adopted = slot(&world).await;
    assert_eq!((adopted.role, adopted.window), (Some(Role::Deprecated), Some(window)));
    assert!(!adopted.is_followed(), "not before it is ready");
    let built = adopted.built.unwrap();
    assert_eq!((built.adopted, built.state, built.created_by_operation), (true, SlotState::Empty, new.operation_id));
    assert_eq!((built.fingerprint, built.place), (new.fingerprint.clone(), Some(new.place.clone())));

    // Somebody else's undo takes nothing back, and its own everything of ours.
    assert!(!shadow::drop_shadow(world.database(), &theirs(&world), Uuid::now_v7()).await.unwrap());
    assert!(shadow::drop_shadow(world.database(), &theirs(&world), new.operation_id).await.unwrap());
    assert_eq!(world.everything().await, before);
    assert!(!shadow::drop_shadow(world.database(), &theirs(&world), new.operation_id).await.unwrap(), "repeated");
}

#[tokio::test]
async fn everything_in_an_adopted_slot_is_planned_anew_and_what_is_gone_is_deleted() {
    let (world, new) = migrated().await;
    shadow::create(world.database(), &new).await.unwrap();
    assert_eq!(record(&world, new.operation_id, &[("x", 9)]).await.unwrap(), 1);
    assert_eq!(record(&world, new.operation_id, &[("a", 2), ("b", 1), ("gone", 3)]).await.unwrap(), 3);
    let totals = ledger::totals(world.database(), &theirs(&world)).await.unwrap();
    assert_eq!((totals.entities, totals.points), (3, 6), "the later scan counts");

    let keys = [entity_file_name("a"), entity_file_name("b")];
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.sort_unstable();
    let plan_id = Uuid::now_v7();
    let plan = plans::create(world.database(), &theirs(&world), plan_id, listing(&keys), &sized(None)).await.unwrap();
    assert_eq!((plan.entities, plan.unchanged, plan.deletes), (2, 0, 1));
    slots::mark_building(world.database(), &theirs(&world)).await.unwrap();

    // An attempt that was taken for dead comes back.
    let late = record(&world, new.operation_id, &[("a", 7)]).await.unwrap_err();
    assert!(late.kind() == ErrorKind::Conflict && late.message().contains("no longer being adopted"), "{late}");
    assert_eq!(ledger::totals(world.database(), &theirs(&world)).await.unwrap().points, 6);
    let other = world.shadow().await;
    let given = donors::of_model(world.database(), &other, "model one").await.unwrap();
    assert!(given.iter().all(|donor| donor.slot_id != world.active_slot_id), "nobody knows what made its vectors");
}

#[tokio::test]
async fn a_scan_that_breaks_off_leaves_an_adoption_to_begin_again() {
    let (world, new) = migrated().await;
    shadow::create(world.database(), &new).await.unwrap();
    let broken = stream::iter([
        Ok((EntityRef("a".to_owned()), 1)),
        Err(Error::new(ErrorKind::Unavailable, "the destination is away")),
    ]);
    let error = seed(world.database(), &theirs(&world), new.operation_id, broken.boxed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(slot(&world).await.built.unwrap().state, SlotState::Empty, "so the next attempt scans again");
}

#[tokio::test]
async fn an_adoption_that_did_not_finish_belongs_to_the_next_fork() {
    let (world, first) = migrated().await;
    shadow::create(world.database(), &first).await.unwrap();
    record(&world, first.operation_id, &[("a", 2)]).await.unwrap();
    slots::mark_building(world.database(), &theirs(&world)).await.unwrap();

    // With the same profile it goes on where the other stopped.
    let second = NewShadow { place: first.place.clone(), ..world.new_shadow(world.active_connection_id) };
    assert_eq!(shadow::create(world.database(), &second).await.unwrap(), Shadow::Created(theirs(&world)));
    let built = slot(&world).await.built.unwrap();
    assert_eq!((built.state, built.created_by_operation), (SlotState::Building, second.operation_id));
    assert_eq!(slot(&world).await.entities, 1);

    // With another one it begins anew: what was written is on nobody's record, and is found by the scan.
    let third = NewShadow { fingerprint: "f2".into(), operation_id: Uuid::now_v7(), ..second.clone() };
    assert_eq!(shadow::create(world.database(), &third).await.unwrap(), Shadow::Created(theirs(&world)));
    let adopted = slot(&world).await;
    assert_eq!((adopted.entities, adopted.window.map(|window| window.is_open)), (0, Some(true)));
    let built = adopted.built.unwrap();
    assert_eq!((built.state, built.fingerprint.as_str()), (SlotState::Empty, "f2"));
    assert!(!shadow::drop_shadow(world.database(), &theirs(&world), second.operation_id).await.unwrap());
    assert_eq!(slot(&world).await.role, Some(Role::Deprecated));
}

#[tokio::test]
async fn what_must_not_be_adopted_is_a_conflict_that_says_what_to_do() {
    let (world, new) = migrated().await;
    let refused = async |new: &NewShadow, words: &str| {
        let before = world.everything().await;
        let error = shadow::create(world.database(), new).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains(words), "{words:?} is not in {error}");
        assert!(error.message().contains("fork to another connection"), "{error}");
        assert_eq!(world.everything().await, before);
    };
    world.end_window(world.active_slot_id).await;
    refused(&new, "its reverse window has ended").await;
    sqlx::query("UPDATE sync_multiplexer.audit SET kept_until = NULL").execute(world.pool()).await.unwrap();
    refused(&new, "left without a reverse window").await;
    sqlx::query("UPDATE sync_multiplexer.audit SET kept_until = now() + interval '1 hour'")
        .execute(world.pool())
        .await
        .unwrap();

    // A slot of ours that is deprecated is no slot of the platform's.
    shadow::create(world.database(), &new).await.unwrap();
    record(&world, new.operation_id, &[]).await.unwrap();
    let plan_id = world.plan(&theirs(&world), &["a.json"], None).await;
    slots::mark_building(world.database(), &theirs(&world)).await.unwrap();
    let batch = BatchRecord { next_index: 1, accepted: vec![accepted("a.json", 2)], ..Default::default() };
    segments::checkpoint(world.database(), &theirs(&world), plan_id, 0, None, 0, &batch).await.unwrap();
    slots::mark_ready(world.database(), &theirs(&world), plan_id).await.unwrap();
    assert!(slot(&world).await.is_followed(), "from now on it is kept fresh");
    refused(&world.new_shadow(world.active_connection_id), "is kept for a rollback").await;
    assert_eq!(
        shadow::create(world.database(), &new).await.unwrap(),
        Shadow::Created(theirs(&world)),
        "its own repeat"
    );

    // And back: a rollback passes the rules, and nothing can take the slot back then.
    let back = roles::FlipCommand { rollback: true, ..world.flip_to(world.active_slot_id) };
    world.flip(&back).await.unwrap();
    let error = shadow::drop_shadow(world.database(), &theirs(&world), new.operation_id).await.unwrap_err();
    assert!(error.message().contains("is active now and is not removed"), "{error}");
    refused(&new, "is the active destination").await;
}

#[tokio::test]
async fn an_adopted_slot_is_retired_like_any_other_and_a_half_adopted_one_is_not() {
    let (world, new) = migrated().await;
    shadow::create(world.database(), &new).await.unwrap();
    record(&world, new.operation_id, &[]).await.unwrap();
    let plan_id = world.plan(&theirs(&world), &["a.json"], None).await;
    slots::mark_building(world.database(), &theirs(&world)).await.unwrap();
    let command = RetireCommand { force: true, reason: "space".into(), ..world.retire(theirs(&world)) };
    let check = retire::check(world.database(), &command).await.unwrap();
    assert!(check.blockers[0].message.contains("was made by the platform"), "{check:?}");

    let batch = BatchRecord { next_index: 1, accepted: vec![accepted("a.json", 2)], ..Default::default() };
    segments::checkpoint(world.database(), &theirs(&world), plan_id, 0, None, 0, &batch).await.unwrap();
    slots::mark_ready(world.database(), &theirs(&world), plan_id).await.unwrap();
    assert_eq!(retire::check(world.database(), &command).await.unwrap(), RetireCheck::default());
}
