use serde_json::json;
use uuid::Uuid;

use super::world::{World, accepted};
use crate::database::dead_letters::{self, NewDeadLetter, Stage};
use crate::database::segments::{self, BatchRecord};
use crate::database::verifications;
use crate::error::ErrorKind;

fn letter(key: &str, message: &str) -> NewDeadLetter {
    NewDeadLetter {
        object_key: key.into(),
        entity_id: "e".into(),
        stage: Stage::Write,
        kind: ErrorKind::TooLarge,
        message: message.into(),
        token: "t".into(),
    }
}

#[tokio::test]
async fn a_letter_counts_its_attempts_and_goes_when_the_object_is_accepted() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let fail = async |message: &str| {
        let plan_id = world.plan(&scope, &["a.json", "b.json"], None).await;
        let batch = BatchRecord {
            next_index: 2,
            dead_letters: vec![letter("a.json", message), letter("b.json", message)],
            ..Default::default()
        };
        segments::checkpoint(world.database(), &scope, plan_id, 0, None, 0, &batch).await.unwrap();
    };
    fail("first").await;
    let first = dead_letters::list(world.database(), &scope, 10).await.unwrap();
    assert_eq!((first.len(), first[0].attempts), (2, 1));
    assert_eq!(first[0].letter, letter("a.json", "first"));

    fail("second").await;
    let second = dead_letters::list(world.database(), &scope, 1).await.unwrap();
    assert_eq!((second.len(), second[0].attempts), (1, 2));
    assert_eq!(second[0].letter, letter("a.json", "second"));
    assert_eq!(second[0].first_seen, first[0].first_seen);
    assert!(second[0].last_seen > first[0].last_seen);

    // A letter is not in the ledger, so the next plan tries it again.
    let plan_id = world.plan(&scope, &["a.json", "b.json"], None).await;
    let batch = BatchRecord {
        next_index: 2,
        accepted: vec![accepted("a.json", 1)],
        dead_letters: vec![letter("b.json", "third")],
        ..Default::default()
    };
    segments::checkpoint(world.database(), &scope, plan_id, 0, None, 0, &batch).await.unwrap();
    let left = dead_letters::list(world.database(), &scope, 10).await.unwrap();
    assert_eq!((left.len(), left[0].letter.object_key.as_str(), left[0].attempts), (1, "b.json", 3));
    assert_eq!(dead_letters::count(world.database(), &scope).await.unwrap(), 1);
}

#[tokio::test]
async fn any_words_can_be_recorded() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let plan_id = world.plan(&scope, &["a.json"], None).await;
    let hostile = NewDeadLetter { entity_id: "nul\0".into(), ..letter("a.json", &"\0é".repeat(5000)) };
    let batch = BatchRecord { next_index: 1, dead_letters: vec![hostile], ..Default::default() };
    segments::checkpoint(world.database(), &scope, plan_id, 0, None, 0, &batch).await.unwrap();
    let recorded = dead_letters::list(world.database(), &scope, 1).await.unwrap().remove(0).letter;
    assert_eq!(recorded.entity_id, "nul\u{fffd}");
    assert_eq!(recorded.message, "\u{fffd}é".repeat(1000));
}

#[tokio::test]
async fn the_newest_verification_is_found() {
    let world = World::new().await;
    let scope = world.shadow().await;
    assert_eq!(verifications::latest(world.database(), &scope).await.unwrap(), None);
    let (first, second, operation_id) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for (id, passed) in [(first, false), (second, true), (second, false)] {
        let result = json!({"passed": passed});
        verifications::record(world.database(), &scope, id, operation_id, passed, &result).await.unwrap();
    }
    let latest = verifications::latest(world.database(), &scope).await.unwrap().unwrap();
    assert_eq!((latest.verification_id, latest.passed, latest.result), (second, true, json!({"passed": true})));
}
