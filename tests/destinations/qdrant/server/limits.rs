//! Strict mode and keys: what a server refuses although it could do it.

use ::qdrant_client::QdrantError;
use ::qdrant_client::qdrant::{
    Condition, CountPointsBuilder, CreateFieldIndexCollectionBuilder, DeletePointsBuilder, FieldType, Filter,
    StrictModeConfigBuilder, UpdateMode, UpsertPointsBuilder,
};
use harness::qdrant::QdrantServerOptions;
use tonic::Code;

use crate::qdrant::target::{Target, client, code, plain, points, status};

async fn strict(target: &Target, config: StrictModeConfigBuilder) -> String {
    let name = target.name();
    let request = plain(&name).strict_mode_config(config.enabled(true));
    target.client.create_collection(request).await.expect("create");
    name
}

#[tokio::test]
async fn a_write_that_comes_too_soon_is_told_when_to_come_again() {
    let target = Target::open().await;
    let name = strict(&target, StrictModeConfigBuilder::default().write_rate_limit(100)).await;
    target.upsert(&name, points(40)).await.expect("the bucket is full at first");
    // Two tokens a point: twenty are left.
    match target.upsert(&name, points(40)).await.expect_err("too soon") {
        QdrantError::ResourceExhaustedError { status, retry_after_seconds } => {
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert!((1..=60).contains(&retry_after_seconds), "{retry_after_seconds}");
        }
        other => panic!("without retry-after: {other}"),
    }
    match target.upsert(&name, points(51)).await.expect_err("it can never fit") {
        QdrantError::ResponseError { status } => {
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert!(status.message().contains("split"), "{status}");
        }
        other => panic!("with retry-after: {other}"),
    }
    assert_eq!(target.count(&name).await, 40);
    target.close().await;
}

#[tokio::test]
async fn a_batch_may_not_have_more_points_than_allowed() {
    let target = Target::open().await;
    let name = strict(&target, StrictModeConfigBuilder::default().upsert_max_batchsize(50)).await;
    target.upsert(&name, points(50)).await.expect("fifty are allowed");
    let refusal = status(target.upsert(&name, points(51)).await);
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("Limit exceeded 51 > 50 for \"upsert limit\""), "{refusal}");
    target.close().await;
}

#[tokio::test]
async fn filters_need_an_index() {
    let target = Target::open().await;
    let config =
        StrictModeConfigBuilder::default().unindexed_filtering_retrieve(false).unindexed_filtering_update(false);
    let name = strict(&target, config).await;
    prove_filters_need_an_index(&target, &name).await;
    target.close().await;
}

#[tokio::test]
async fn the_defaults_of_the_cloud_are_strict() {
    let options = QdrantServerOptions { cloud_defaults: true, ..QdrantServerOptions::default() };
    let Some(target) = Target::scripted(options).await else { return };
    let name = target.collection().await;
    prove_filters_need_an_index(&target, &name).await;
    for n in 0..99 {
        let request = CreateFieldIndexCollectionBuilder::new(&name, format!("field_{n}"), FieldType::Keyword);
        target.client.create_field_index(request.wait(true)).await.expect("up to a hundred");
    }
    let one_more = CreateFieldIndexCollectionBuilder::new(&name, "one_more", FieldType::Keyword).wait(true);
    assert_eq!(code(target.client.create_field_index(one_more).await), Code::InvalidArgument);
    target.close().await;
}

async fn prove_filters_need_an_index(target: &Target, name: &str) {
    target.upsert(name, points(3)).await.expect("upsert");
    let tenant = Filter::must([Condition::matches("tenant", "a".to_owned())]);
    let refusal = status(target.client.count(CountPointsBuilder::new(name).filter(tenant.clone()).exact(true)).await);
    assert_eq!(refusal.code(), Code::InvalidArgument);
    let reason = "Index required but not found for \"tenant\" of one of the following types: [keyword]";
    assert!(refusal.message().contains(reason), "{refusal}");
    let delete = || target.client.delete_points(DeletePointsBuilder::new(name).points(tenant.clone()).wait(true));
    assert_eq!(code(delete().await), Code::InvalidArgument);
    // A condition of an upsert needs none.
    let mut upsert = UpsertPointsBuilder::new(name, points(1)).wait(true).update_mode(UpdateMode::UpdateOnly).build();
    upsert.update_filter = Some(tenant.clone());
    target.client.upsert_points(upsert).await.expect("upsert");
    let index = CreateFieldIndexCollectionBuilder::new(name, "tenant", FieldType::Keyword).wait(true);
    target.client.create_field_index(index).await.expect("index");
    delete().await.expect("with an index it is fine");
    assert_eq!(target.count(name).await, 3);
}

#[tokio::test]
async fn every_call_but_the_health_check_needs_the_key() {
    let options = QdrantServerOptions { api_key: Some("right".into()), ..QdrantServerOptions::default() };
    let Some(target) = Target::scripted(options).await else { return };
    let name = target.collection().await;
    for key in [None, Some("wrong")] {
        let stranger = client(&target.server().url(), key);
        assert_eq!(stranger.health_check().await.expect("health").version, harness::qdrant::VERSION);
        assert_eq!(code(stranger.collection_info(&name).await), Code::Unauthenticated);
        assert_eq!(
            code(stranger.upsert_points(UpsertPointsBuilder::new(&name, points(1))).await),
            Code::Unauthenticated
        );
    }
    assert_eq!(target.count(&name).await, 0);
    target.close().await;
}
