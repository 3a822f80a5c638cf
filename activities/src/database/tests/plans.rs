use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::world::{World, accepted, broken_listing, listing, object, stream_of};
use crate::database::segments::{self, BatchRecord};
use crate::database::{ledger, plans, roles, slots};
use crate::error::ErrorKind;

#[tokio::test]
async fn everything_is_frozen_once_in_byte_order() {
    let world = World::new().await;
    let scope = world.shadow().await;
    // Not in order, in a case and script that collations reorder, and with a key listed twice.
    let keys = ["b.json", "B.json", "ä.json", "a b.json", "_.json", ".json", "a\n\t\\.json"];
    let mut lines: Vec<_> = keys.iter().map(|key| Ok(object(key, "t"))).collect();
    lines.push(Ok(object("B.json", "newer")));
    let plan_id = Uuid::now_v7();
    let summary = plans::create(world.database(), &scope, plan_id, stream_of(lines), Some(3)).await.unwrap();
    assert_eq!((summary.listed, summary.unchanged, summary.entities, summary.segments), (7, 0, 7, 3));
    assert_eq!((summary.vanished, summary.vanished_sample.len()), (0, 0));

    let mut frozen = Vec::new();
    for (segment_no, size) in [(0, 3), (1, 3), (2, 1)] {
        let segment = segments::read(world.database(), &scope, plan_id, segment_no).await.unwrap();
        assert_eq!((segment.entries.len(), segment.next_index, segment.is_done()), (size, 0, false));
        frozen.extend(segment.entries);
    }
    let mut expected: Vec<_> =
        keys.iter().map(|key| object(key, if *key == "B.json" { "newer" } else { "t" })).collect();
    expected.sort_by(|a, b| a.key.as_bytes().cmp(b.key.as_bytes()));
    assert_eq!(frozen, expected);
    let error = segments::read(world.database(), &scope, plan_id, 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_the_slot_holds_in_the_same_version_is_left_out() {
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
    let summary = plans::create(world.database(), &scope, second, stream_of(lines), None).await.unwrap();
    assert_eq!((summary.listed, summary.unchanged, summary.entities, summary.segments), (3, 1, 2, 1));
    assert_eq!((summary.vanished, summary.vanished_sample), (2, vec!["c.json".to_owned(), "d.json".to_owned()]));
    let segment = segments::read(world.database(), &scope, second, 0).await.unwrap();
    assert_eq!(segment.entries, [object("b.json", "t2"), object("e.json", "t")]);
    // The new plan took the place of the old one; the ledger is as it was.
    let error = segments::read(world.database(), &scope, first, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(ledger::totals(world.database(), &scope).await.unwrap().entities, 4);
}

#[tokio::test]
async fn a_slot_that_holds_everything_gets_a_plan_without_segments() {
    let world = World::new().await;
    let scope = world.ready_shadow().await;
    let plan_id = Uuid::now_v7();
    let summary = plans::create(world.database(), &scope, plan_id, listing(&["a.json"]), None).await.unwrap();
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
    let first = plans::create(world.database(), &scope, plan_id, listing(&["a.json"]), None).await.unwrap();
    let unread = stream::poll_fn(|_| panic!("a retry has no use for the listing")).boxed();
    let second = plans::create(world.database(), &scope, plan_id, unread, None).await.unwrap();
    assert_eq!(first, second);

    let other = world.shadow().await;
    let error = plans::create(world.database(), &other, plan_id, listing(&["a.json"]), None).await.unwrap_err();
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
        let error =
            plans::create(world.database(), &scope, Uuid::now_v7(), listing, segment_entities).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn nothing_is_planned_into_the_active_slot() {
    let world = World::new().await;
    let scope = world.ready_shadow().await;
    roles::flip(world.database(), &world.flip_to(scope.slot_id)).await.unwrap();
    let error = plans::create(world.database(), &scope, Uuid::now_v7(), listing(&["b.json"]), None).await.unwrap_err();
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
                plans::create(&database, &scope, plan_id, listing, Some(7)).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().segments, 8);
    }
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
    let summary = plans::create(world.database(), &scope, plan_id, lines, None).await.unwrap();
    // ceil(50,001 / 200) = 251 entities each, and so 200 segments, the last of which is smaller.
    assert_eq!((summary.entities, summary.segments), (50_001, 200));
    let last = segments::read(world.database(), &scope, plan_id, 199).await.unwrap();
    assert_eq!(last.entries.len(), 50_001 - 199 * 251);
    assert_eq!(last.entries.last().unwrap().key, "050000.json");
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
        let task = tokio::spawn(async move { plans::create(&database, &scope, Uuid::now_v7(), stalled, None).await });
        was_staged.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(world.everything().await, before);
    world.plan(&scope, &["a.json", "b.json"], None).await;
}
