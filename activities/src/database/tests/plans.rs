use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::completeness::know;
use super::world::{World, accepted, broken_listing, delete, listing, object, sized, stream_of, write};
use crate::database::SlotScope;
use crate::database::dead_letters::{self, NewDeadLetter, Stage};
use crate::database::plans::PlanOptions;
use crate::database::segments::{self, BatchRecord};
use crate::database::{PlannedChange, ledger, plans, slots};
use crate::error::{ErrorKind, Result};
use crate::raw_store::ListedObject;

#[tokio::test]
async fn everything_is_frozen_once_in_byte_order() {
    let world = World::new().await;
    let scope = world.shadow().await;
    // Not in order, in a case and script that collations reorder, and with a key listed twice.
    let keys = ["b.json", "B.json", "ä.json", "a b.json", "_.json", ".json", "a\n\t\\.json"];
    let mut lines: Vec<_> = keys.iter().map(|key| Ok(object(key, "t"))).collect();
    lines.push(Ok(object("B.json", "newer")));
    let plan_id = Uuid::now_v7();
    let summary = plans::create(world.database(), &scope, plan_id, stream_of(lines), &sized(Some(3))).await.unwrap();
    assert_eq!((summary.listed, summary.unchanged, summary.entities, summary.segments), (7, 0, 7, 3));
    assert_eq!((summary.deletes, summary.delete_segments, summary.vanished_sample.len()), (0, 0, 0));
    assert_eq!(summary.oldest_change.map(|it| it.timestamp_millis()), Some(1_700_000_000_000));

    let mut frozen = Vec::new();
    for (segment_no, size) in [(0, 3), (1, 3), (2, 1)] {
        let segment = segments::read(world.database(), &scope, plan_id, segment_no).await.unwrap();
        assert_eq!((segment.entries.len(), segment.next_index, segment.is_done()), (size, 0, false));
        frozen.extend(segment.entries);
    }
    let mut expected: Vec<_> =
        keys.iter().map(|key| object(key, if *key == "B.json" { "newer" } else { "t" })).collect();
    expected.sort_by(|a, b| a.key.as_bytes().cmp(b.key.as_bytes()));
    let expected: Vec<_> = expected.into_iter().map(PlannedChange::Write).collect();
    assert_eq!(frozen, expected);
    let error = segments::read(world.database(), &scope, plan_id, 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_plan_is_the_difference_in_both_directions() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let first = world.plan(&scope, &["a.json", "b.json", "c.json", "d.json"], None).await;
    let batch = BatchRecord {
        next_index: 4,
        accepted: ["a.json", "b.json", "c.json", "d.json"].map(|key| accepted(key, 1)).to_vec(),
        ..Default::default()
    };
    segments::checkpoint(world.database(), &scope, first, 0, None, 0, &batch).await.unwrap();

    let second = Uuid::now_v7();
    // `a` is unchanged, `b` changed, `c` and `d` are gone, `e` is new.
    let lines = vec![Ok(object("a.json", "t")), Ok(object("b.json", "t2")), Ok(object("e.json", "t"))];
    let summary = plans::create(world.database(), &scope, second, stream_of(lines), &sized(None)).await.unwrap();
    assert_eq!((summary.listed, summary.unchanged, summary.entities, summary.deletes), (3, 1, 2, 2));
    assert_eq!((summary.segments, summary.delete_segments), (2, 1));
    assert_eq!(summary.vanished_sample, ["c.json", "d.json"]);
    let entries =
        async |segment_no| segments::read(world.database(), &scope, second, segment_no).await.unwrap().entries;
    assert_eq!(entries(0).await, [write("b.json", "t2"), write("e.json", "t")]);
    assert_eq!(entries(1).await, [delete("c.json"), delete("d.json")]);
    // The new plan took the place of the old one; the ledger is as it was.
    let error = segments::read(world.database(), &scope, first, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("replaced by a newer one"), "{error}");
    assert_eq!(ledger::totals(world.database(), &scope).await.unwrap().entities, 4);
}

#[tokio::test]
async fn a_slot_that_holds_everything_gets_a_plan_without_segments() {
    let world = World::new().await;
    let scope = world.ready_shadow().await;
    let plan_id = Uuid::now_v7();
    let summary = plans::create(world.database(), &scope, plan_id, listing(&["a.json"]), &sized(None)).await.unwrap();
    assert_eq!((summary.listed, summary.unchanged, summary.entities, summary.segments), (1, 1, 0, 0));
    let totals = segments::totals(world.database(), &scope, plan_id).await.unwrap();
    assert_eq!((totals.segments, totals.segments_done, totals.entities_total), (0, 0, 0));
    slots::mark_building(world.database(), &scope).await.unwrap();
    slots::mark_ready(world.database(), &scope, plan_id).await.unwrap();
}

#[tokio::test]
async fn a_retry_reads_no_listing_and_answers_as_before() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let plan_id = Uuid::now_v7();
    let first = plans::create(world.database(), &scope, plan_id, listing(&["a.json"]), &sized(None)).await.unwrap();
    let unread = stream::poll_fn(|_| panic!("a retry has no use for the listing")).boxed();
    let second = plans::create(world.database(), &scope, plan_id, unread, &sized(None)).await.unwrap();
    assert_eq!(first, second);

    let other = world.shadow().await;
    let error = plans::create(world.database(), &other, plan_id, listing(&["a.json"]), &sized(None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_plan_that_cannot_be_made_leaves_the_earlier_one() {
    let world = World::new().await;
    let scope = world.shadow().await;
    world.plan(&scope, &["a.json"], None).await;
    let before = world.everything().await;
    let cases = [
        (broken_listing(), None, ErrorKind::Timeout),
        (stream_of(vec![]), None, ErrorKind::RawStoreInvalid),
        (listing(&["nul\0"]), None, ErrorKind::RawStoreInvalid),
        (listing(&["a.json"]), Some(0), ErrorKind::InvalidInput),
        (listing(&["a.json"]), Some(100_001), ErrorKind::InvalidInput),
    ];
    for (listing, segment_entities, kind) in cases {
        let error = plans::create(world.database(), &scope, Uuid::now_v7(), listing, &sized(segment_entities))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn nothing_is_planned_into_the_active_slot() {
    let world = World::new().await;
    let scope = world.ready_shadow().await;
    world.flip(&world.flip_to(scope.slot_id)).await.unwrap();
    let error =
        plans::create(world.database(), &scope, Uuid::now_v7(), listing(&["b.json"]), &sized(None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn concurrent_planners_of_a_slot_leave_one_whole_plan() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let keys: Vec<String> = (0..50).map(|n| format!("{n:02}.json")).collect();
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (database, keys) = (world.database().clone(), keys.clone());
            tokio::spawn(async move {
                let listing = stream::iter(keys.into_iter().map(|key| Ok(object(&key, "t")))).boxed();
                let plan_id = Uuid::now_v7();
                plans::create(&database, &scope, plan_id, listing, &sized(Some(7))).await
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(summary) => {
                assert_eq!(summary.segments, 8);
                made += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "retried: {error}");
                assert!(error.message().contains("another plan"), "{error}");
            }
        }
    }
    assert!(made > 0, "the first one to finish is not disturbed");
    let (plans, segments): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM sync_multiplexer.plan), (SELECT count(*) FROM sync_multiplexer.segment)",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!((plans, segments), (1, 8));
}

#[tokio::test]
async fn the_planner_chooses_sensible_segments_and_one_is_in_memory_at_a_time() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let lines = stream::iter((0..50_001).map(|n| Ok(object(&format!("{n:06}.json"), "t")))).boxed();
    let plan_id = Uuid::now_v7();
    let summary = plans::create(world.database(), &scope, plan_id, lines, &sized(None)).await.unwrap();
    // ceil(50,001 / 200) = 251 entities each, and so 200 segments, the last of which is smaller.
    assert_eq!((summary.entities, summary.segments), (50_001, 200));
    let last = segments::read(world.database(), &scope, plan_id, 199).await.unwrap();
    assert_eq!(last.entries.len(), 50_001 - 199 * 251);
    assert_eq!(last.entries.last(), Some(&write("050000.json", "t")));
    let totals = segments::totals(world.database(), &scope, plan_id).await.unwrap();
    assert_eq!((totals.entities_total, totals.entities_done), (50_001, 0));
}

#[tokio::test]
async fn dropping_a_plan_keeps_the_ledger() {
    let world = World::new().await;
    let scope = world.ready_shadow().await;
    assert!(plans::drop_plan(world.database(), &scope).await.unwrap());
    assert!(!plans::drop_plan(world.database(), &scope).await.unwrap());
    let entities: Vec<_> =
        ledger::stream_by_entity(world.database(), &scope).await.unwrap().try_collect().await.unwrap();
    assert_eq!(entities, [("a".to_owned(), 2)]);
}

#[tokio::test]
async fn a_planner_that_is_cancelled_leaves_no_trace_in_the_pool() {
    let world = World::new().await;
    let scope = world.shadow().await;
    world.plan(&scope, &["a.json"], None).await;
    let before = world.everything().await;
    for _ in 0..10 {
        // More often than the pool has connections. The listing stalls after its first line, and then the caller goes.
        let (staged, was_staged) = tokio::sync::oneshot::channel();
        let stalled = stream::iter([Ok(object("b.json", "t"))])
            .chain(stream::once(async move {
                staged.send(()).unwrap();
                std::future::pending().await
            }))
            .boxed();
        let database = world.database().clone();
        let task =
            tokio::spawn(async move { plans::create(&database, &scope, Uuid::now_v7(), stalled, &sized(None)).await });
        was_staged.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(world.everything().await, before);
    world.plan(&scope, &["a.json", "b.json"], None).await;
}

/// A shadow that holds objects `00.json` to `19.json`.
pub async fn filled(world: &World) -> (SlotScope, Vec<String>) {
    let scope = world.shadow().await;
    let keys: Vec<String> = (0..20).map(|n| format!("{n:02}.json")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let plan_id = world.plan(&scope, &names, None).await;
    let batch = BatchRecord {
        next_index: 20,
        accepted: keys.iter().map(|key| accepted(key, 1)).collect(),
        ..Default::default()
    };
    segments::checkpoint(world.database(), &scope, plan_id, 0, None, 0, &batch).await.unwrap();
    (scope, keys)
}

pub fn lines(keys: &[String]) -> BoxStream<'static, Result<ListedObject>> {
    stream_of(keys.iter().map(|key| Ok(object(key, "t"))).collect())
}

#[tokio::test]
async fn a_listing_that_lacks_much_is_refused_until_that_is_confirmed() {
    let world = World::new().await;
    let (scope, keys) = filled(&world).await;
    let create = async |keys: &[String], options: PlanOptions| {
        plans::create(world.database(), &scope, Uuid::now_v7(), lines(keys), &options).await
    };
    let before = world.everything().await;
    for (listed, confirm_drop) in [(15, 0), (15, 4), (0, 0), (0, 20), (1, 18)] {
        let options = PlanOptions { confirm_drop, ..PlanOptions::default() };
        let error = create(&keys[..listed], options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RawStoreInvalid, "{error}");
        assert!(error.message().contains("nothing was deleted"), "{error}");
        if listed > 0 {
            let named = format!("{} of the 20", 20 - listed);
            assert!(error.message().contains(&named) && error.message().contains("confirm_drop = "), "{error}");
        }
    }
    assert_eq!(world.everything().await, before);

    let drop_of_a_fifth = create(&keys[..16], PlanOptions::default()).await.unwrap();
    assert_eq!((drop_of_a_fifth.deletes, drop_of_a_fifth.listed), (4, 16));
    let confirmed = create(&keys[..1], PlanOptions { confirm_drop: 19, ..PlanOptions::default() }).await.unwrap();
    assert_eq!((confirmed.deletes, confirmed.delete_segments), (19, 1));
}

#[tokio::test]
async fn what_the_platform_still_knows_is_not_deleted() {
    let world = World::new().await;
    let (scope, keys) = filled(&world).await;
    know(&world, ["00", "01", "19"].map(str::to_owned)).await;
    let create = async |listed: &[String], options: PlanOptions| {
        plans::create(world.database(), &scope, Uuid::now_v7(), lines(listed), &options).await
    };
    let plan = create(&keys[3..], PlanOptions::default()).await.unwrap();
    assert_eq!((plan.deletes, plan.held_back, plan.delete_segments), (1, 2, 1));
    let plan_id = plan.plan_id;
    let segment = segments::read(world.database(), &scope, plan_id, 0).await.unwrap();
    assert_eq!(segment.entries, [delete("02.json")]);

    // They count as missing: a listing that lacks what the platform knows is doubted all the more.
    let error = create(&keys[5..], PlanOptions::default()).await.unwrap_err();
    assert!(error.message().contains("the platform still knows 2 of them, such as \"00\", \"01\""), "{error}");

    let incomplete = PlanOptions { allow_incomplete: true, ..PlanOptions::default() };
    let plan = create(&keys[3..], incomplete).await.unwrap();
    assert_eq!((plan.deletes, plan.held_back), (3, 0));
}

#[tokio::test]
async fn a_dead_letter_in_the_same_version_is_tried_again_only_if_that_is_wanted() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let letter = |key: &str| NewDeadLetter {
        object_key: key.into(),
        entity_id: String::new(),
        stage: Stage::Decode,
        kind: ErrorKind::RawStoreInvalid,
        message: "not an entity".into(),
        token: "t".into(),
    };
    let plan_id = world.plan(&scope, &["a.json", "b.json", "c.json"], None).await;
    let letters = vec![letter("a.json"), letter("b.json"), letter("c.json")];
    let batch = BatchRecord { next_index: 3, dead_letters: letters, ..Default::default() };
    segments::checkpoint(world.database(), &scope, plan_id, 0, None, 0, &batch).await.unwrap();

    // `a` is as it was, `b` was mended, `c` is gone.
    let listing = || stream_of(vec![Ok(object("a.json", "t")), Ok(object("b.json", "t2"))]);
    let options = PlanOptions { retry_dead_letters: false, ..PlanOptions::default() };
    let plan = plans::create(world.database(), &scope, Uuid::now_v7(), listing(), &options).await.unwrap();
    assert_eq!((plan.listed, plan.entities, plan.left_out), (2, 1, 1));
    let left = dead_letters::list(world.database(), &scope, 10).await.unwrap();
    assert_eq!(left.iter().map(|it| it.letter.object_key.as_str()).collect::<Vec<_>>(), ["a.json", "b.json"]);

    let plan = plans::create(world.database(), &scope, Uuid::now_v7(), listing(), &sized(None)).await.unwrap();
    assert_eq!((plan.entities, plan.left_out), (2, 0));
}

#[tokio::test]
async fn a_planner_that_was_taken_for_dead_does_not_undo_a_later_plan() {
    let world = World::new().await;
    let (scope, keys) = filled(&world).await;
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let slow = stream::iter([Ok(object("00.json", "t"))])
        .chain(stream::once(async move {
            started.send(()).unwrap();
            may_go_on.await.unwrap();
            Ok(object("01.json", "t"))
        }))
        .boxed();
    let database = world.database().clone();
    let stale = tokio::spawn(async move { plans::create(&database, &scope, Uuid::now_v7(), slow, &sized(None)).await });
    has_started.await.unwrap();
    let later = plans::create(world.database(), &scope, Uuid::now_v7(), lines(&keys), &sized(None)).await.unwrap();
    go_on.send(()).unwrap();
    assert_eq!(stale.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(segments::totals(world.database(), &scope, later.plan_id).await.unwrap().segments, 0);
}
