use proto::v1::{QdrantHnsw, QdrantLayout};
use qdrant_client::qdrant::{
    self, CreateCollection, FieldType, PayloadIndexParams, SparseVectorParams, StrictModeConfig, VectorsConfig,
};
use rstest::rstest;

use super::*;
use crate::destinations::qdrant::config::Quantization;
use crate::destinations::qdrant::schema::{CHUNK_ID, TENANT, create_collection};

type Info = CollectionInfo;

fn settings(layout: QdrantLayout) -> QdrantSettings {
    QdrantSettings::from_layout(&layout, 8).expect("valid")
}

/// What a server that does exactly what it is told says about a collection.
#[expect(deprecated, reason = "see `create_collection` of the schema")]
fn made(request: CreateCollection) -> CollectionInfo {
    let params = CollectionParams {
        shard_number: request.shard_number.unwrap_or(1),
        vectors_config: request.vectors_config,
        sparse_vectors_config: request.sparse_vectors_config,
        on_disk_payload: request.on_disk_payload.unwrap_or_default(),
        ..CollectionParams::default()
    };
    let config = CollectionConfig {
        params: Some(params),
        hnsw_config: request.hnsw_config,
        optimizer_config: request.optimizers_config,
        quantization_config: request.quantization_config,
        ..CollectionConfig::default()
    };
    let payload_schema = payload_indexes().into_iter().map(|index| (index.field.clone(), indexed(&index))).collect();
    CollectionInfo { config: Some(config), payload_schema, ..CollectionInfo::default() }
}

fn indexed(index: &PayloadIndex) -> PayloadSchemaInfo {
    let request = index.create("c");
    let data_type = match request.field_type() {
        FieldType::Keyword => PayloadSchemaType::Keyword,
        FieldType::Datetime => PayloadSchemaType::Datetime,
        other => panic!("no index of ours is a {other:?}"),
    };
    PayloadSchemaInfo { data_type: data_type.into(), params: request.field_index_params, points: Some(0) }
}

fn config(info: &mut CollectionInfo) -> &mut CollectionConfig {
    info.config.as_mut().expect("made")
}

fn params(info: &mut CollectionInfo) -> &mut CollectionParams {
    config(info).params.as_mut().expect("made")
}

fn dense(info: &mut CollectionInfo) -> &mut VectorParams {
    match params(info).vectors_config.as_mut().and_then(|vectors| vectors.config.as_mut()) {
        Some(Config::Params(params)) => params,
        other => panic!("an unnamed vector, not {other:?}"),
    }
}

fn name_vectors<const N: usize>(info: &mut CollectionInfo, vectors: [(String, VectorParams); N]) {
    let map = qdrant::VectorParamsMap { map: vectors.into() };
    params(info).vectors_config = Some(VectorsConfig { config: Some(Config::ParamsMap(map)) });
}

#[rstest]
#[case::the_platforms(QdrantLayout::default())]
#[case::everything_else(QdrantLayout {
    collection: "mine".into(),
    dense_vector: "text".into(),
    sparse_vector: "words".into(),
    distance: 3,
    hnsw: Some(QdrantHnsw { m: Some(16), payload_m: Some(0), ef_construct: Some(64) }),
    quantization: 2,
    vectors_on_disk: Some(false),
    payload_on_disk: Some(false),
    shards: 3,
    ..QdrantLayout::default()
})]
#[case::no_quantisation(QdrantLayout { quantization: 3, distance: 4, ..QdrantLayout::default() })]
fn what_is_made_fits(#[case] layout: QdrantLayout) {
    let settings = settings(layout);
    for bulk_load in [false, true] {
        let info = made(create_collection(&settings, "c", bulk_load));
        assert_eq!(differences(&settings, &info), Vec::<String>::new());
        assert_eq!(missing_indexes(&info), []);
    }
}

#[rstest]
#[case::optimizer(|it: &mut Info| config(it).optimizer_config = None)]
#[case::strict_mode(|it: &mut Info| config(it).strict_mode_config = Some(StrictModeConfig::default()))]
#[case::shards_that_nobody_asked_for(|it: &mut Info| params(it).shard_number = 6)]
#[case::index_missing(|it: &mut Info| it.payload_schema.clear())]
#[case::other_index(|it: &mut Info| {
    let other = PayloadSchemaInfo { data_type: PayloadSchemaType::Integer.into(), params: None, points: None };
    it.payload_schema.insert("airweave_system_metadata.chunk_index".into(), other);
})]
#[case::unnamed_vector_in_a_map(|it: &mut Info| {
    let unnamed = *dense(it);
    name_vectors(it, [(String::new(), unnamed)]);
})]
#[case::newer_words_for_on_disk(|it: &mut Info| { dense(it).memory = Some(Memory::Cold.into()); })]
#[case::graphs_of_the_vector(|it: &mut Info| {
    dense(it).hnsw_config = config(it).hnsw_config.take();
})]
#[case::float32(|it: &mut Info| dense(it).datatype = Some(Datatype::Float32.into()))]
fn what_makes_no_difference_is_accepted(#[case] change: fn(&mut Info)) {
    let settings = settings(QdrantLayout::default());
    let mut info = made(create_collection(&settings, "c", false));
    change(&mut info);
    assert_eq!(differences(&settings, &info), Vec::<String>::new());
}

#[rstest]
#[case::dimensions(|it: &mut Info| dense(it).size = 9, "length of the dense vector is 9, wanted 8")]
#[case::distance(|it: &mut Info| dense(it).distance = qdrant::Distance::Dot.into(), "distance is Dot, wanted Cosine")]
#[case::in_memory(|it: &mut Info| dense(it).memory = Some(Memory::Cached.into()), "vectors on disk is false, wanted true")]
#[case::datatype(|it: &mut Info| dense(it).datatype = Some(Datatype::Float16.into()), "of type Float16")]
#[case::multivector(
    |it: &mut Info| dense(it).multivector_config = Some(qdrant::MultiVectorConfig::default()),
    "a multivector"
)]
#[case::links(
    |it: &mut Info| config(it).hnsw_config.as_mut().expect("made").m = Some(16),
    "HNSW is m=16 payload_m=16 ef_construct=100, wanted m=0 payload_m=16 ef_construct=100"
)]
#[case::tenants_like_all(
    |it: &mut Info| config(it).hnsw_config.as_mut().expect("made").payload_m = None,
    "HNSW is m=0 payload_m=0 ef_construct=100"
)]
#[case::links_of_the_vector(
    |it: &mut Info| dense(it).hnsw_config = Some(HnswConfigDiff { payload_m: Some(4), ..HnswConfigDiff::default() }),
    "payload_m=4"
)]
#[case::no_graphs(|it: &mut Info| config(it).hnsw_config = None, "HNSW is unknown")]
#[case::no_quantisation(
    |it: &mut Info| config(it).quantization_config = None,
    "quantisation is none, wanted Int8 with quantile 0.990, in memory"
)]
#[case::binary(
    |it: &mut Info| config(it).quantization_config = wire_quantization(Quantization::Binary),
    "quantisation is binary of one bit, in memory, wanted Int8"
)]
#[case::quantisation_of_the_vector(
    |it: &mut Info| dense(it).quantization_config = wire_quantization(Quantization::Binary),
    "quantisation is binary"
)]
#[case::other_dense(
    |it: &mut Info| {
        let unnamed = *dense(it);
        name_vectors(it, [(String::new(), unnamed), ("extra".into(), VectorParams::default())]);
    },
    "another dense vector, named \"extra\""
)]
#[case::named_dense(
    |it: &mut Info| {
        let unnamed = *dense(it);
        name_vectors(it, [("text".into(), unnamed)]);
    },
    "it has no dense vector that is unnamed"
)]
#[case::no_sparse(|it: &mut Info| params(it).sparse_vectors_config = None, "no sparse vector that is named \"bm25\"")]
#[case::no_idf(
    |it: &mut Info| {
        let sparse = params(it).sparse_vectors_config.as_mut().expect("made");
        sparse.map.insert("bm25".into(), SparseVectorParams::default());
    },
    "no IDF modifier"
)]
#[case::payload_in_memory(
    |it: &mut Info| params(it).payload = Some(qdrant::PayloadStorageParams { memory: Some(Memory::Cached.into()) }),
    "payload on disk is false, wanted true"
)]
#[case::sharded_by_key(
    |it: &mut Info| params(it).sharding_method = Some(qdrant::ShardingMethod::Custom.into()),
    "sharded by keys"
)]
#[case::no_tenant(
    |it: &mut Info| it.payload_schema.get_mut(TENANT).expect("made").params = Some(PayloadIndexParams::default()),
    "airweave_collection_id is not marked as the tenant's"
)]
#[case::text_index(
    |it: &mut Info| it.payload_schema.get_mut(CHUNK_ID).expect("made").data_type = PayloadSchemaType::Text.into(),
    "the payload index of entity_id is Text, wanted Keyword"
)]
fn what_differs_is_named(#[case] change: fn(&mut Info), #[case] words: &str) {
    let settings = settings(QdrantLayout::default());
    let mut info = made(create_collection(&settings, "c", false));
    change(&mut info);
    let found = differences(&settings, &info);
    assert!(found.iter().any(|difference| difference.contains(words)), "{found:?}");
}

#[test]
fn every_difference_is_listed() {
    let wanted = settings(QdrantLayout { shards: 2, ..QdrantLayout::default() });
    let other = settings(QdrantLayout {
        distance: 2,
        quantization: 3,
        sparse_vector: "words".into(),
        payload_on_disk: Some(false),
        ..QdrantLayout::default()
    });
    let found = differences(&wanted, &made(create_collection(&other, "c", false))).join("; ");
    for part in
        ["distance", "quantisation", "sparse vector, named \"words\"", "\"bm25\"", "payload", "shards is 1, wanted 2"]
    {
        assert!(found.contains(part), "{part}: {found}");
    }
}

#[test]
fn missing_indexes_are_listed_in_order() {
    let mut info = made(create_collection(&settings(QdrantLayout::default()), "c", false));
    info.payload_schema.remove("created_at");
    info.payload_schema.remove("entity_id");
    let missing: Vec<String> = missing_indexes(&info).into_iter().map(|index| index.field).collect();
    assert_eq!(missing, ["entity_id", "created_at"]);
}
