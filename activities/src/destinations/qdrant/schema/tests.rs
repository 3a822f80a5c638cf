use proto::v1::{QdrantHnsw, QdrantLayout};
use qdrant_client::qdrant::{CollectionConfig, PayloadIndexParams, StrictModeConfig};
use rstest::rstest;

use super::*;

fn settings(layout: QdrantLayout) -> QdrantSettings {
    QdrantSettings::from_layout(&layout, 8).expect("valid")
}

/// What a server that does exactly what it is told says about a collection.
#[expect(deprecated, reason = "see `create_collection`")]
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

/// The request in the platform's own words: what its client sends as JSON for vectors of length 1536.
#[test]
#[expect(deprecated, reason = "see `create_collection`")]
fn the_platforms_layout_is_as_the_platform_makes_it() {
    let settings = QdrantSettings::from_layout(&QdrantLayout::default(), 1_536).expect("valid");
    let request = create_collection(&settings, settings.collection(), false);
    let Some(Config::Params(dense)) = request.vectors_config.and_then(|vectors| vectors.config) else {
        panic!("an unnamed vector");
    };
    assert_eq!((dense.size, dense.distance(), dense.on_disk), (1_536, qdrant::Distance::Cosine, Some(true)));
    let sparse = request.sparse_vectors_config.expect("a sparse vector").map;
    assert_eq!(sparse.len(), 1);
    assert_eq!(sparse["bm25"].modifier(), Modifier::Idf);
    let hnsw = request.hnsw_config.expect("graphs");
    assert_eq!((hnsw.m, hnsw.payload_m, hnsw.ef_construct), (Some(0), Some(16), Some(100)));
    let optimizer = request.optimizers_config.expect("an optimiser");
    assert_eq!((optimizer.indexing_threshold, optimizer.max_segment_size), (Some(20_000), Some(200_000)));
    let Some(QuantizationKind::Scalar(int8)) = request.quantization_config.and_then(|it| it.quantization) else {
        panic!("scalar quantisation");
    };
    assert_eq!((int8.r#type(), int8.quantile, int8.always_ram), (QuantizationType::Int8, Some(0.99), Some(true)));
    assert_eq!((request.on_disk_payload, request.shard_number), (Some(true), None));
    let indexes: Vec<String> = payload_indexes()
        .iter()
        .map(|index| {
            let request = index.create("c");
            let tenant = request.field_index_params.is_some();
            format!(
                "{} {}{}",
                request.field_name,
                request.field_type().as_str_name(),
                if tenant { " tenant" } else { "" }
            )
        })
        .collect();
    assert_eq!(
        indexes,
        [
            "airweave_collection_id FieldTypeKeyword tenant",
            "airweave_system_metadata.sync_id FieldTypeKeyword",
            "airweave_system_metadata.db_entity_id FieldTypeKeyword",
            "entity_id FieldTypeKeyword",
            "airweave_system_metadata.original_entity_id FieldTypeKeyword",
            "updated_at FieldTypeDatetime",
            "created_at FieldTypeDatetime",
        ]
    );
}

#[rstest]
#[case::optimizer(|info: &mut CollectionInfo| config(info).optimizer_config = None)]
#[case::strict_mode(|info: &mut CollectionInfo| config(info).strict_mode_config = Some(StrictModeConfig::default()))]
#[case::shards_that_nobody_asked_for(|info: &mut CollectionInfo| params(info).shard_number = 6)]
#[case::index_missing(|info: &mut CollectionInfo| info.payload_schema.clear())]
#[case::other_index(|info: &mut CollectionInfo| {
    let other = PayloadSchemaInfo { data_type: PayloadSchemaType::Integer.into(), params: None, points: None };
    info.payload_schema.insert("airweave_system_metadata.chunk_index".into(), other);
})]
#[case::unnamed_vector_in_a_map(|info: &mut CollectionInfo| {
    let map = [(String::new(), *dense(info))].into();
    params(info).vectors_config = Some(VectorsConfig { config: Some(Config::ParamsMap(qdrant::VectorParamsMap { map })) });
})]
#[case::newer_words_for_on_disk(|info: &mut CollectionInfo| { dense(info).memory = Some(Memory::Cold.into()); })]
#[case::graphs_of_the_vector(|info: &mut CollectionInfo| {
    dense(info).hnsw_config = config(info).hnsw_config.take();
})]
#[case::float32(|info: &mut CollectionInfo| dense(info).datatype = Some(Datatype::Float32.into()))]
fn what_makes_no_difference_is_accepted(#[case] change: fn(&mut CollectionInfo)) {
    let settings = settings(QdrantLayout::default());
    let mut info = made(create_collection(&settings, "c", false));
    change(&mut info);
    assert_eq!(differences(&settings, &info), Vec::<String>::new());
}

#[rstest]
#[case::dimensions(|info: &mut CollectionInfo| dense(info).size = 9, "length of the dense vector is 9, wanted 8")]
#[case::distance(|info: &mut CollectionInfo| dense(info).distance = qdrant::Distance::Dot.into(), "distance is Dot, wanted Cosine")]
#[case::in_memory(|info: &mut CollectionInfo| dense(info).memory = Some(Memory::Cached.into()), "dense vectors on disk is false, wanted true")]
#[case::datatype(|info: &mut CollectionInfo| dense(info).datatype = Some(Datatype::Float16.into()), "of type Float16")]
#[case::multivector(|info: &mut CollectionInfo| dense(info).multivector_config = Some(qdrant::MultiVectorConfig::default()), "a multivector")]
#[case::links(
    |info: &mut CollectionInfo| config(info).hnsw_config.as_mut().expect("made").m = Some(16),
    "HNSW is m=16 payload_m=16 ef_construct=100, wanted m=0 payload_m=16 ef_construct=100"
)]
#[case::tenants_like_all(
    |info: &mut CollectionInfo| config(info).hnsw_config.as_mut().expect("made").payload_m = None,
    "HNSW is m=0 payload_m=0 ef_construct=100"
)]
#[case::links_of_the_vector(
    |info: &mut CollectionInfo| dense(info).hnsw_config = Some(HnswConfigDiff { payload_m: Some(4), ..HnswConfigDiff::default() }),
    "payload_m=4"
)]
#[case::no_graphs(|info: &mut CollectionInfo| config(info).hnsw_config = None, "HNSW is unknown")]
#[case::no_quantisation(|info: &mut CollectionInfo| config(info).quantization_config = None, "quantisation is none, wanted Int8 with quantile 0.990")]
#[case::binary(
    |info: &mut CollectionInfo| config(info).quantization_config = wire_quantization(Quantization::Binary),
    "quantisation is binary of one bit, in memory, wanted Int8"
)]
#[case::quantisation_of_the_vector(
    |info: &mut CollectionInfo| dense(info).quantization_config = wire_quantization(Quantization::Binary),
    "quantisation is binary"
)]
#[case::other_dense(
    |info: &mut CollectionInfo| {
        let map = [(String::new(), *dense(info)), ("extra".into(), VectorParams::default())].into();
        params(info).vectors_config =
            Some(VectorsConfig { config: Some(Config::ParamsMap(qdrant::VectorParamsMap { map })) });
    },
    "another dense vector, named \"extra\""
)]
#[case::named_dense(
    |info: &mut CollectionInfo| {
        let map = [("text".into(), *dense(info))].into();
        params(info).vectors_config =
            Some(VectorsConfig { config: Some(Config::ParamsMap(qdrant::VectorParamsMap { map })) });
    },
    "it has no dense vector that is unnamed"
)]
#[case::no_sparse(|info: &mut CollectionInfo| params(info).sparse_vectors_config = None, "no sparse vector that is named \"bm25\"")]
#[case::no_idf(
    |info: &mut CollectionInfo| {
        let sparse = params(info).sparse_vectors_config.as_mut().expect("made");
        sparse.map.insert("bm25".into(), SparseVectorParams::default());
    },
    "no IDF modifier"
)]
#[case::payload_in_memory(
    |info: &mut CollectionInfo| params(info).payload = Some(qdrant::PayloadStorageParams { memory: Some(Memory::Cached.into()) }),
    "payload on disk is false, wanted true"
)]
#[case::sharded_by_key(
    |info: &mut CollectionInfo| params(info).sharding_method = Some(qdrant::ShardingMethod::Custom.into()),
    "sharded by keys"
)]
#[case::no_tenant(
    |info: &mut CollectionInfo| info.payload_schema.get_mut(TENANT).expect("made").params = Some(PayloadIndexParams::default()),
    "airweave_collection_id is not marked as the tenant's"
)]
#[case::text_index(
    |info: &mut CollectionInfo| info.payload_schema.get_mut(CHUNK_ID).expect("made").data_type = PayloadSchemaType::Text.into(),
    "the payload index of entity_id is Text, wanted Keyword"
)]
fn what_differs_is_named(#[case] change: fn(&mut CollectionInfo), #[case] words: &str) {
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
