//! Removing a slot: who may not, what it leaves, and how far it can be taken back.

use serde_json::json;
use uuid::Uuid;

use super::world::{World, join};
use crate::database::operations::{self, NewOperation, OperationKind, Outcome};
use crate::database::retire::{self, RetireCheck, RetireCommand, Unmarked};
use crate::database::shadow::{self, NewShadow};
use crate::database::{SlotScope, roles, slots};
use crate::error::ErrorKind;

/// The refusal of a retire, which changes nothing and is what the dry run announces.
async fn refused(world: &World, command: &RetireCommand) -> (ErrorKind, String) {
    let before = world.everything().await;
    let check = retire::check(world.database(), command).await.unwrap();
    assert_eq!(check.finished, None);
    let error = retire::mark(world.database(), command).await.unwrap_err();
    assert_eq!(world.everything().await, before, "a refused retire changes nothing");
    let first = &check.blockers[0];
    assert_eq!(error.message(), format!("{}: {}", first.message, first.next_step));
    (error.kind(), error.message().to_owned())
}

async fn possible(world: &World, command: &RetireCommand) {
    assert_eq!(retire::check(world.database(), command).await.unwrap(), RetireCheck::default());
}

/// Everything after the check.
async fn retired(world: &World, command: &RetireCommand, points: u64) -> retire::Retirement {
    let (scope, operation_id) = (&command.scope, command.operation_id);
    retire::mark(world.database(), command).await.unwrap();
    retire::begin_clearing(world.database(), scope, operation_id, points).await.unwrap();
    retire::note_cleared(world.database(), scope, operation_id, points).await.unwrap();
    retire::remove_slot(world.database(), scope, operation_id).await.unwrap()
}

/// An operation of the sync that runs.
fn operation(world: &World, kind: OperationKind, slot_id: Option<Uuid>, workflow_id: &str) -> NewOperation {
    NewOperation {
        operation_id: Uuid::now_v7(),
        organization_id: world.organization_id,
        sync_id: world.sync_id,
        slot_id,
        kind,
        workflow_id: workflow_id.to_owned(),
        run_id: "r".into(),
        requested_by: "ann".into(),
        options: json!({}),
        phase: "x".into(),
    }
}

/// A slot that was active and is not any more, and the one that is.
async fn deprecated(world: &World) -> (SlotScope, SlotScope) {
    let (old, new) = (world.ready_shadow().await, world.ready_shadow().await);
    world.flip(&world.flip_to(old.slot_id)).await.unwrap();
    world.flip(&world.flip_to(new.slot_id)).await.unwrap();
    (old, new)
}

#[tokio::test]
async fn a_retired_slot_goes_with_all_its_records_and_nothing_else_does() {
    let world = World::new().await;
    let neighbour = world.ready_shadow().await;
    let clean = world.everything().await;
    let slot = world.ready_shadow().await;
    world.plan(&slot, &["a.json", "b.json"], Some(1)).await;
    let command = RetireCommand { reason: "abandoned".into(), ..world.retire(slot) };
    possible(&world, &command).await;

    let removed = retired(&world, &command, 2).await;
    assert_eq!((removed.points, removed.forced_before), (2, None));
    assert_eq!((removed.requested_by.as_str(), removed.reason.as_str()), ("tester", "abandoned"));
    assert!(removed.removed_at >= removed.clearing_at && removed.clearing_at.is_some());

    // Asked again, each step answers as before.
    let again = retire::check(world.database(), &command).await.unwrap();
    assert_eq!(again, RetireCheck { finished: Some(removed.clone()), blockers: vec![] });
    retire::mark(world.database(), &command).await.unwrap();
    assert_eq!(retire::of(world.database(), &slot, command.operation_id).await.unwrap(), removed);
    assert_eq!(retire::remove_slot(world.database(), &slot, command.operation_id).await.unwrap(), removed);
    let unmarked = retire::unmark(world.database(), &slot, command.operation_id).await.unwrap();
    assert_eq!(unmarked, Unmarked::TooLate);

    let (kind, words) = refused(&world, &world.retire(slot)).await;
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(words.contains(&format!("any more: operation {} retired it", command.operation_id)), "{words}");
    let other = RetireCommand { operation_id: command.operation_id, ..world.retire(neighbour) };
    assert!(refused(&world, &other).await.1.contains("retired another slot"));

    sqlx::query("DELETE FROM sync_multiplexer.retirement").execute(world.pool()).await.unwrap();
    assert_eq!(world.everything().await, clean, "what was there before is as it was");
}

#[tokio::test]
async fn what_cannot_be_retired_is_refused_with_the_reason() {
    let world = World::new().await;
    let theirs = join(world.pool(), world.sync_id, world.destination().await, 3).await;
    let (old, new) = deprecated(&world).await;
    for (slot_id, kind, words) in [
        (new.slot_id, ErrorKind::Conflict, "is the active one"),
        (old.slot_id, ErrorKind::Conflict, "is kept for a rollback until"),
        (theirs, ErrorKind::Conflict, "made by the platform"),
        (world.active_slot_id, ErrorKind::Conflict, "made by the platform"),
        (world.source_row_id, ErrorKind::NotFound, "is not a destination"),
        (Uuid::now_v7(), ErrorKind::NotFound, "is not a destination"),
    ] {
        let command = world.retire(world.scope(slot_id));
        let (seen, said) = refused(&world, &command).await;
        assert!(seen == kind && said.contains(words), "{said}");
        // Force is for the window, and for nothing else.
        let forced = RetireCommand { force: true, reason: "space".into(), ..command };
        if slot_id == old.slot_id {
            possible(&world, &forced).await;
        } else {
            assert_eq!(refused(&world, &forced).await, (seen, said));
        }
    }
    world.end_window(old.slot_id).await;
    possible(&world, &world.retire(old)).await;
}

#[tokio::test]
async fn force_inside_the_window_is_on_record_and_after_it_is_none() {
    let world = World::new().await;
    let (old, new) = deprecated(&world).await;
    let until = slots::get(world.database(), &old).await.unwrap().window.unwrap().kept_until;
    let forced = RetireCommand { force: true, reason: "space".into(), ..world.retire(old) };
    let removed = retired(&world, &forced, 2).await;
    assert_eq!((removed.forced_before, removed.reason.as_str()), (Some(until), "space"));

    let newest = world.ready_shadow().await;
    world.flip(&world.flip_to(newest.slot_id)).await.unwrap();
    world.end_window(new.slot_id).await;
    let forced = RetireCommand { force: true, reason: "space".into(), ..world.retire(new) };
    assert_eq!(retired(&world, &forced, 2).await.forced_before, None, "there was nothing to cut short");
}

#[tokio::test]
async fn a_slot_is_not_retired_while_somebody_works_on_it() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let connection_id = slots::get(world.database(), &slot).await.unwrap().connection_id;
    let begin = async |operation: &NewOperation| {
        operations::begin(world.database(), operation).await.unwrap();
    };
    // Forks name a connection, in any spelling of a UUID, and other operations the slot.
    let fork = NewOperation {
        options: json!({"destination_connection_id": connection_id.simple().to_string().to_uppercase()}),
        ..operation(&world, OperationKind::Fork, None, "fork/1")
    };
    let switch = operation(&world, OperationKind::Switch, Some(slot.slot_id), "switch/1");
    let elsewhere = NewOperation {
        options: json!({"destination_connection_id": world.active_connection_id}),
        ..operation(&world, OperationKind::Fork, None, "fork/2")
    };
    for running in [&fork, &switch, &elsewhere] {
        begin(running).await;
    }
    let command = world.retire(slot);
    let check = retire::check(world.database(), &command).await.unwrap();
    let words: Vec<_> = check.blockers.iter().map(|it| it.message.clone()).collect();
    assert_eq!(
        words,
        [
            format!("fork {} works on slot {}", fork.operation_id, slot.slot_id),
            format!("switch {} works on slot {}", switch.operation_id, slot.slot_id)
        ]
    );
    let forced = RetireCommand { force: true, reason: "now".into(), ..command.clone() };
    assert!(refused(&world, &forced).await.1.contains(&fork.operation_id.to_string()));

    // An ended operation is in nobody's way; nor is one whose workflow was terminated, once another run of it began.
    operations::end(world.database(), world.organization_id, fork.operation_id, &Outcome::Cancelled).await.unwrap();
    let later = operation(&world, OperationKind::Switch, Some(world.active_slot_id), "switch/1");
    begin(&later).await;
    possible(&world, &command).await;
    // An earlier run of the same retire is over, or this one would not run.
    begin(&operation(&world, OperationKind::Retire, Some(slot.slot_id), &command.workflow_id)).await;
    possible(&world, &command).await;
    begin(&operation(&world, OperationKind::Retire, Some(slot.slot_id), "by hand")).await;
    assert!(refused(&world, &command).await.1.starts_with("retire "));
}

#[tokio::test]
async fn nothing_promotes_or_continues_a_slot_that_is_marked() {
    let world = World::new().await;
    let (old, _) = deprecated(&world).await;
    let connection_id = {
        let slot = world.ready_shadow().await;
        let command = world.retire(slot);
        retire::mark(world.database(), &command).await.unwrap();
        let listed = slots::get(world.database(), &slot).await.unwrap();
        assert_eq!(listed.retired_by, Some(command.operation_id));
        let words = super::roles::refused(&world, &world.flip_to(slot.slot_id)).await;
        assert!(words.contains(&format!("is being retired (operation {})", command.operation_id)), "{words}");
        for error in [
            slots::mark_building(world.database(), &slot).await.unwrap_err(),
            slots::mark_ready(world.database(), &slot, Uuid::now_v7()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.message().contains("is being retired"), "{error}");
        }
        listed.connection_id
    };
    let error = shadow::create(world.database(), &world.new_shadow(connection_id)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("is being retired"), "{error}");

    // A rollback as little as a switch.
    let command = RetireCommand { force: true, reason: "space".into(), ..world.retire(old) };
    retire::mark(world.database(), &command).await.unwrap();
    let back = roles::FlipCommand { rollback: true, ..world.flip_to(old.slot_id) };
    assert!(super::roles::refused(&world, &back).await.contains("is being retired"));
}

#[tokio::test]
async fn a_mark_is_taken_back_until_points_may_be_gone() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let command = world.retire(slot);
    let before = world.everything().await;
    let unmark = async |operation_id| retire::unmark(world.database(), &slot, operation_id).await.unwrap();
    assert_eq!(unmark(command.operation_id).await, Unmarked::AsItWas, "without its step it does nothing");

    retire::mark(world.database(), &command).await.unwrap();
    let marked = world.everything().await;
    retire::mark(world.database(), &command).await.unwrap();
    assert_eq!(world.everything().await, marked, "a second mark changes nothing");
    assert_eq!(unmark(Uuid::now_v7()).await, Unmarked::AsItWas);
    assert_eq!(world.everything().await, marked, "another operation's mark is not ours to take back");
    for _ in 0..2 {
        assert_eq!(unmark(command.operation_id).await, Unmarked::AsItWas);
        assert_eq!(world.everything().await, before);
    }
    let error = retire::begin_clearing(world.database(), &slot, command.operation_id, 5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "an attempt that comes late removes nothing");

    retire::mark(world.database(), &command).await.unwrap();
    let error = retire::remove_slot(world.database(), &slot, command.operation_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "not before it is cleared");
    retire::begin_clearing(world.database(), &slot, command.operation_id, 5).await.unwrap();
    assert_eq!(unmark(command.operation_id).await, Unmarked::TooLate);
    // A second attempt finds fewer points; what there was at first is what went.
    retire::begin_clearing(world.database(), &slot, command.operation_id, 3).await.unwrap();
    assert_eq!(retire::note_cleared(world.database(), &slot, command.operation_id, 3).await.unwrap().points, 5);
    assert_eq!(retire::remove_slot(world.database(), &slot, command.operation_id).await.unwrap().points, 5);
}

#[tokio::test]
async fn a_retire_that_ended_half_way_is_taken_over() {
    let world = World::new().await;
    let (old, _) = deprecated(&world).await;
    let first = RetireCommand { force: true, reason: "space".into(), ..world.retire(old) };
    retire::mark(world.database(), &first).await.unwrap();
    retire::begin_clearing(world.database(), &old, first.operation_id, 5).await.unwrap();

    // The window still counts: nobody was told to cut it short but the first.
    assert!(refused(&world, &world.retire(old)).await.1.contains("is kept for a rollback"));
    world.end_window(old.slot_id).await;
    let second = RetireCommand { requested_by: "bob".into(), ..world.retire(old) };
    retire::mark(world.database(), &second).await.unwrap();
    let error = retire::begin_clearing(world.database(), &old, first.operation_id, 5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("taken back or taken over"), "{error}");
    assert_eq!(retire::unmark(world.database(), &old, second.operation_id).await.unwrap(), Unmarked::TooLate);

    retire::begin_clearing(world.database(), &old, second.operation_id, 1).await.unwrap();
    let removed = retire::remove_slot(world.database(), &old, second.operation_id).await.unwrap();
    assert_eq!((removed.points, removed.requested_by.as_str(), removed.reason.as_str()), (5, "bob", "space"));
    assert!(removed.forced_before.is_some(), "that it was forced stays on record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_switch_and_a_retire_of_the_same_slot_one_wins() {
    let world = std::sync::Arc::new(World::new().await);
    let (mut switched, mut marked) = (0, 0);
    for _ in 0..20 {
        let slot = world.ready_shadow().await;
        let (flip, command) = (world.flip_to(slot.slot_id), world.retire(slot));
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(2));
        let (one, other) = (std::sync::Arc::clone(&world), std::sync::Arc::clone(&world));
        let (first, second) = (start.clone(), start);
        let (flipped, retiring) = tokio::join!(
            tokio::spawn(async move {
                first.wait().await;
                one.flip(&flip).await
            }),
            tokio::spawn(async move {
                second.wait().await;
                retire::mark(other.database(), &command).await
            }),
        );
        let (flipped, retiring) = (flipped.unwrap(), retiring.unwrap());
        assert_ne!(flipped.is_ok(), retiring.is_ok(), "exactly one: {flipped:?}, {retiring:?}");
        switched += usize::from(flipped.is_ok());
        marked += usize::from(retiring.is_ok());
        for error in [flipped.err(), retiring.err()].into_iter().flatten() {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        }
    }
    assert_eq!(switched + marked, 20);
    let both: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sync_multiplexer.retirement JOIN public.sync_connection AS joined ON joined.id = slot_id WHERE joined.role = 'active'",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!(both, 0);
}

#[tokio::test]
async fn a_new_slot_on_the_connection_of_a_retired_one_starts_afresh() {
    let world = World::new().await;
    let slot = world.ready_shadow().await;
    let connection_id = slots::get(world.database(), &slot).await.unwrap().connection_id;
    retired(&world, &world.retire(slot), 2).await;
    let new = NewShadow { fingerprint: "f2".into(), ..world.new_shadow(connection_id) };
    assert_eq!(shadow::create(world.database(), &new).await.unwrap(), shadow::Shadow::Created(new.scope));
    assert_eq!(slots::get(world.database(), &new.scope).await.unwrap().retired_by, None);
}
