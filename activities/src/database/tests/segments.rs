use std::collections::BTreeMap;

use futures::TryStreamExt;
use uuid::Uuid;

use super::world::{World, accepted};
use crate::database::batch_hold::Attempt;
use crate::database::dead_letters::{NewDeadLetter, Stage};
use crate::database::ledger::{self, LedgerEntry, LedgerTotals};
use crate::database::segments::{self, BatchRecord, Counters};
use crate::database::slots::{self, SlotState};
use crate::error::ErrorKind;

fn letter(key: &str) -> NewDeadLetter {
    NewDeadLetter {
        object_key: key.into(),
        entity_id: String::new(),
        stage: Stage::Decode,
        kind: ErrorKind::RawStoreInvalid,
        message: "not an entity".into(),
        token: "t".into(),
    }
}

fn gaps(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(what, times)| ((*what).to_owned(), *times)).collect()
}

#[tokio::test]
async fn batches_move_the_cursor_and_add_up() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let plan_id = world.plan(&scope, &["a.json", "b.json", "c.json", "d.json", "e.json", "f.json"], Some(5)).await;

    let first = BatchRecord {
        next_index: 3,
        accepted: vec![accepted("a.json", 4), accepted("b.json", 0)],
        dead_letters: vec![letter("c.json")],
        vanished: 0,
        chunks_embedded: 3,
        chunks_reused: 1,
        gaps: gaps(&[("no converter for .dwg", 2)]),
        ..Default::default()
    };
    segments::checkpoint(world.database(), &scope, plan_id, 0, None, 0, &first).await.unwrap();
    let second = BatchRecord {
        next_index: 5,
        accepted: vec![accepted("d.json", 1)],
        dead_letters: vec![],
        vanished: 1,
        chunks_embedded: 0,
        chunks_reused: 1,
        gaps: gaps(&[("no converter for .dwg", 1), ("odd\0name", 1)]),
        ..Default::default()
    };
    segments::checkpoint(world.database(), &scope, plan_id, 0, None, 3, &second).await.unwrap();

    let segment = segments::read(world.database(), &scope, plan_id, 0).await.unwrap();
    let counters = Counters {
        entities: 3,
        points: 5,
        textless: 1,
        dead_letters: 1,
        vanished: 1,
        deleted: 0,
        chunks_embedded: 3,
        chunks_reused: 2,
    };
    let claimed = segments::claim(world.database(), &scope, plan_id, 0, Uuid::new_v4()).await.unwrap();
    assert_eq!(claimed, segment, "claiming reads the same");
    assert_eq!((segment.next_index, segment.is_done(), segment.counters), (5, true, counters));
    let totals = segments::totals(world.database(), &scope, plan_id).await.unwrap();
    assert_eq!((totals.segments, totals.segments_done, totals.entities_total, totals.entities_done), (2, 1, 6, 5));
    assert_eq!(totals.counters, counters);
    assert_eq!(totals.gaps, gaps(&[("no converter for .dwg", 3), ("odd\u{fffd}name", 1)]));
    assert_eq!(
        ledger::totals(world.database(), &scope).await.unwrap(),
        LedgerTotals { entities: 3, textless: 1, points: 5 }
    );
}

#[tokio::test]
async fn of_two_attempts_at_the_same_batch_one_goes_on() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let plan_id = world.plan(&scope, &["a.json", "b.json"], None).await;
    let tasks: Vec<_> = (1..=6)
        .map(|points| {
            let database = world.database().clone();
            let batch = BatchRecord { next_index: 1, accepted: vec![accepted("a.json", points)], ..Default::default() };
            tokio::spawn(async move {
                segments::checkpoint(&database, &scope, plan_id, 0, None, 0, &batch).await.map(|()| points)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(points) => winners.push(points),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict);
                assert!(error.message().contains("another attempt moved segment 0"), "{error}");
            }
        }
    }
    assert_eq!(winners.len(), 1);
    let totals = ledger::totals(world.database(), &scope).await.unwrap();
    assert_eq!(totals.points, u64::from(winners[0]), "what the losers tried to record is not there");
}

#[tokio::test]
async fn the_attempt_that_claimed_last_goes_on() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let plan_id = world.plan(&scope, &["a.json", "b.json"], None).await;
    let (early, late) = (Uuid::new_v4(), Uuid::new_v4());
    let claim = async |claim| segments::claim(world.database(), &scope, plan_id, 0, claim).await.unwrap().next_index;
    let record = async |claim, from_index: u32, key| {
        let next_index = from_index + 1;
        let batch = BatchRecord { next_index, accepted: vec![accepted(key, 1)], ..Default::default() };
        segments::checkpoint(world.database(), &scope, plan_id, 0, claim, from_index, &batch).await
    };
    assert_eq!(claim(early).await, 0);
    record(Some(early), 0, "a.json").await.unwrap();
    assert_eq!(claim(late).await, 1, "the cursor is read with the claim");
    for stale in [Some(early), None] {
        let error = record(stale, 1, "b.json").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "retried: {error}");
        assert!(error.message().contains("took over segment 0"), "{error}");
    }
    let announce = async |claim, ids: &[&str]| {
        segments::announce(world.database(), &Attempt { scope, plan_id, segment_no: 0, claim }, ids).await
    };
    assert_eq!(announce(early, &["b"]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    announce(late, &["b", "c\0"]).await.unwrap();
    announce(late, &["b"]).await.unwrap();
    let mut in_hand = segments::read(world.database(), &scope, plan_id, 0).await.unwrap().in_hand;
    in_hand.sort();
    assert_eq!(in_hand, ["b", "c\0"], "until it is recorded");
    record(Some(late), 1, "b.json").await.unwrap();
    assert_eq!(segments::read(world.database(), &scope, plan_id, 0).await.unwrap().in_hand, [""; 0]);
    assert!(segments::read(world.database(), &scope, plan_id, 0).await.unwrap().is_done());
}

#[tokio::test]
async fn a_record_that_loses_an_entity_is_refused() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let plan_id = world.plan(&scope, &["a.json", "b.json"], None).await;
    let before = world.everything().await;
    let one = vec![accepted("a.json", 1)];
    let records = [
        BatchRecord { next_index: 2, accepted: one.clone(), ..Default::default() },
        BatchRecord { next_index: 1, accepted: one.clone(), vanished: 1, ..Default::default() },
        BatchRecord { next_index: 0, ..Default::default() },
        BatchRecord { next_index: 3, accepted: one, vanished: 2, ..Default::default() },
    ];
    for record in &records {
        let error = segments::checkpoint(world.database(), &scope, plan_id, 0, None, 0, record).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn a_slot_is_ready_only_when_its_own_plan_is_done() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let plan_id = world.plan(&scope, &["a.json", "b.json"], Some(1)).await;
    let conflict = async |plan_id| {
        let error = slots::mark_ready(world.database(), &scope, plan_id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        error.message().to_owned()
    };
    assert!(conflict(plan_id).await.contains("is empty, not building"));
    slots::mark_building(world.database(), &scope).await.unwrap();
    slots::mark_building(world.database(), &scope).await.unwrap();
    assert!(conflict(plan_id).await.contains("2 segments"));
    assert!(conflict(Uuid::now_v7()).await.contains("not the current plan"));
    for (segment_no, key) in [(0, "a.json"), (1, "b.json")] {
        assert!(conflict(plan_id).await.contains("segments"));
        let batch = BatchRecord { next_index: 1, accepted: vec![accepted(key, 1)], ..Default::default() };
        segments::checkpoint(world.database(), &scope, plan_id, segment_no, None, 0, &batch).await.unwrap();
    }
    slots::mark_ready(world.database(), &scope, plan_id).await.unwrap();
    let ready = world.everything().await;
    slots::mark_ready(world.database(), &scope, plan_id).await.unwrap();
    assert_eq!(world.everything().await, ready);
    // Built on, it is not ready any more.
    slots::mark_building(world.database(), &scope).await.unwrap();
    let built = slots::get(world.database(), &scope).await.unwrap().built.unwrap();
    assert_eq!((built.state, built.ready_at), (SlotState::Building, None));
}

#[tokio::test]
async fn the_active_slot_is_never_marked() {
    let world = World::new().await;
    let scope = world.ready_shadow().await;
    world.flip(&world.flip_to(scope.slot_id)).await.unwrap();
    let error = slots::mark_building(world.database(), &scope).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("is active"), "{error}");
}

#[tokio::test]
async fn the_ledger_is_read_in_byte_order_of_entity_ids() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let keys = ["1.json", "2.json", "3.json", "4.json", "5.json"];
    let plan_id = world.plan(&scope, &keys, None).await;
    let rows = ["é", "Z", "a", "Z", "silent"].iter().zip(keys).zip([1, 2, 3, 4, 0]);
    let rows: Vec<LedgerEntry> = rows
        .map(|((entity_id, key), points)| LedgerEntry { entity_id: (*entity_id).to_owned(), ..accepted(key, points) })
        .collect();
    let batch = BatchRecord { next_index: 5, accepted: rows.clone(), ..Default::default() };
    segments::checkpoint(world.database(), &scope, plan_id, 0, None, 0, &batch).await.unwrap();
    let entities: Vec<_> =
        ledger::stream_by_entity(world.database(), &scope).await.unwrap().try_collect().await.unwrap();
    let expected = [("Z", 6), ("a", 3), ("é", 1)].map(|(entity_id, points)| (entity_id.to_owned(), points));
    assert_eq!(entities, expected);
}
