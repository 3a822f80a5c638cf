//! Properties of check, prepare, finish and clear, and of servers that refuse or are away.

use activities::destinations::SearchMode;
use activities::error::ErrorKind;

use super::documents::{axis, document, placed, refs, scope};
use super::observe::{assert_holds, found, kind, ready, store};
use super::{DIMENSIONS, World};

pub(crate) async fn prepare_twice_is_fine(world: &dyn World) {
    let scope = scope();
    let slot = ready(world, &scope).await;
    let documents = [document("a", 1, 2)];
    store(slot.as_ref(), &documents).await;
    slot.finish().await.expect("finish");
    let before = world.inventory().await;
    slot.prepare().await.expect("prepare again");
    world.open(&scope).prepare().await.expect("prepare from elsewhere");
    assert_eq!(world.inventory().await, before);
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(crate) async fn prepare_refuses_other_dimensions(world: &dyn World) {
    let scope = scope();
    let slot = ready(world, &scope).await;
    let documents = [document("a", 1, 2)];
    store(slot.as_ref(), &documents).await;
    let before = world.inventory().await;
    let other = world.open_sized(&scope, DIMENSIONS + 1);
    let error = other.prepare().await.expect_err("the dimensions differ");
    assert_eq!(error.kind(), ErrorKind::IncompatibleDestination);
    let (here, wanted) = (DIMENSIONS.to_string(), (DIMENSIONS + 1).to_string());
    assert!(error.message().contains(&here) && error.message().contains(&wanted), "says what differs: {error}");
    assert_eq!(kind(other.check().await), ErrorKind::IncompatibleDestination);
    assert_eq!(world.inventory().await, before);
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(crate) async fn concurrent_prepares_agree(world: &dyn World) {
    let shared = scope();
    // Some prepare the same slot, some another one: the first of all also meet over what slots share.
    let slots: Vec<_> = (0..8).map(|n| world.open(&if n % 2 == 0 { shared.clone() } else { scope() })).collect();
    let prepared = futures::future::join_all(slots.iter().map(|slot| slot.prepare())).await;
    for result in prepared {
        result.expect("all of them are right");
    }
    for slot in &slots {
        assert_holds(world, slot.as_ref(), &[]).await;
    }
}

pub(crate) async fn clear_is_idempotent_and_prepare_starts_over(world: &dyn World) {
    let scope = scope();
    let before = world.inventory().await;
    assert_eq!(world.open(&scope).clear().await.expect("clear what was never there"), 0);
    assert_eq!(world.inventory().await, before, "clear creates nothing");
    let slot = ready(world, &scope).await;
    store(slot.as_ref(), &[document("a", 1, 3)]).await;
    slot.finish().await.expect("finish");
    assert_eq!(slot.clear().await.expect("clear"), 3);
    assert_eq!(slot.clear().await.expect("clear again"), 0);
    slot.prepare().await.expect("prepare again");
    assert_holds(world, slot.as_ref(), &[]).await;
    let documents = [document("b", 1, 2)];
    store(slot.as_ref(), &documents).await;
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(crate) async fn finish_twice_is_fine_and_search_works_before_and_after(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let mut documents: Vec<_> = (0..300).map(|n| document(&format!("noise {n}"), 1, 1)).collect();
    documents.push(placed("needle", axis(2), &[9, 1_000]));
    store(slot.as_ref(), &documents).await;
    let mut answers = Vec::new();
    for round in 0..3 {
        if round > 0 {
            slot.finish().await.expect("finish");
        }
        for mode in [SearchMode::Dense, SearchMode::Sparse, SearchMode::Hybrid] {
            let hits = found(slot.as_ref(), mode, axis(2), &[1_000], 3).await;
            assert_eq!(hits[0].entity.0, "needle", "{mode:?}, round {round}");
            answers.push((mode, hits[0].clone()));
        }
    }
    assert_holds(world, slot.as_ref(), &documents).await;
    // After the bulk load, writes still arrive and are found.
    store(slot.as_ref(), &[placed("late", axis(5), &[2_000])]).await;
    for mode in [SearchMode::Dense, SearchMode::Sparse, SearchMode::Hybrid] {
        assert_eq!(found(slot.as_ref(), mode, axis(5), &[2_000], 3).await[0].entity.0, "late", "{mode:?}");
    }
    slot.delete(&refs(&["late"])).await.expect("delete");
    assert_eq!(found(slot.as_ref(), SearchMode::Sparse, axis(5), &[2_000], 3).await, []);
    let hit = &answers[0].1;
    assert_eq!((hit.index, hit.text.as_str()), (0, "text of needle, version 1, chunk 0"));
}

pub(crate) async fn check_leaves_nothing_behind(world: &dyn World) {
    let scope = scope();
    let slot = world.open(&scope);
    let before = world.inventory().await;
    slot.check().await.expect("check an empty place");
    assert_eq!(world.inventory().await, before, "as if nothing had been");
    slot.prepare().await.expect("prepare");
    let documents = [document("a", 1, 2)];
    store(slot.as_ref(), &documents).await;
    slot.finish().await.expect("finish");
    let before = world.inventory().await;
    slot.check().await.expect("check a used slot");
    assert_eq!(world.inventory().await, before);
    assert_holds(world, slot.as_ref(), &documents).await;
}

pub(crate) async fn refused_credentials_are_denied(world: &dyn World) {
    let scope = scope();
    ready(world, &scope).await;
    let denied = world.open_denied(&scope);
    assert_eq!(kind(denied.check().await), ErrorKind::DestinationDenied);
    assert_eq!(kind(denied.prepare().await), ErrorKind::DestinationDenied);
    assert_eq!(kind(denied.upsert(&[document("a", 1, 1)]).await), ErrorKind::DestinationDenied);
    assert_eq!(kind(denied.count().await), ErrorKind::DestinationDenied);
}

pub(crate) async fn a_server_that_is_away_is_unavailable(world: &dyn World) {
    let away = world.open_away(&scope());
    assert_eq!(kind(away.check().await), ErrorKind::Unavailable);
    assert_eq!(kind(away.prepare().await), ErrorKind::Unavailable);
    assert_eq!(kind(away.upsert(&[document("a", 1, 1)]).await), ErrorKind::Unavailable);
    assert_eq!(kind(away.count().await), ErrorKind::Unavailable);
}
