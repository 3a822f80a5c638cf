//! Collections, their payload indexes and their aliases.

use ::qdrant_client::qdrant::alias_operations::Action;
use ::qdrant_client::qdrant::collections_client::CollectionsClient;
use ::qdrant_client::qdrant::quantization_config::Quantization;
use ::qdrant_client::qdrant::vectors_config::Config;
use ::qdrant_client::qdrant::{
    AliasOperations, ChangeAliases, CreateAlias, CreateAliasBuilder, CreateFieldIndexCollectionBuilder, DeleteAlias,
    Distance, FieldType, HnswConfigDiffBuilder, KeywordIndexParamsBuilder, Modifier, OptimizersConfigDiffBuilder,
    PayloadSchemaType, QuantizationType, ScalarQuantizationBuilder, UpdateCollectionBuilder, VectorParamsBuilder,
};
use tonic::Code;

use crate::qdrant::target::{Target, code, plain, point, points, real_server};

#[tokio::test]
#[expect(deprecated, reason = "what clients of today send")]
async fn a_collection_says_how_it_was_made() {
    let target = Target::open().await;
    let name = target.name();
    let request = plain(&name)
        .vectors_config(VectorParamsBuilder::new(4, Distance::Cosine).on_disk(true))
        .hnsw_config(HnswConfigDiffBuilder::default().m(0).payload_m(16))
        .optimizers_config(OptimizersConfigDiffBuilder::default().indexing_threshold(0).max_segment_size(200_000))
        .quantization_config(
            ScalarQuantizationBuilder::default().r#type(QuantizationType::Int8.into()).quantile(0.99).always_ram(true),
        )
        .shard_number(2)
        .on_disk_payload(false);
    target.client.create_collection(request.clone()).await.expect("create");
    assert_eq!(code(target.client.create_collection(request).await), Code::AlreadyExists);
    let info = target.client.collection_info(&name).await.expect("info").result.expect("result");
    let config = info.config.expect("config");
    let params = config.params.expect("params");
    let Some(Config::Params(dense)) = params.vectors_config.expect("vectors").config else { panic!("unnamed") };
    assert_eq!((dense.size, dense.distance(), dense.on_disk), (4, Distance::Cosine, Some(true)));
    assert_eq!(params.sparse_vectors_config.expect("sparse").map["bm25"].modifier(), Modifier::Idf);
    assert_eq!((params.shard_number, params.on_disk_payload), (2, false));
    let hnsw = config.hnsw_config.expect("hnsw");
    assert_eq!((hnsw.m, hnsw.payload_m, hnsw.ef_construct), (Some(0), Some(16), Some(100)), "the default among them");
    let optimizers = config.optimizer_config.expect("optimizers");
    assert_eq!((optimizers.indexing_threshold, optimizers.max_segment_size), (Some(0), Some(200_000)));
    let Some(Quantization::Scalar(scalar)) = config.quantization_config.expect("quantisation").quantization else {
        panic!("scalar");
    };
    assert_eq!((scalar.quantile, scalar.always_ram), (Some(0.99), Some(true)));
    // An update changes what it names.
    let threshold = OptimizersConfigDiffBuilder::default().indexing_threshold(20_000);
    target
        .client
        .update_collection(UpdateCollectionBuilder::new(&name).optimizers_config(threshold))
        .await
        .expect("update");
    let info = target.client.collection_info(&name).await.expect("info").result.expect("result");
    let optimizers = info.config.expect("config").optimizer_config.expect("optimizers");
    assert_eq!((optimizers.indexing_threshold, optimizers.max_segment_size), (Some(20_000), Some(200_000)));
    target.close().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let target = Target::open().await;
    let name = target.name();
    assert_eq!(code(target.client.collection_info(&name).await), Code::NotFound);
    assert_eq!(code(target.upsert(&name, points(1)).await), Code::NotFound);
    assert!(!target.client.collection_exists(&name).await.expect("exists"));
    let removed = target.client.delete_collection(&name).await.expect("no error");
    assert!(!removed.result, "but it says that there was nothing");
    target.close().await;
}

#[tokio::test]
async fn a_name_has_one_to_255_plain_characters() {
    let target = Target::open().await;
    for bad in [String::new(), "x".repeat(256), "a/b".into(), "a:b".into(), "a*".into()] {
        assert_eq!(code(target.client.create_collection(plain(&bad)).await), Code::InvalidArgument, "{bad:?}");
    }
    target.close().await;
}

#[tokio::test]
async fn payload_indexes_are_listed_with_their_types() {
    let target = Target::open().await;
    let name = target.collection().await;
    target.upsert(&name, points(3)).await.expect("upsert");
    let tenant = KeywordIndexParamsBuilder::default().is_tenant(true);
    let index = |field: &str, kind: FieldType| CreateFieldIndexCollectionBuilder::new(&name, field, kind).wait(true);
    let tenant = index("tenant", FieldType::Keyword).field_index_params(tenant);
    target.client.create_field_index(tenant.clone()).await.expect("index");
    target.client.create_field_index(tenant).await.expect("the same again is fine");
    target.client.create_field_index(index("n", FieldType::Integer)).await.expect("index");
    target.client.create_field_index(index("created_at", FieldType::Datetime)).await.expect("index");
    let info = target.client.collection_info(&name).await.expect("info").result.expect("result");
    let types = |field: &str| info.payload_schema[field].data_type();
    assert_eq!(info.payload_schema.len(), 3);
    assert_eq!(
        [types("tenant"), types("n"), types("created_at")],
        [PayloadSchemaType::Keyword, PayloadSchemaType::Integer, PayloadSchemaType::Datetime]
    );
    let params = info.payload_schema["tenant"].params.clone().expect("params");
    assert!(format!("{params:?}").contains("is_tenant: Some(true)"), "{params:?}");
    assert_eq!(info.payload_schema["n"].points, Some(3));
    target.close().await;
}

#[tokio::test]
async fn an_alias_is_pointed_elsewhere_in_one_step() {
    let target = Target::open().await;
    let (first, second, alias) =
        (target.collection().await, target.collection().await, format!("{}_alias", target.name()));
    target.client.create_alias(CreateAliasBuilder::new(&first, &alias)).await.expect("alias");
    target.upsert(&alias, points(2)).await.expect("writes through an alias work");
    assert_eq!((target.count(&first).await, target.count(&alias).await), (2, 2));
    target.client.create_alias(CreateAliasBuilder::new(&second, &alias)).await.expect("no delete before");
    assert_eq!(target.count(&alias).await, 0);
    let aliases = target.client.list_collection_aliases(&second).await.expect("list").aliases;
    assert_eq!(aliases.iter().map(|it| it.alias_name.as_str()).collect::<Vec<_>>(), [alias.as_str()]);
    assert_eq!(target.client.list_collection_aliases(&first).await.expect("list").aliases, []);
    // An alias goes with its collection.
    target.client.delete_collection(&second).await.expect("delete");
    assert_eq!(code(target.client.collection_info(&alias).await), Code::NotFound);
    let left = target.client.list_aliases().await.expect("list").aliases;
    assert!(left.iter().all(|it| it.alias_name != alias));
    target.close().await;
}

#[tokio::test]
async fn an_alias_needs_a_target_and_a_name_of_its_own() {
    let target = Target::open().await;
    let (collection, other) = (target.collection().await, target.collection().await);
    let missing = CreateAliasBuilder::new("syncmux_test_not_there", "syncmux_test_alias");
    assert_eq!(code(target.client.create_alias(missing).await), Code::NotFound);
    assert_eq!(
        code(target.client.create_alias(CreateAliasBuilder::new(&collection, &other)).await),
        Code::AlreadyExists
    );
    target.close().await;
}

#[tokio::test]
async fn alias_actions_of_one_request_are_not_rolled_back() {
    let Some(url) = raw_url().await else { return };
    let target = url.0;
    let (collection, alias) = (target.collection().await, format!("{}_alias", target.name()));
    target.client.create_alias(CreateAliasBuilder::new(&collection, &alias)).await.expect("alias");
    let actions = [
        Action::DeleteAlias(DeleteAlias { alias_name: alias.clone() }),
        Action::CreateAlias(CreateAlias { collection_name: "not_there".into(), alias_name: alias.clone() }),
    ];
    let actions = actions.into_iter().map(|action| AliasOperations { action: Some(action) }).collect();
    let mut raw = CollectionsClient::connect(url.1).await.expect("connect");
    let refusal = raw.update_aliases(ChangeAliases { actions, timeout: None }).await.expect_err("no such target");
    assert_eq!(refusal.code(), Code::NotFound);
    assert_eq!(code(target.client.collection_info(&alias).await), Code::NotFound, "the alias is gone");
    target.close().await;
}

/// A target that can be reached without a key or TLS, for calls that the client does not have.
async fn raw_url() -> Option<(Target, String)> {
    match real_server() {
        Some((url, None)) if url.starts_with("http://") => Some((Target::open().await, url)),
        Some(_) => {
            println!("skipped: the raw client is only tried without key and TLS");
            None
        }
        None => {
            let target = Target::open().await;
            let url = target.server().url();
            Some((target, url))
        }
    }
}

#[tokio::test]
async fn an_idle_collection_is_green_with_an_empty_queue() {
    let target = Target::open().await;
    let name = target.collection().await;
    target.upsert(&name, vec![point(1, [1.0; 4])]).await.expect("upsert");
    let info = target.client.collection_info(&name).await.expect("info").result.expect("result");
    let queue = info.update_queue.expect("a queue");
    assert_eq!((info.status().as_str_name(), queue.length, queue.deferred_points.unwrap_or(0)), ("Green", 0, 0));
    assert_eq!(info.points_count, Some(1));
    target.close().await;
}
