//! What only Qdrant promises: how a collection is made, when a load is over, what an alias does, and what every request
//! names.

use std::collections::BTreeSet;
use std::time::Duration;

use ::qdrant_client::Payload;
use ::qdrant_client::qdrant::alias_operations::Action;
use ::qdrant_client::qdrant::condition::ConditionOneOf;
use ::qdrant_client::qdrant::r#match::MatchValue;
use ::qdrant_client::qdrant::quantization_config::Quantization;
use ::qdrant_client::qdrant::vectors_config::Config;
use ::qdrant_client::qdrant::{
    CollectionStatus, Condition, CountPointsBuilder, DeletePointsBuilder, Distance, Filter, Modifier,
    PayloadSchemaType, PointStruct, QuantizationType, ScrollPointsBuilder,
};
use activities::destinations::{Destination, EntityRef, SearchMode};
use activities::error::ErrorKind;
use harness::qdrant::{Fault, Look, Method, PointKey, QdrantServerOptions};
use proto::v1::QdrantLayout;

use super::stage::{SHARED, Stage, open, singles};
use super::target::{payload, plain};
use crate::conformance::DIMENSIONS;
use crate::conformance::documents::{axis, document, refs, scope};
use crate::conformance::observe::{found, kind, scanned, store};

fn named(collection: &str) -> QdrantLayout {
    QdrantLayout { collection: collection.into(), ..QdrantLayout::default() }
}

#[tokio::test]
#[expect(deprecated, reason = "what the platform sends")]
async fn the_default_layout_is_the_platforms() {
    let Some(stage) = Stage::open().await else { return };
    let calls = stage.target.server().journal().calls(Method::CreateCollection);
    let [call] = calls.as_slice() else { panic!("made once: {calls:?}") };
    let made = call.created.as_deref().expect("it is a creation");
    assert_eq!(made.collection_name, "airweave_vectors_8");
    let Some(Config::Params(dense)) = made.vectors_config.clone().expect("vectors").config else {
        panic!("the dense vector is the unnamed one");
    };
    assert_eq!((dense.size, dense.distance(), dense.on_disk), (8, Distance::Cosine, Some(true)));
    let sparse = made.sparse_vectors_config.clone().expect("sparse");
    assert_eq!(sparse.map.len(), 1);
    assert_eq!(sparse.map["bm25"].modifier(), Modifier::Idf);
    let hnsw = made.hnsw_config.expect("hnsw");
    assert_eq!((hnsw.m, hnsw.payload_m, hnsw.ef_construct), (Some(0), Some(16), Some(100)));
    let optimizers = made.optimizers_config.expect("optimizers");
    assert_eq!((optimizers.indexing_threshold, optimizers.max_segment_size), (Some(20_000), Some(200_000)));
    let Some(Quantization::Scalar(scalar)) = made.quantization_config.expect("quantisation").quantization else {
        panic!("scalar");
    };
    assert_eq!((scalar.r#type(), scalar.quantile, scalar.always_ram), (QuantizationType::Int8, Some(0.99), Some(true)));
    assert_eq!(made.on_disk_payload, Some(true));
}

#[tokio::test]
async fn every_payload_index_is_there_before_the_first_point() {
    let Some(stage) = Stage::open().await else { return };
    store(&stage.slot, &singles(10)).await;
    let calls = stage.target.server().journal().all();
    let first_point = calls.iter().position(|call| call.method == Method::Upsert).expect("a write");
    let indexes: Vec<(usize, &str)> = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.method == Method::CreateFieldIndex)
        .map(|(at, call)| (at, call.field.as_str()))
        .collect();
    assert!(indexes.iter().all(|(at, _)| *at < first_point));
    assert!(calls.iter().filter(|call| call.method == Method::CreateFieldIndex).all(|call| call.wait));
    let info = stage.target.client.collection_info(SHARED).await.expect("info").result.expect("result");
    let mut schema: Vec<(&str, PayloadSchemaType)> =
        info.payload_schema.iter().map(|(field, index)| (field.as_str(), index.data_type())).collect();
    schema.sort_by_key(|(field, _)| *field);
    let keyword = PayloadSchemaType::Keyword;
    assert_eq!(
        schema,
        [
            ("airweave_collection_id", keyword),
            ("airweave_system_metadata.db_entity_id", keyword),
            ("airweave_system_metadata.original_entity_id", keyword),
            ("airweave_system_metadata.sync_id", keyword),
            ("created_at", PayloadSchemaType::Datetime),
            ("entity_id", keyword),
            ("updated_at", PayloadSchemaType::Datetime),
        ]
    );
    let tenant = format!("{:?}", info.payload_schema["airweave_collection_id"].params);
    assert!(tenant.contains("is_tenant: Some(true)"), "{tenant}");
}

#[tokio::test]
async fn a_collection_without_indexes_gets_them_and_is_not_altered_otherwise() {
    let options = QdrantServerOptions { cloud_defaults: true, ..QdrantServerOptions::default() };
    let Some(stage) = Stage::with(options).await else { return };
    // The same collection, as somebody made it who indexes nothing.
    let made = stage.target.server().journal().calls(Method::CreateCollection).remove(0).created.expect("a creation");
    stage.target.client.delete_collection(SHARED).await.expect("delete");
    stage.target.client.create_collection(*made).await.expect("create");
    let count = || async {
        let request = CountPointsBuilder::new(SHARED).exact(true);
        stage.target.client.count(request).await.expect("count").result.expect("result").count
    };
    let checked = stage.slot.check().await;
    assert_eq!(count().await, 0, "a check leaves nothing behind, whether it succeeds or not: {checked:?}");
    stage.slot.prepare().await.expect("prepare");
    stage.slot.check().await.expect("check");
    store(&stage.slot, &singles(10)).await;
    stage.assert_holds(&singles(10)).await;
    assert_eq!(stage.target.server().journal().count(Method::UpdateCollection), 0);
}

#[tokio::test]
async fn a_load_into_a_collection_of_its_own_is_indexed_at_the_end() {
    let Some(stage) = Stage::unprepared(named("own"), QdrantServerOptions::default()).await else { return };
    stage.slot.prepare().await.expect("prepare");
    let threshold = || async {
        let info = stage.target.client.collection_info("own").await.expect("info").result.expect("result");
        info.config.expect("config").optimizer_config.expect("optimizers").indexing_threshold
    };
    assert_eq!(threshold().await, Some(0), "nothing is indexed while points arrive");
    store(&stage.slot, &singles(200)).await;
    stage.slot.finish().await.expect("finish");
    assert_eq!(threshold().await, Some(20_000));
    stage.slot.finish().await.expect("finish again");
    assert_eq!(stage.target.server().journal().count(Method::UpdateCollection), 1);
    stage.assert_holds(&singles(200)).await;
}

#[tokio::test]
async fn a_load_into_the_shared_collection_changes_nothing_for_others() {
    let Some(stage) = Stage::open().await else { return };
    store(&stage.slot, &singles(200)).await;
    stage.slot.finish().await.expect("finish");
    stage.slot.clear().await.expect("clear");
    let journal = stage.target.server().journal();
    assert_eq!((journal.count(Method::UpdateCollection), journal.count(Method::DeleteCollection)), (0, 0));
}

#[tokio::test]
async fn a_load_is_over_when_everything_is_indexed_applied_and_visible() {
    let Some(stage) = Stage::open().await else { return };
    store(&stage.slot, &singles(20)).await;
    let green = Look { status: CollectionStatus::Green, queue: 0, deferred: 0 };
    stage.target.server().show(
        SHARED,
        &[
            Look { status: CollectionStatus::Yellow, deferred: 5, ..green },
            Look { status: CollectionStatus::Yellow, ..green },
            Look { queue: 3, ..green },
            Look { deferred: 5, ..green },
        ],
    );
    assert_eq!(stage.slot.count().await.expect("count"), 15, "five are not visible yet");
    let looks = stage.target.server().journal().count(Method::CollectionInfo);
    stage.slot.finish().await.expect("finish");
    assert!(stage.target.server().journal().count(Method::CollectionInfo) >= looks + 5);
    stage.assert_holds(&singles(20)).await;
}

#[tokio::test]
async fn a_collection_that_broke_is_said_to_be_broken() {
    let Some(stage) = Stage::open().await else { return };
    let red = Look { status: CollectionStatus::Red, queue: 0, deferred: 0 };
    stage.target.server().show(SHARED, &[red]);
    let error = stage.slot.finish().await.expect_err("red");
    assert!(error.message().contains("red"), "{error}");
    // After a restart the optimiser of a real server waits to be started.
    let grey = Look { status: CollectionStatus::Grey, ..red };
    stage.target.server().show(SHARED, &[grey, Look { status: CollectionStatus::Yellow, ..red }]);
    stage.slot.finish().await.expect("finish");
    assert_eq!(stage.target.server().journal().count(Method::UpdateCollection), 1, "and is");
}

#[tokio::test]
async fn an_alias_follows_the_switch_in_one_step() {
    let layout = |collection: &str| QdrantLayout { alias: "readers".into(), ..named(collection) };
    let Some(stage) = Stage::unprepared(layout("first"), QdrantServerOptions::default()).await else { return };
    let second = open(&stage.target, &stage.scope, &layout("second"));
    for slot in [&stage.slot, &second] {
        slot.prepare().await.expect("prepare");
    }
    assert_eq!(stage.target.server().journal().count(Method::UpdateAliases), 0, "a shadow has no readers");
    store(&stage.slot, &singles(1)).await;
    store(&second, &singles(2)).await;
    stage.slot.activate().await.expect("activate");
    assert_eq!(stage.target.count("readers").await, 1);
    stage.target.server().script(Method::UpdateAliases, 1, Fault::AnswerLost);
    second.activate().await.expect("activate");
    second.activate().await.expect("activate again");
    assert_eq!(stage.target.count("readers").await, 2);
    // Back, as an undo does it.
    stage.slot.activate().await.expect("activate");
    assert_eq!(stage.target.count("readers").await, 1);
    for call in stage.target.server().journal().calls(Method::UpdateAliases) {
        assert!(matches!(call.alias_actions.as_slice(), [Action::CreateAlias(_)]), "{:?}", call.alias_actions);
    }
}

#[tokio::test]
async fn an_alias_that_cannot_be_is_noticed_before_the_load() {
    let layout = QdrantLayout { alias: "taken".into(), ..named("own") };
    let Some(stage) = Stage::unprepared(layout, QdrantServerOptions::default()).await else { return };
    stage.target.client.create_collection(plain("taken")).await.expect("create");
    assert_eq!(kind(stage.slot.prepare().await), ErrorKind::IncompatibleDestination);
    // Nor is a slot's collection reached by an alias: behind it may be the active slot's.
    let alias = ::qdrant_client::qdrant::CreateAliasBuilder::new("taken", "other");
    stage.target.client.create_alias(alias).await.expect("alias");
    let behind = open(&stage.target, &stage.scope, &named("other"));
    assert_eq!(kind(behind.prepare().await), ErrorKind::IncompatibleDestination);
}

#[tokio::test]
async fn every_request_names_the_tenant_and_the_sync() {
    let Some(stage) = Stage::open().await else { return };
    let documents: Vec<_> = (0..30).map(|n| document(&format!("entity {n}"), 1, 1 + n % 5)).collect();
    store(&stage.slot, &documents).await;
    store(&stage.slot, &[document("entity 4", 2, 2)]).await;
    stage.target.server().poison(stage.point("bad", 1));
    stage.slot.upsert(&[document("bad", 1, 3)]).await.expect("upsert");
    stage.slot.trim(&EntityRef("entity 9".into()), 1).await.expect("trim");
    stage.slot.delete(&refs(&["entity 1", "entity 2", "absent"])).await.expect("delete");
    stage.slot.read(&refs(&["entity 3"])).await.expect("read");
    assert!(!scanned(&stage.slot).await.is_empty());
    found(&stage.slot, SearchMode::Hybrid, axis(0), &[3], 5).await;
    stage.slot.check().await.expect("check");
    stage.slot.clear().await.expect("clear");
    let (tenant, sync) = (stage.scope.collection_id.to_string(), stage.scope.sync_id.to_string());
    let bad = [document("bad", 1, 3)];
    let chunks = documents.iter().chain(&bad).flat_map(|it| it.chunks.iter().map(|chunk| (&it.entity.0, chunk.index)));
    let ours: BTreeSet<PointKey> = chunks.map(|(entity, chunk)| stage.point(entity, chunk)).collect();
    let calls = stage.target.server().journal().all();
    let filtered = [Method::Delete, Method::Scroll, Method::Count, Method::Query];
    let mut seen = Vec::new();
    for call in calls.iter().filter(|call| filtered.contains(&call.method)) {
        seen.push(call.method);
        assert!(call.ids.is_empty(), "ids alone would reach another tenant: {call:?}");
        let [filter] = call.filters.as_slice() else { panic!("one filter: {call:?}") };
        if let Some(point) = only_point(filter) {
            // The point by which writing is tried belongs to nobody.
            assert!(call.method == Method::Delete && !ours.contains(&point), "{call:?}");
            continue;
        }
        assert!(demands(filter, "airweave_collection_id", &tenant), "{call:?}");
        assert!(demands(filter, "airweave_system_metadata.sync_id", &sync), "{call:?}");
    }
    assert!(filtered.iter().all(|method| seen.contains(method)), "each of them was sent: {seen:?}");
    assert!(calls.iter().all(|call| call.method != Method::Get), "a read by ids cannot be filtered");
}

/// The point, when a filter asks for one by its id and for nothing else.
fn only_point(filter: &Filter) -> Option<PointKey> {
    match filter.must.as_slice() {
        [Condition { condition_one_of: Some(ConditionOneOf::HasId(ids)) }] if ids.has_id.len() == 1 => {
            PointKey::try_from(ids.has_id[0].clone()).ok()
        }
        _ => None,
    }
}

/// Whether a filter matches only where `key` has this one value.
fn demands(filter: &Filter, key: &str, value: &str) -> bool {
    filter.must.iter().any(|condition| match &condition.condition_one_of {
        Some(ConditionOneOf::Field(field)) => {
            let matched = field.r#match.as_ref().and_then(|it| it.match_value.as_ref());
            field.key == key && matched == Some(&MatchValue::Keyword(value.to_owned()))
        }
        _ => false,
    })
}

#[tokio::test]
async fn a_few_requests_of_bounded_size_are_under_way() {
    let options = QdrantServerOptions { write_latency: Duration::from_millis(10), ..QdrantServerOptions::default() };
    let Some(stage) = Stage::with(options).await else { return };
    store(&stage.slot, &singles(1_000)).await;
    let journal = stage.target.server().journal();
    assert_eq!(journal.most_in_flight(Method::Upsert), 4);
    let calls = journal.calls(Method::Upsert);
    assert!(calls.iter().all(|call| call.wait && call.ids.len() <= 128));
    assert_eq!(calls.iter().map(|call| call.ids.len()).sum::<usize>(), 1_000, "each point once");
}

#[tokio::test]
async fn two_slots_of_one_sync_are_in_one_place_when_their_collection_is_one() {
    let Some(stage) = Stage::open().await else { return };
    let twin = open(&stage.target, &stage.scope, &QdrantLayout::default());
    let binary =
        QdrantLayout { quantization: proto::v1::qdrant_layout::Quantization::Binary.into(), ..QdrantLayout::default() };
    assert_eq!(stage.slot.place(), twin.place());
    assert_eq!(stage.slot.place(), open(&stage.target, &scope(), &binary).place(), "whatever else the layout says");
    assert_ne!(stage.slot.place(), open(&stage.target, &stage.scope, &named("own")).place());
    assert!(stage.slot.place().contains(&format!("airweave_vectors_{DIMENSIONS}")));
}

#[tokio::test]
async fn payloads_nest_as_deep_as_the_protocol_takes() {
    let Some(stage) = Stage::open().await else { return };
    let nested = |depth: usize| format!("{}1{}", r#"{"k":"#.repeat(depth), "}".repeat(depth));
    let raw = |depth| {
        let json = serde_json::from_str(&nested(depth)).expect("JSON");
        stage.target.upsert(SHARED, vec![PointStruct::new(1, axis(0), payload(json))])
    };
    // Decoders of the protocol give up on a deeper field, and on the whole request with it.
    raw(33).await.expect("as deep as they take");
    raw(34).await.expect_err("deeper");
    stage.target.client.delete_points(DeletePointsBuilder::new(SHARED).points([1]).wait(true)).await.expect("delete");
    let mut documents = [document("deep", 1, 1), document("too deep", 1, 1), document("flat", 1, 1)];
    documents[0].chunks[0].payload = nested(31);
    documents[1].chunks[0].payload = nested(32);
    let writes = stage.target.server().journal().count(Method::Upsert);
    let outcome = stage.slot.upsert(&documents).await.expect("upsert");
    assert_eq!(outcome.rejected.iter().map(|it| it.entity.0.as_str()).collect::<Vec<_>>(), ["too deep"]);
    assert_eq!(stage.target.server().journal().count(Method::Upsert), writes + 1, "known before anything is sent");
    let request = ScrollPointsBuilder::new(SHARED).with_payload(true);
    let points = stage.target.client.scroll(request).await.expect("scroll").result;
    assert_eq!(points.len(), 2);
    let deep = points.into_iter().find(|point| point.payload.contains_key("k")).expect("stored");
    let stored = serde_json::Value::from(Payload::from(deep.payload));
    assert!(stored.to_string().contains(&nested(30)), "as it was: {stored}");
}
