//! With another organisation's id nothing is found, and nothing changes.

use std::collections::HashSet;

use futures::FutureExt;
use serde_json::json;
use uuid::Uuid;

use super::world::{World, accepted, listing, sized};
use crate::database::batch_hold::{Attempt, BatchHold};
use crate::database::follow_state::{self, FollowState};
use crate::database::operation_list::{self, Filter};
use crate::database::operations::{self, NewOperation, OperationKind, Outcome};
use crate::database::retire::{self, Unmarked};
use crate::database::roles::FlipCommand;
use crate::database::segments::{self, BatchRecord};
use crate::database::shadow::{self, NewShadow};
use crate::database::{
    SlotScope, active_destination, dead_letters, donors, doubts, ledger, plans, platform, reverse_window, roles, slots,
    throttle, verifications,
};
use crate::error::{ErrorKind, Result};
use crate::throttle::{Author, Change};

/// What a call answered, whatever it would have returned.
fn kind<T>(outcome: Result<T>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_stranger_finds_nothing() {
    let world = World::new().await;
    let own = world.shadow().await;
    let plan_id = world.plan(&own, &["a.json", "b.json"], None).await;
    let operation = NewOperation {
        operation_id: Uuid::now_v7(),
        organization_id: world.organization_id,
        sync_id: world.sync_id,
        slot_id: Some(own.slot_id),
        kind: OperationKind::Fork,
        workflow_id: "w".into(),
        run_id: "r".into(),
        requested_by: "ann".into(),
        options: json!({}),
        phase: "replay".into(),
    };
    operations::begin(world.database(), &operation).await.unwrap();
    let built = slots::get(world.database(), &own).await.unwrap();
    let made_by = built.built.unwrap().created_by_operation;

    let doomed = world.shadow().await;
    let marked = world.retire(doomed);
    retire::mark(world.database(), &marked).await.unwrap();
    let marked = marked.operation_id;

    let before = world.everything().await;
    let (db, stranger, sync_id) = (world.database(), world.stranger_id, world.sync_id);
    // The stranger's own sync with our slot is as little a way in as our sync with the stranger's id.
    let strangers_sync = super::world::sync(world.pool(), stranger).await;
    for scope in [
        SlotScope { organization_id: stranger, ..own },
        SlotScope { organization_id: stranger, sync_id: strangers_sync, ..own },
    ] {
        let shadow = NewShadow { scope, ..world.new_shadow(built.connection_id) };
        let batch = BatchRecord { next_index: 1, accepted: vec![accepted("a.json", 1)], ..Default::default() };
        let (result, options, nothing) = (json!({}), sized(None), HashSet::new());
        let retire = world.retire(scope);
        let followed = FollowState::default();
        let attempt = Attempt { scope, plan_id, segment_no: 0, claim: made_by };
        let calls = [
            ("retire::mark", retire::mark(db, &retire).map(kind).boxed()),
            ("slots::get", slots::get(db, &scope).map(kind).boxed()),
            ("slots::mark_building", slots::mark_building(db, &scope).map(kind).boxed()),
            ("slots::mark_ready", slots::mark_ready(db, &scope, plan_id).map(kind).boxed()),
            ("shadow::create", shadow::create(db, &shadow).map(kind).boxed()),
            ("plans::create", plans::create(db, &scope, Uuid::now_v7(), listing(&["a"]), &options).map(kind).boxed()),
            ("plans::create again", plans::create(db, &scope, plan_id, listing(&["a"]), &options).map(kind).boxed()),
            ("plans::drop_plan", plans::drop_plan(db, &scope).map(kind).boxed()),
            ("segments::read", segments::read(db, &scope, plan_id, 0).map(kind).boxed()),
            ("segments::claim", segments::claim(db, &scope, plan_id, 0, Uuid::new_v4()).map(kind).boxed()),
            ("segments::announce", segments::announce(db, &attempt, &[]).map(kind).boxed()),
            ("BatchHold::take", BatchHold::take(db, attempt).map(kind).boxed()),
            ("doubts::put", doubts::put(db, &scope, &["a"]).map(kind).boxed()),
            ("segments::checkpoint", segments::checkpoint(db, &scope, plan_id, 0, None, 0, &batch).map(kind).boxed()),
            ("segments::totals", segments::totals(db, &scope, plan_id).map(kind).boxed()),
            ("ledger::stream", ledger::stream(db, &scope).map(kind).boxed()),
            ("ledger::with_entities", ledger::with_entities(db, &scope, &nothing, &nothing).map(kind).boxed()),
            ("ledger::stream_by_entity", ledger::stream_by_entity(db, &scope).map(kind).boxed()),
            ("ledger::of_objects", ledger::of_objects(db, &scope, &["a.json"]).map(kind).boxed()),
            ("follow_state::record", follow_state::record(db, &scope, made_by, &followed).map(kind).boxed()),
            ("ledger::sample", ledger::sample(db, &scope, 1, 1).map(kind).boxed()),
            ("ledger::totals", ledger::totals(db, &scope).map(kind).boxed()),
            ("donors::of_model", donors::of_model(db, &scope, "model one").map(kind).boxed()),
            ("dead_letters::list", dead_letters::list(db, &scope, 1).map(kind).boxed()),
            ("dead_letters::count", dead_letters::count(db, &scope).map(kind).boxed()),
            ("verifications::latest", verifications::latest(db, &scope).map(kind).boxed()),
            (
                "verifications::record",
                verifications::record(db, &scope, Uuid::now_v7(), made_by, true, &result).map(kind).boxed(),
            ),
        ];
        for (name, call) in calls {
            assert_eq!(call.await, Some(ErrorKind::NotFound), "{name}");
        }
        for outcome in [
            retire::of(db, &scope, marked).map(kind).boxed(),
            retire::begin_clearing(db, &scope, marked, 1).map(kind).boxed(),
            retire::note_cleared(db, &scope, marked, 1).map(kind).boxed(),
        ] {
            assert_eq!(outcome.await, Some(ErrorKind::Conflict), "the mark is another organisation's");
        }
        assert!(retire::remove_slot(db, &scope, marked).await.is_err());
        assert_eq!(retire::unmark(db, &scope, marked).await.unwrap(), Unmarked::AsItWas, "there is none of theirs");
        assert_eq!(reverse_window::of(db, &scope).await.unwrap(), None);
        // The undo of a slot that is not there is no error, and no effect.
        assert!(!matches!(shadow::drop_shadow(db, &scope, made_by).await, Ok(true)));
        let flip = FlipCommand { organization_id: stranger, sync_id: scope.sync_id, ..world.flip_to(own.slot_id) };
        assert_eq!(kind(roles::flip(db, std::slice::from_ref(&flip)).await), Some(ErrorKind::NotFound));
    }
    let operation_id = operation.operation_id;
    let strange = NewOperation { organization_id: stranger, ..operation };
    let flip = FlipCommand { organization_id: stranger, ..world.flip_to(own.slot_id) };
    let author = Author { requested_by: "eve".into(), reason: "r".into() };
    let of_sync = Filter { sync_id: Some(sync_id), ..Filter::default() };
    let calls = [
        ("platform::sync", platform::sync(db, stranger, sync_id).map(kind).boxed()),
        (
            "platform::destination_connection",
            platform::destination_connection(db, stranger, built.connection_id).map(kind).boxed(),
        ),
        (
            "platform::compare_with_listing",
            platform::compare_with_listing(db, stranger, sync_id, listing(&["a"]), str::to_owned).map(kind).boxed(),
        ),
        ("slots::list", slots::list(db, stranger, sync_id).map(kind).boxed()),
        (
            "slots::find_by_connection",
            slots::find_by_connection(db, stranger, sync_id, built.connection_id).map(kind).boxed(),
        ),
        ("operations::begin", operations::begin(db, &strange).map(kind).boxed()),
        ("operations::set_phase", operations::set_phase(db, stranger, operation_id, "x").map(kind).boxed()),
        ("operations::end", operations::end(db, stranger, operation_id, &Outcome::Cancelled).map(kind).boxed()),
        ("operations::get", operations::get(db, stranger, operation_id).map(kind).boxed()),
        ("operations::end_terminated", operations::end_terminated(db, stranger, operation_id).map(kind).boxed()),
        (
            "throttle::limit_operation",
            throttle::limit_operation(db, stranger, operation_id, Change::LIFT, &author).map(kind).boxed(),
        ),
        ("operation_list::page", operation_list::page(db, stranger, &of_sync, None, 1).map(kind).boxed()),
        ("roles::check_switch", roles::check_switch(db, &flip).map(kind).boxed()),
        ("roles::generation", roles::generation(db, stranger, sync_id).map(kind).boxed()),
        ("roles::predecessor", roles::predecessor(db, stranger, sync_id).map(kind).boxed()),
        ("active_destination::resolve", active_destination::resolve(db, stranger, sync_id).map(kind).boxed()),
    ];
    for (name, call) in calls {
        assert_eq!(call.await, Some(ErrorKind::NotFound), "{name}");
    }
    let theirs = operation_list::page(db, stranger, &Filter::default(), None, 10).await.unwrap();
    assert!(theirs.operations.is_empty());

    // A stranger's sync of their own got a lock row by the attempts above; nothing of ours did.
    sqlx::query("DELETE FROM sync_multiplexer.sync_state WHERE sync_id = $1")
        .bind(strangers_sync)
        .execute(world.pool())
        .await
        .unwrap();
    assert_eq!(world.everything().await, before);
}
