//! Faults on demand, and the journal that proves what came of them.

use std::time::Duration;

use ::qdrant_client::QdrantError;
use ::qdrant_client::qdrant::{CollectionStatus, OptimizersConfigDiffBuilder, UpdateStatus, UpsertPointsBuilder};
use harness::qdrant::{Fault, Look, Method, PointKey, QdrantServerOptions};
use tonic::Code;

use crate::qdrant::target::{Target, client_with, code, plain, point, points, status};

async fn target() -> Option<Target> {
    Target::scripted(QdrantServerOptions::default()).await
}

/// Status, length of the queue, deferred points.
async fn look(target: &Target, name: &str) -> (CollectionStatus, u64, u64) {
    let info = target.client.collection_info(name).await.expect("info").result.expect("result");
    let queue = info.update_queue.expect("a queue");
    (info.status(), queue.length, queue.deferred_points.unwrap_or(0))
}

#[tokio::test]
async fn a_write_whose_time_runs_out_is_ok_and_not_there_yet() {
    let Some(target) = target().await else { return };
    let name = target.collection().await;
    target.server().script(Method::Upsert, 1, Fault::WaitTimeout);
    assert_eq!(target.upsert(&name, points(3)).await.expect("it says OK"), UpdateStatus::WaitTimeout);
    assert_eq!(target.count(&name).await, 0, "not applied yet");
    assert_eq!(look(&target, &name).await, (CollectionStatus::Green, 1, 0));
    assert_eq!(target.count(&name).await, 0, "what was seen stays true until the next look");
    assert_eq!(look(&target, &name).await, (CollectionStatus::Green, 0, 0));
    assert_eq!(target.count(&name).await, 3);
    // The next write comes after what is queued.
    target.server().script(Method::Upsert, 1, Fault::WaitTimeout);
    target.upsert(&name, points(5)).await.expect("OK");
    target.upsert(&name, vec![point(9, [1.0; 4])]).await.expect("OK");
    assert_eq!(target.count(&name).await, 6);
}

#[tokio::test]
async fn a_poisoned_point_is_refused_wherever_it_comes() {
    let Some(target) = target().await else { return };
    let name = target.collection().await;
    target.server().poison(PointKey::Number(50));
    assert_eq!(code(target.upsert(&name, points(100)).await), Code::InvalidArgument);
    let stored = target.count(&name).await;
    assert!((1..99).contains(&stored), "{stored}");
    assert_eq!(code(target.upsert(&name, vec![point(50, [1.0; 4])]).await), Code::InvalidArgument);
    assert_eq!(target.server().journal().stored(&name, PointKey::Number(50)), 0);
    let calls = target.server().journal().calls(Method::Upsert);
    assert_eq!(calls[0].changed, stored, "the journal tells what a refused call left behind");
    assert_eq!(calls[0].outcome, Some(Code::InvalidArgument));
}

#[tokio::test]
async fn exhausted_resources_come_in_three_kinds() {
    let Some(target) = target().await else { return };
    let name = target.collection().await;
    for fault in [Fault::RateLimited(7), Fault::TooLarge, Fault::OutOfStorage] {
        target.server().script(Method::Upsert, 1, fault);
    }
    let answers = [
        target.upsert(&name, points(1)).await.expect_err("rate"),
        target.upsert(&name, points(1)).await.expect_err("size"),
        target.upsert(&name, points(1)).await.expect_err("storage"),
    ];
    assert!(matches!(&answers[0], QdrantError::ResourceExhaustedError { retry_after_seconds: 7, .. }));
    let marks: Vec<bool> = answers
        .into_iter()
        .map(|error| status::<()>(Err(error)))
        .inspect(|status| assert_eq!(status.code(), Code::ResourceExhausted))
        .map(|status| status.metadata().get("qdrant-insufficient-storage").is_some_and(|mark| mark == "1"))
        .collect();
    assert_eq!(marks, [false, false, true]);
    assert_eq!(target.count(&name).await, 0);
    target.upsert(&name, points(1)).await.expect("the scripts are played");
}

#[tokio::test]
async fn a_lost_answer_makes_the_client_write_twice() {
    let Some(target) = target().await else { return };
    let name = target.collection().await;
    target.server().script(Method::Upsert, 1, Fault::AnswerLost);
    assert_eq!(target.upsert(&name, points(3)).await.expect("the second try"), UpdateStatus::Completed);
    assert_eq!(target.server().journal().count(Method::Upsert), 2, "the client sent it again by itself");
    assert_eq!(target.server().journal().stored(&name, PointKey::Number(1)), 2);
    assert_eq!(target.count(&name).await, 3);
    // Only once, and not for calls about collections.
    target.server().script(Method::Upsert, 2, Fault::Refused(Code::Unavailable));
    assert_eq!(code(target.upsert(&name, points(3)).await), Code::Unavailable);
    target.server().script(Method::CollectionInfo, 1, Fault::Refused(Code::Unavailable));
    assert_eq!(code(target.client.collection_info(&name).await), Code::Unavailable);
}

#[tokio::test]
async fn an_impatient_client_writes_twice_and_gives_up() {
    let Some(target) = target().await else { return };
    let name = target.collection().await;
    let impatient = client_with(&target.server().url(), None, Duration::from_millis(100));
    target.server().script(Method::Upsert, 2, Fault::Silence);
    let answer = impatient.upsert_points(UpsertPointsBuilder::new(&name, points(3)).wait(true)).await;
    assert_eq!(code(answer), Code::Cancelled);
    assert_eq!(target.server().journal().count(Method::Upsert), 2);
    assert_eq!(target.count(&name).await, 3, "it was applied all the same");
    target.server().script(Method::Upsert, 2, Fault::Hang);
    let answer = impatient.upsert_points(UpsertPointsBuilder::new(&name, points(9)).wait(true)).await;
    assert_eq!(code(answer), Code::Cancelled);
    assert_eq!(target.count(&name).await, 3, "here it was not");
    let outcomes: Vec<_> = target.server().journal().calls(Method::Upsert).iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, [None; 4]);
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_by_a_kill() {
    let options = QdrantServerOptions { write_latency: Duration::from_millis(2), ..QdrantServerOptions::default() };
    let Some(mut target) = Target::scripted(options).await else { return };
    let name = target.collection().await;
    let (url, client) = (target.server().url(), target.client.clone());
    let writer = tokio::spawn({
        let name = name.clone();
        async move {
            let mut acknowledged = Vec::new();
            for id in 1.. {
                let request = UpsertPointsBuilder::new(&name, vec![point(id, [1.0; 4])]).wait(true);
                match client.upsert_points(request).await {
                    Ok(_) => acknowledged.push(PointKey::Number(id)),
                    Err(_) => break,
                }
            }
            acknowledged
        }
    });
    harness::until("some writes", Duration::from_secs(10), || {
        let written = target.server().journal().count(Method::Upsert) > 20;
        async move { written }
    })
    .await;
    target.server_mut().stop().await;
    let acknowledged = writer.await.expect("the writer ends by itself");
    target.server_mut().restart().await;
    assert_eq!(target.server().url(), url, "the same port");
    let stored = target.server().stored_points(&name);
    assert!(acknowledged.len() >= 20 && acknowledged.iter().all(|id| stored.contains(id)));
    assert!(stored.len() <= acknowledged.len() + 1, "and at most the one under way besides");
    assert_eq!(target.count(&name).await, stored.len() as u64, "clients find it again");
}

#[tokio::test]
async fn deferred_points_are_not_counted_yet() {
    let Some(target) = target().await else { return };
    let name = target.collection().await;
    target.upsert(&name, points(10)).await.expect("upsert");
    target.upsert(&name, vec![point(11, [1.0; 4]), point(12, [1.0; 4])]).await.expect("upsert");
    let busy = Look { status: CollectionStatus::Yellow, queue: 4, deferred: 2 };
    target.server().show(&name, &[busy, Look { queue: 0, ..busy }, Look { deferred: 0, queue: 0, ..busy }]);
    assert_eq!(target.count(&name).await, 10);
    let hits = super::searching::dense(&target, &name, [1.0; 4], Default::default()).await;
    assert_eq!(hits.len(), 10);
    assert_eq!(look(&target, &name).await, (CollectionStatus::Yellow, 4, 2));
    assert_eq!(target.count(&name).await, 10);
    assert_eq!(look(&target, &name).await, (CollectionStatus::Yellow, 0, 2));
    assert_eq!(look(&target, &name).await, (CollectionStatus::Yellow, 0, 0));
    assert_eq!(target.count(&name).await, 12);
    assert_eq!(look(&target, &name).await, (CollectionStatus::Green, 0, 0));
}

#[tokio::test]
async fn unoptimised_points_are_deferred_when_so_configured() {
    let Some(target) = target().await else { return };
    let name = target.name();
    let optimizers = OptimizersConfigDiffBuilder::default().prevent_unoptimized(true);
    target.client.create_collection(plain(&name).optimizers_config(optimizers)).await.expect("create");
    let write = UpsertPointsBuilder::new(&name, points(5)).wait(false);
    target.client.upsert_points(write).await.expect("acknowledged");
    assert_eq!(target.count(&name).await, 0);
    assert_eq!(look(&target, &name).await, (CollectionStatus::Yellow, 0, 5));
    assert_eq!(look(&target, &name).await, (CollectionStatus::Green, 0, 0));
    assert_eq!(target.count(&name).await, 5);
    assert_eq!(
        code(target.upsert(&name, points(1)).await),
        Code::Unimplemented,
        "nobody saw what a waiting write does"
    );
}

#[tokio::test]
async fn indexing_that_is_switched_on_takes_its_time() {
    let options = QdrantServerOptions { looks_until_green: 2, ..QdrantServerOptions::default() };
    let Some(target) = Target::scripted(options).await else { return };
    let name = target.name();
    let threshold = |kilobytes| OptimizersConfigDiffBuilder::default().indexing_threshold(kilobytes);
    target.client.create_collection(plain(&name).optimizers_config(threshold(0))).await.expect("create");
    target.upsert(&name, points(5)).await.expect("upsert");
    assert_eq!(look(&target, &name).await.0, CollectionStatus::Green, "there is nothing to do");
    let update = ::qdrant_client::qdrant::UpdateCollectionBuilder::new(&name).optimizers_config(threshold(20_000));
    target.client.update_collection(update).await.expect("update");
    let looks = [look(&target, &name).await.0, look(&target, &name).await.0, look(&target, &name).await.0];
    assert_eq!(looks, [CollectionStatus::Yellow, CollectionStatus::Yellow, CollectionStatus::Green]);
    assert_eq!(target.count(&name).await, 5, "all of them count meanwhile");
}

#[tokio::test]
async fn the_journal_counts_what_is_under_way_at_once() {
    let options = QdrantServerOptions { write_latency: Duration::from_millis(20), ..QdrantServerOptions::default() };
    let Some(target) = Target::scripted(options).await else { return };
    let name = target.collection().await;
    let writes = (0..5_u64).map(|n| target.upsert(&name, vec![point(n, [1.0; 4])]));
    futures::future::try_join_all(writes).await.expect("upsert");
    assert_eq!(target.server().journal().most_in_flight(Method::Upsert), 5);
    assert_eq!((target.server().journal().writes(), target.count(&name).await), (5, 5));
}
