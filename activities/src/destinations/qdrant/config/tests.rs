use proto::v1::QdrantLayout;
use rstest::rstest;

use super::*;

fn layout() -> QdrantLayout {
    QdrantLayout::default()
}

#[test]
fn an_empty_layout_is_the_platforms() {
    let settings = QdrantSettings::from_layout(&layout(), 1_536).expect("valid");
    assert_eq!(
        settings,
        QdrantSettings {
            dimensions: 1_536,
            collection: "airweave_vectors_1536".into(),
            own: false,
            dense: String::new(),
            sparse: "bm25".into(),
            distance: Distance::Cosine,
            hnsw: HnswSettings { m: 0, payload_m: 16, ef_construct: 100 },
            quantization: Quantization::Int8,
            vectors_on_disk: true,
            payload_on_disk: true,
            shards: None,
            alias: None,
        }
    );
}

#[rstest]
#[case::large(3_072, "airweave_shared_text_embedding_3_large")]
#[case::small(1_536, "airweave_shared_text_embedding_3_small")]
#[case::minilm(384, "airweave_shared_minilm_l6_v2")]
fn older_shared_collections_are_named_by_model(#[case] dimensions: u32, #[case] collection: &str) {
    let layout = QdrantLayout { shared_names: 2, ..layout() };
    let settings = QdrantSettings::from_layout(&layout, dimensions).expect("valid");
    assert_eq!((settings.collection(), settings.own), (collection, false));
    let named = QdrantLayout { collection: "mine".into(), ..layout };
    let settings = QdrantSettings::from_layout(&named, 7).expect("valid");
    assert_eq!((settings.collection(), settings.own), ("mine", true));
    let named = QdrantLayout { collection: "airweave_vectors_7".into(), ..QdrantLayout::default() };
    assert!(!QdrantSettings::from_layout(&named, 7).expect("valid").own, "the platform's, even when it is named");
}

#[test]
fn everything_can_be_said() {
    let layout = QdrantLayout {
        collection: "Kunden 2 – neu".into(),
        shared_names: 0,
        dense_vector: "text".into(),
        sparse_vector: "words".into(),
        distance: 4,
        hnsw: Some(v1::QdrantHnsw { m: Some(32), payload_m: Some(0), ef_construct: Some(4) }),
        quantization: 3,
        vectors_on_disk: Some(false),
        payload_on_disk: Some(false),
        shards: 6,
        alias: "current".into(),
    };
    let settings = QdrantSettings::from_layout(&layout, 65_536).expect("valid");
    assert_eq!(
        settings,
        QdrantSettings {
            dimensions: 65_536,
            collection: "Kunden 2 – neu".into(),
            own: true,
            dense: "text".into(),
            sparse: "words".into(),
            distance: Distance::Manhattan,
            hnsw: HnswSettings { m: 32, payload_m: 0, ef_construct: 4 },
            quantization: Quantization::None,
            vectors_on_disk: false,
            payload_on_disk: false,
            shards: Some(6),
            alias: Some("current".into()),
        }
    );
}

#[rstest]
#[case::no_dimensions("dimensions", 0, |_: &mut QdrantLayout| {})]
#[case::many_dimensions("dimensions", 65_537, |_: &mut QdrantLayout| {})]
#[case::unknown_naming("shared_names", 8, |it: &mut QdrantLayout| it.shared_names = 9)]
#[case::no_such_model("shared_names", 1_024, |it: &mut QdrantLayout| it.shared_names = 2)]
#[case::slash("collection", 8, |it: &mut QdrantLayout| it.collection = "a/b".into())]
#[case::nul("collection", 8, |it: &mut QdrantLayout| it.collection = "a\0".into())]
#[case::line_break("collection", 8, |it: &mut QdrantLayout| it.collection = "a\n".into())]
#[case::parent("collection", 8, |it: &mut QdrantLayout| it.collection = "..".into())]
#[case::long_collection("collection", 8, |it: &mut QdrantLayout| it.collection = "x".repeat(256))]
#[case::dense_name("dense_vector", 8, |it: &mut QdrantLayout| it.dense_vector = "a:b".into())]
#[case::dense_is_sparse("dense_vector", 8, |it: &mut QdrantLayout| it.dense_vector = "bm25".into())]
#[case::long_sparse("sparse_vector", 8, |it: &mut QdrantLayout| it.sparse_vector = "x".repeat(201))]
#[case::distance("distance", 8, |it: &mut QdrantLayout| it.distance = 5)]
#[case::quantization("quantization", 8, |it: &mut QdrantLayout| it.quantization = -1)]
#[case::many_links("hnsw.m", 8, |it: &mut QdrantLayout| hnsw_of(it).m = Some(1_001))]
#[case::many_tenant_links("hnsw.payload_m", 8, |it: &mut QdrantLayout| hnsw_of(it).payload_m = Some(1_001))]
#[case::few_candidates("hnsw.ef_construct", 8, |it: &mut QdrantLayout| hnsw_of(it).ef_construct = Some(3))]
#[case::many_candidates("hnsw.ef_construct", 8, |it: &mut QdrantLayout| hnsw_of(it).ef_construct = Some(10_001))]
#[case::many_shards("shards", 8, |it: &mut QdrantLayout| it.shards = 1_001)]
#[case::alias_of_itself("alias", 8, |it: &mut QdrantLayout| it.alias = "airweave_vectors_8".into())]
#[case::alias_name("alias", 8, |it: &mut QdrantLayout| it.alias = "a?".into())]
fn what_is_out_of_range_is_named(#[case] field: &str, #[case] dimensions: u32, #[case] spoil: fn(&mut QdrantLayout)) {
    let mut layout = layout();
    spoil(&mut layout);
    let error = QdrantSettings::from_layout(&layout, dimensions).expect_err("out of range");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains(&format!("{field}:")), "{error}");
}

fn hnsw_of(layout: &mut QdrantLayout) -> &mut v1::QdrantHnsw {
    layout.hnsw.get_or_insert_default()
}

#[test]
fn a_nearer_vector_scores_higher() {
    for (distance, near, far) in [
        (Distance::Cosine, 0.9, -0.3),
        (Distance::Dot, 7.0, -7.0),
        (Distance::Euclid, 0.1, 4.0),
        (Distance::Manhattan, 0.0, 1.0),
    ] {
        assert!(distance.score(near) > distance.score(far), "{distance:?}");
    }
}
