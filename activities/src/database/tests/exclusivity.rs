use std::time::Duration;

use uuid::Uuid;

use super::completeness::know;
use super::world::{World, accepted, delete, listing, sized, write};
use crate::database::SlotScope;
use crate::database::batch_hold::{Attempt, BatchHold};
use crate::database::segments::{self, BatchRecord};
use crate::database::{doubts, ledger, plans, retire};
use crate::error::ErrorKind;

/// An attempt that claimed a segment.
async fn attempt(world: &World, scope: SlotScope, plan_id: Uuid, segment_no: u32) -> Attempt {
    let attempt = Attempt { scope, plan_id, segment_no, claim: Uuid::new_v4() };
    segments::claim(world.database(), &scope, plan_id, segment_no, attempt.claim).await.unwrap();
    attempt
}

/// Waits until somebody waits for a lock that `holder` blocks.
async fn until_somebody_waits(world: &World) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'";
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(world.pool()).await.unwrap() == 0 {
        assert!(std::time::Instant::now() < deadline, "nobody waits");
        tokio::task::yield_now().await;
    }
}

fn batch(key: &str, points: u32) -> BatchRecord {
    BatchRecord { next_index: 1, accepted: vec![accepted(key, points)], ..Default::default() }
}

#[tokio::test]
async fn a_plan_is_made_when_the_batch_that_is_being_written_is_recorded() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let first = world.plan(&scope, &["a.json", "b.json"], None).await;
    let attempt = attempt(&world, scope, first, 0).await;
    let hold = BatchHold::take(world.database(), attempt).await.unwrap();

    let database = world.database().clone();
    let second = Uuid::now_v7();
    let planner = tokio::spawn(async move {
        plans::create(&database, &scope, second, listing(&["a.json", "b.json"]), &sized(None)).await
    });
    until_somebody_waits(&world).await;
    hold.record(0, &batch("a.json", 3)).await.unwrap();
    let plan = planner.await.unwrap().unwrap();
    assert_eq!((plan.unchanged, plan.entities), (1, 1), "it knows what was written while it waited");

    // The plan of the batch is not the slot's any more, and whoever works through it is told so.
    let refusals = [
        BatchHold::take(world.database(), attempt).await.unwrap_err(),
        segments::announce(world.database(), &attempt, &["b"]).await.unwrap_err(),
        segments::claim(world.database(), &scope, first, 0, Uuid::new_v4()).await.unwrap_err(),
        segments::totals(world.database(), &scope, first).await.unwrap_err(),
    ];
    for error in refusals {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.message().contains("is not the current plan"), "{error}");
    }
}

#[tokio::test]
async fn batches_of_a_slot_do_not_exclude_each_other_but_attempts_at_a_segment_do() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let plan_id = world.plan(&scope, &["a.json", "b.json"], Some(1)).await;
    let (first, second) = (attempt(&world, scope, plan_id, 0).await, attempt(&world, scope, plan_id, 1).await);
    let hold = BatchHold::take(world.database(), first).await.unwrap();
    let beside = BatchHold::take(world.database(), second).await.unwrap();
    beside.record(0, &batch("b.json", 1)).await.unwrap();

    // The next attempt at the first segment waits until this one has ended, and then knows where it ended.
    let next = attempt(&world, scope, plan_id, 0).await;
    let database = world.database().clone();
    let waiting = tokio::spawn(async move { BatchHold::take(&database, next).await.map(drop) });
    until_somebody_waits(&world).await;
    let error = hold.record(0, &batch("a.json", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "it was taken for dead: {error}");
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_holder_whose_session_is_gone_stops_writing_and_records_nothing() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let plan_id = world.plan(&scope, &["a.json"], None).await;
    let attempt = attempt(&world, scope, plan_id, 0).await;
    let mut hold = BatchHold::take(world.database(), attempt).await.unwrap();
    let ended: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid) FROM pg_locks
         WHERE locktype = 'advisory' AND mode = 'ShareLock'
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(ended, [true]);
    let error = hold.keep(std::future::pending::<crate::error::Result<()>>()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("is written again"), "{error}");
    hold.record(0, &batch("a.json", 1)).await.unwrap_err();
    assert_eq!(ledger::totals(world.database(), &scope).await.unwrap().entities, 0);
}

#[tokio::test]
async fn what_a_replaced_plan_had_in_hand_is_settled_by_the_next() {
    let world = World::new().await;
    let scope = world.shadow().await;
    // Of these the slot holds `same` and `gone`; the attempt died with all of them in hand, `new` and `never` among them.
    let first = world.plan(&scope, &["same.json", "gone.json", "other.json"], None).await;
    let held = BatchRecord {
        next_index: 3,
        accepted: ["gone.json", "other.json", "same.json"].map(|key| accepted(key, 1)).to_vec(),
        ..Default::default()
    };
    segments::checkpoint(world.database(), &scope, first, 0, None, 0, &held).await.unwrap();
    let second = world.plan(&scope, &["same.json", "gone.json", "other.json", "new.json"], None).await;
    let attempt = attempt(&world, scope, second, 0).await;
    let in_hand = ["same", "gone", "new", "never", "odd\0id"];
    segments::announce(world.database(), &attempt, &in_hand).await.unwrap();
    // A removed plan leaves them behind as well as a replaced one. The platform knows one of those that are gone.
    know(&world, ["gone".to_owned()]).await;
    assert!(plans::drop_plan(world.database(), &scope).await.unwrap());

    let third = Uuid::now_v7();
    let listed = listing(&["same.json", "other.json", "new.json"]);
    let plan = plans::create(world.database(), &scope, third, listed, &sized(None)).await.unwrap();
    assert_eq!((plan.unchanged, plan.entities, plan.deletes, plan.held_back), (2, 1, 5, 0));
    let segment = async |number| segments::read(world.database(), &scope, third, number).await.unwrap();
    assert_eq!(segment(0).await.entries, [write("new.json", "t")]);
    let doubts = segment(1).await;
    assert_eq!(doubts.entries[..4], ["gone.json", "never.json", "new.json", "odd\u{fffd}id.json"].map(delete));
    assert_eq!(doubts.entries[4..], [delete("same.json")], "whatever listing and ledger agree about");
    let mut settled = doubts.in_hand;
    settled.sort();
    assert_eq!(settled, ["gone", "never", "new", "odd\u{fffd}id", "same"]);

    // A plan that is replaced before it settled them hands them on; when they are recorded nobody has them any more.
    let fourth = world.plan(&scope, &["same.json", "other.json", "new.json"], None).await;
    assert_eq!(segments::read(world.database(), &scope, fourth, 1).await.unwrap().in_hand.len(), 5);
    let done = BatchRecord { next_index: 5, accepted: vec![], vanished: 5, ..Default::default() };
    segments::checkpoint(world.database(), &scope, fourth, 1, None, 0, &done).await.unwrap();
    let fifth = world.plan(&scope, &["same.json", "other.json", "new.json"], None).await;
    assert_eq!(
        segments::totals(world.database(), &scope, fifth).await.unwrap().entities_total,
        1,
        "`new`; `gone` is known"
    );
}

#[tokio::test]
async fn what_a_verification_doubts_is_looked_at_by_the_next_plan() {
    let world = World::new().await;
    let scope = world.ready_shadow().await;
    for _ in 0..2 {
        doubts::put(world.database(), &scope, &["a"]).await.unwrap();
    }
    let plan_id = world.plan(&scope, &["a.json"], None).await;
    assert_eq!(segments::read(world.database(), &scope, plan_id, 0).await.unwrap().entries, [delete("a.json")]);
}

#[tokio::test]
async fn nothing_is_planned_for_a_slot_that_is_being_retired() {
    let world = World::new().await;
    let scope = world.ready_shadow().await;
    retire::mark(world.database(), &world.retire(scope)).await.unwrap();
    let error = plans::create(world.database(), &scope, Uuid::now_v7(), listing(&["a.json"]), &sized(None)).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
}
