//! What goes wrong on a Qdrant, each time with nothing lost and nothing counted twice.

use std::time::{Duration, Instant};

use ::qdrant_client::qdrant::{StrictModeConfigBuilder, UpdateCollectionBuilder};
use activities::destinations::{Destination, EntityDocument, SearchMode};
use activities::error::ErrorKind;
use harness::qdrant::{Fault, Method, QdrantServerOptions};
use proto::v1::QdrantLayout;
use tonic::Code;

use super::stage::{SHARED, Stage, open, singles};
use super::target::plain;
use crate::conformance::documents::{axis, document, refs};
use crate::conformance::observe::{found, kind, names, store};

#[tokio::test]
async fn one_bad_point_in_a_hundred_is_rejected_alone() {
    let Some(stage) = Stage::open().await else { return };
    let mut documents = singles(100);
    stage.target.server().poison(stage.point("entity 0050", 0));
    let outcome = stage.slot.upsert(&documents).await.expect("upsert");
    let bad = documents.remove(50);
    assert_eq!(outcome.rejected.iter().map(|it| &it.entity).collect::<Vec<_>>(), [&bad.entity]);
    assert!(outcome.rejected[0].reason.starts_with("chunk 0: "), "{:?}", outcome.rejected);
    assert_eq!(outcome.accepted.len(), 99);
    stage.assert_holds(&documents).await;
    let journal = stage.target.server().journal();
    for document in &documents {
        assert!(journal.stored(SHARED, stage.point(&document.entity.0, 0)) > 0, "accepted means stored");
    }
    assert!(journal.count(Method::Upsert) < 30, "found by halving: {}", journal.count(Method::Upsert));
}

#[tokio::test]
async fn of_an_entity_with_a_bad_point_nothing_new_stays() {
    let Some(stage) = Stage::open().await else { return };
    stage.target.server().poison(stage.point("bad", 3));
    let documents = [document("bad", 1, 7), document("good", 1, 7)];
    let outcome = stage.slot.upsert(&documents).await.expect("upsert");
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (1, 1));
    assert!(outcome.rejected[0].reason.starts_with("chunk 3: "), "{:?}", outcome.rejected);
    stage.assert_holds(&documents[1..]).await;
}

#[tokio::test]
async fn an_update_that_the_server_refuses_never_passes_for_the_new_version() {
    let Some(stage) = Stage::open().await else { return };
    store(&stage.slot, &[document("updated", 1, 7)]).await;
    stage.target.server().poison(stage.point("updated", 3));
    let outcome = stage.slot.upsert(&[document("updated", 2, 7)]).await.expect("upsert");
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (0, 1));
    let stored = stage.slot.read(&refs(&["updated"])).await.expect("read");
    let old = document("updated", 1, 7);
    for entity in stored {
        assert_eq!(entity.content_hash, old.content_hash, "what is left is of the old version");
        assert!(entity.chunks.iter().all(|chunk| chunk.text == old.chunks[chunk.index as usize].text));
    }
}

#[tokio::test]
async fn a_vector_with_nan_never_leaves_this_side() {
    let Some(stage) = Stage::open().await else { return };
    let mut documents = singles(100);
    documents[7].chunks[0].dense[3] = f32::NAN;
    documents[8].chunks[0].dense[0] = f32::INFINITY;
    documents[9].chunks[0].dense = vec![0.0; 8];
    let outcome = stage.slot.upsert(&documents).await.expect("upsert");
    let mut rejected: Vec<&str> = outcome.rejected.iter().map(|it| it.entity.0.as_str()).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, ["entity 0007", "entity 0008", "entity 0009"]);
    for call in stage.target.server().journal().calls(Method::Upsert) {
        let sent = |n: usize| call.ids.contains(&stage.point(&documents[n].entity.0, 0));
        assert!(![7, 8, 9].into_iter().any(sent), "the server would have taken it");
    }
    documents.drain(7..10);
    stage.assert_holds(&documents).await;
    let hits = found(&stage.slot, SearchMode::Dense, axis(0), &[], 100).await;
    assert!(hits.len() == 97 && hits.iter().all(|hit| hit.score.is_finite()));
}

#[tokio::test]
async fn a_write_whose_time_ran_out_is_not_taken_for_done() {
    let Some(stage) = Stage::open().await else { return };
    let documents = singles(300);
    // The third of three requests; the first two are stored.
    stage.target.server().script_after(2, Method::Upsert, 1, Fault::WaitTimeout);
    assert_eq!(kind(stage.slot.upsert(&documents).await), ErrorKind::Timeout);
    store(&stage.slot, &documents).await;
    stage.assert_holds(&documents).await;
    stage.target.server().script(Method::Delete, 1, Fault::WaitTimeout);
    assert_eq!(kind(stage.slot.delete(&refs(&["entity 0000"])).await), ErrorKind::Timeout);
    stage.slot.delete(&refs(&["entity 0000"])).await.expect("delete");
    stage.assert_holds(&documents[1..]).await;
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_as_long_as_the_server_says() {
    let Some(stage) = Stage::open().await else { return };
    let documents = singles(100);
    stage.target.server().script(Method::Upsert, 1, Fault::RateLimited(1));
    let started = Instant::now();
    store(&stage.slot, &documents).await;
    assert!(started.elapsed() >= Duration::from_secs(1), "not earlier than asked");
    assert_eq!(stage.target.server().journal().count(Method::Upsert), 2, "and no more often");
    stage.assert_holds(&documents).await;
}

#[tokio::test]
async fn a_bucket_of_tokens_lets_everything_through_in_the_end() {
    let Some(stage) = Stage::open().await else { return };
    // Twenty tokens a second, and a full bucket for the first 600 points.
    let limit = StrictModeConfigBuilder::default().enabled(true).write_rate_limit(1_200);
    let update = UpdateCollectionBuilder::new(SHARED).strict_mode_config(limit);
    stage.target.client.update_collection(update).await.expect("update");
    let documents = singles(608);
    store(&stage.slot, &documents).await;
    stage.assert_holds(&documents).await;
    let refused = stage.target.server().journal().calls(Method::Upsert).into_iter();
    assert!(refused.filter(|call| call.outcome == Some(Code::ResourceExhausted)).count() > 0, "the limit was met");
}

#[tokio::test]
async fn a_request_that_can_never_fit_is_split() {
    let Some(stage) = Stage::open().await else { return };
    let documents = singles(100);
    stage.target.server().script(Method::Upsert, 3, Fault::TooLarge);
    let started = Instant::now();
    store(&stage.slot, &documents).await;
    assert!(started.elapsed() < Duration::from_secs(1), "waiting would not have helped");
    let sizes: Vec<usize> =
        stage.target.server().journal().calls(Method::Upsert).iter().map(|call| call.ids.len()).collect();
    assert_eq!(sizes, [100, 50, 25, 12, 13, 25, 50], "halves of halves");
    stage.assert_holds(&documents).await;
    // Removals by filter cost their matches.
    stage.target.server().script(Method::Delete, 2, Fault::TooLarge);
    assert_eq!(stage.slot.clear().await.expect("clear"), 100);
    stage.assert_holds(&[]).await;
}

#[tokio::test]
async fn batches_keep_to_the_size_that_strict_mode_allows() {
    let Some(stage) = Stage::open().await else { return };
    let limit = StrictModeConfigBuilder::default().enabled(true).upsert_max_batchsize(30);
    let update = UpdateCollectionBuilder::new(SHARED).strict_mode_config(limit);
    stage.target.client.update_collection(update).await.expect("update");
    let documents = singles(100);
    store(&stage.slot, &documents).await;
    stage.assert_holds(&documents).await;
}

#[tokio::test]
async fn a_full_node_holds_the_feed() {
    let Some(stage) = Stage::open().await else { return };
    let documents = singles(100);
    stage.target.server().script(Method::Upsert, 1, Fault::OutOfStorage);
    assert_eq!(kind(stage.slot.upsert(&documents).await), ErrorKind::OutOfSpace);
    assert_eq!(stage.target.server().journal().count(Method::Upsert), 1, "neither repeated nor split");
    stage.assert_holds(&[]).await;
    store(&stage.slot, &documents).await;
    stage.assert_holds(&documents).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_loses_nothing() {
    let options = QdrantServerOptions { write_latency: Duration::from_millis(3), ..QdrantServerOptions::default() };
    let Some(mut stage) = Stage::with(options).await else { return };
    let documents: Vec<EntityDocument> =
        (0..2_000).map(|n| document(&format!("entity {n:04}"), 1, 1 + n % 3)).collect();
    let feeding = tokio::spawn({
        let slot = open(&stage.target, &stage.scope, &QdrantLayout::default());
        let documents = documents.clone();
        async move {
            let mut failures = 0;
            for batch in documents.chunks(100) {
                // What the replay does: a batch that failed is carried again.
                loop {
                    match slot.upsert(batch).await {
                        Ok(outcome) => {
                            assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (100, 0));
                            break;
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain()),
                    }
                    failures += 1;
                    assert!(failures < 100, "the server is back by now");
                }
            }
        }
    });
    for writes in [10, 20, 30] {
        harness::until("the feed goes on", Duration::from_secs(30), || {
            let going = stage.target.server().journal().count(Method::Upsert) >= writes;
            async move { going }
        })
        .await;
        stage.target.server_mut().stop().await;
        stage.target.server_mut().restart().await;
    }
    feeding.await.expect("the feed ends well");
    stage.assert_holds(&documents).await;
}

#[tokio::test]
async fn a_server_that_stays_away_is_unavailable_and_nothing_is_claimed() {
    let Some(mut stage) = Stage::open().await else { return };
    let documents = singles(10);
    store(&stage.slot, &documents).await;
    stage.target.server_mut().stop().await;
    assert_eq!(kind(stage.slot.upsert(&singles(20)).await), ErrorKind::Unavailable);
    assert_eq!(kind(stage.slot.count().await), ErrorKind::Unavailable);
    assert_eq!(kind(stage.slot.finish().await), ErrorKind::Unavailable);
    stage.target.server_mut().restart().await;
    stage.assert_holds(&documents).await;
}

#[tokio::test]
async fn an_unknown_collection_is_not_found_and_not_made() {
    let Some(stage) = Stage::unprepared(QdrantLayout::default(), QdrantServerOptions::default()).await else { return };
    assert_eq!(kind(stage.slot.upsert(&singles(100)).await), ErrorKind::NotFound);
    assert_eq!(kind(stage.slot.finish().await), ErrorKind::NotFound);
    assert_eq!(stage.slot.clear().await.expect("there is nothing to clear"), 0);
    // Also when it disappears under a slot that was prepared.
    stage.slot.prepare().await.expect("prepare");
    store(&stage.slot, &singles(100)).await;
    stage.target.client.delete_collection(SHARED).await.expect("delete");
    assert_eq!(kind(stage.slot.upsert(&singles(100)).await), ErrorKind::NotFound);
    assert_eq!(stage.target.client.list_collections().await.expect("list").collections, []);
    assert_eq!(stage.target.server().journal().count(Method::CreateCollection), 1, "only prepare makes it");
}

#[tokio::test]
async fn a_collection_of_another_length_is_not_the_entities_fault() {
    let Some(stage) = Stage::open().await else { return };
    // Somebody made it anew, with vectors of four values.
    stage.target.client.delete_collection(SHARED).await.expect("delete");
    stage.target.client.create_collection(plain(SHARED)).await.expect("create");
    let error = stage.slot.upsert(&singles(100)).await.expect_err("no entity is at fault");
    assert_eq!(error.kind(), ErrorKind::IncompatibleDestination, "{}", error.chain());
    assert_eq!(stage.target.server().stored_points(SHARED), []);
    assert_eq!(kind(stage.slot.prepare().await), ErrorKind::IncompatibleDestination);
    assert_eq!(kind(stage.slot.check().await), ErrorKind::IncompatibleDestination);
    assert_eq!(stage.target.server().stored_points(SHARED), []);
}

#[tokio::test]
async fn a_wrong_key_is_denied_before_anything_is_written() {
    let options = QdrantServerOptions { api_key: Some("right".into()), ..QdrantServerOptions::default() };
    let Some(mut stage) = Stage::with(options).await else { return };
    let documents = singles(10);
    store(&stage.slot, &documents).await;
    let writes = stage.target.server().journal().writes();
    stage.target.forget_key();
    let denied = open(&stage.target, &stage.scope, &QdrantLayout::default());
    for error in [
        denied.upsert(&singles(20)).await.map(|_| ()),
        denied.delete(&refs(&["entity 0000"])).await.map(|_| ()),
        denied.clear().await.map(|_| ()),
        denied.finish().await,
    ] {
        assert_eq!(kind(error), ErrorKind::DestinationDenied);
    }
    assert_eq!(stage.target.server().journal().writes(), writes);
    stage.assert_holds(&documents).await;
}

#[tokio::test]
async fn a_lost_answer_counts_once() {
    let Some(stage) = Stage::open().await else { return };
    let documents: Vec<_> = (0..50).map(|n| document(&format!("entity {n}"), 1, 2)).collect();
    stage.target.server().script(Method::Upsert, 1, Fault::AnswerLost);
    store(&stage.slot, &documents).await;
    let journal = stage.target.server().journal();
    assert_eq!(journal.stored(SHARED, stage.point("entity 0", 0)), 2, "it was written twice");
    stage.assert_holds(&documents).await;
    // Longer than the client itself tries.
    stage.target.server().script(Method::Upsert, 3, Fault::AnswerLost);
    store(&stage.slot, &documents).await;
    stage.assert_holds(&documents).await;
    stage.target.server().script(Method::Delete, 1, Fault::AnswerLost);
    assert_eq!(stage.slot.delete(&refs(&["entity 7"])).await.expect("delete"), 2, "as many as there were");
    stage.target.server().script(Method::Delete, 1, Fault::AnswerLost);
    assert_eq!(stage.slot.clear().await.expect("clear"), 98);
    stage.assert_holds(&[]).await;
}

#[tokio::test]
async fn preparing_goes_on_when_answers_are_lost() {
    let Some(stage) = Stage::unprepared(QdrantLayout::default(), QdrantServerOptions::default()).await else { return };
    for method in [Method::CollectionInfo, Method::CreateCollection, Method::ListAliases] {
        stage.target.server().script(method, 1, Fault::AnswerLost);
    }
    stage.target.server().script_after(3, Method::CreateFieldIndex, 2, Fault::AnswerLost);
    stage.slot.prepare().await.expect("prepare");
    let info = stage.target.client.collection_info(SHARED).await.expect("info").result.expect("result");
    assert_eq!(info.payload_schema.len(), 7);
}

#[tokio::test]
async fn the_neighbour_finds_its_keyword_whatever_happened_before() {
    let Some(stage) = Stage::open().await else { return };
    stage.target.server().script(Method::Query, 1, Fault::Refused(Code::Unavailable));
    stage.target.server().script(Method::Query, 1, Fault::RateLimited(0));
    store(&stage.slot, &[document("here", 1, 1)]).await;
    let hits = found(&stage.slot, SearchMode::Sparse, vec![], &[3], 5).await;
    assert_eq!(names(&hits), ["here"]);
}
