//! Searches: by each distance, by sparse vectors with IDF, and fused.

use ::qdrant_client::qdrant::{
    Condition, CreateCollectionBuilder, Distance, Filter, Fusion, IdfParams, PointStruct, PrefetchQueryBuilder, Query,
    QueryPointsBuilder, Rrf, ScoredPoint, SearchParams, UpdateStatus, Vector, VectorInput, VectorParamsBuilder, query,
};
use rstest::rstest;
use serde_json::json;
use tonic::Code;

use crate::qdrant::target::{Target, code, named, payload, point};

type Hits = Vec<(u64, f32)>;

fn ids(points: Vec<ScoredPoint>) -> Hits {
    points.into_iter().map(|hit| (number(&hit), hit.score)).collect()
}

fn number(hit: &ScoredPoint) -> u64 {
    use ::qdrant_client::qdrant::point_id::PointIdOptions;
    match hit.id.as_ref().and_then(|id| id.point_id_options.clone()) {
        Some(PointIdOptions::Num(number)) => number,
        other => panic!("not a number: {other:?}"),
    }
}

pub(super) async fn dense(target: &Target, name: &str, vector: [f32; 4], filter: Filter) -> Hits {
    let request = QueryPointsBuilder::new(name).query(vector.to_vec()).filter(filter).with_payload(false);
    ids(target.client.query(request).await.expect("query").result)
}

fn assert_close(hits: &[(u64, f32)], wanted: &[(u64, f32)]) {
    let same = hits.iter().zip(wanted).all(|(hit, wanted)| hit.0 == wanted.0 && (hit.1 - wanted.1).abs() < 1e-5);
    assert!(hits.len() == wanted.len() && same, "{hits:?}, not {wanted:?}");
}

#[rstest]
#[case::cosine(Distance::Cosine, &[(1, 1.0), (2, 0.6), (3, 0.0)])]
#[case::dot(Distance::Dot, &[(2, 6.0), (1, 4.0), (3, 0.0)])]
#[case::euclid(Distance::Euclid, &[(1, 0.0), (3, 2.236_068), (2, 4.123_106)])]
#[case::manhattan(Distance::Manhattan, &[(1, 0.0), (3, 3.0), (2, 5.0)])]
#[tokio::test]
async fn dense_vectors_are_ranked_by_their_distance(#[case] distance: Distance, #[case] wanted: &[(u64, f32)]) {
    let target = Target::open().await;
    let name = target.name();
    let request = CreateCollectionBuilder::new(&name).vectors_config(VectorParamsBuilder::new(4, distance));
    target.client.create_collection(request).await.expect("create");
    let batch = vec![point(1, [2.0, 0.0, 0.0, 0.0]), point(2, [3.0, 4.0, 0.0, 0.0]), point(3, [0.0, 1.0, 0.0, 0.0])];
    target.upsert(&name, batch).await.expect("upsert");
    let hits = dense(&target, &name, [2.0, 0.0, 0.0, 0.0], Filter::default()).await;
    assert_close(&hits, wanted);
    let some = dense(&target, &name, [2.0, 0.0, 0.0, 0.0], Filter::must_not([Condition::matches("n", 1)])).await;
    assert_eq!(some.len(), 2, "a filter leaves the rest");
    target.close().await;
}

#[tokio::test]
async fn a_zero_vector_is_stored_under_cosine_too() {
    let target = Target::open().await;
    let name = target.name();
    let request = CreateCollectionBuilder::new(&name).vectors_config(VectorParamsBuilder::new(4, Distance::Cosine));
    target.client.create_collection(request).await.expect("create");
    assert_eq!(target.upsert(&name, vec![point(1, [0.0; 4])]).await.expect("upsert"), UpdateStatus::Completed);
    assert_close(&dense(&target, &name, [1.0, 0.0, 0.0, 0.0], Filter::default()).await, &[(1, 0.0)]);
    target.close().await;
}

/// A point with words of weight one, and a tenant.
fn words(id: u64, tenant: &str, indices: &[u32]) -> PointStruct {
    let sparse: Vec<(u32, f32)> = indices.iter().map(|index| (*index, 1.0)).collect();
    let vectors = vec![("", Vector::from(vec![1.0, 0.0, 0.0, 0.0])), ("bm25", Vector::from(sparse))];
    PointStruct { payload: payload(json!({ "tenant": tenant })).into(), ..named(id, vectors) }
}

fn sparse(indices: &[u32]) -> VectorInput {
    let pairs: Vec<(u32, f32)> = indices.iter().map(|index| (*index, 1.0)).collect();
    VectorInput::new_sparse(
        pairs.iter().map(|pair| pair.0).collect::<Vec<_>>(),
        pairs.iter().map(|pair| pair.1).collect::<Vec<_>>(),
    )
}

fn idf(documents: f32, having: f32) -> f32 {
    ((documents - having + 0.5) / (having + 0.5) + 1.0).ln()
}

#[tokio::test]
async fn rare_words_weigh_more_over_the_whole_collection() {
    let target = Target::open().await;
    let name = target.collection().await;
    // Twelve documents of two tenants; those of the other tenant count as well.
    let mut batch: Vec<PointStruct> = (1..=9).map(|id| words(id, "a", &[1])).collect();
    batch.extend([words(10, "a", &[2]), words(11, "a", &[1, 2]), words(12, "b", &[1])]);
    target.upsert(&name, batch).await.expect("upsert");
    let tenant = Filter::must([Condition::matches("tenant", "a".to_owned())]);
    let request = QueryPointsBuilder::new(&name).query(Query::new_nearest(sparse(&[1, 2]))).using("bm25");
    let request = request.filter(tenant.clone()).limit(3).with_payload(false);
    let hits = ids(target.client.query(request.clone()).await.expect("query").result);
    let (common, rare) = (idf(12.0, 11.0), idf(12.0, 2.0));
    assert_close(&hits[..2], &[(11, common + rare), (10, rare)]);
    assert!((hits[2].1 - common).abs() < 1e-5);
    // Since 1.19 a query can name the documents that weights are computed over.
    let params = SearchParams { idf: Some(IdfParams { corpus: Some(tenant) }), ..SearchParams::default() };
    let hits = ids(target.client.query(request.params(params)).await.expect("query").result);
    assert_close(&hits[..1], &[(11, idf(11.0, 10.0) + idf(11.0, 2.0))]);
    target.close().await;
}

#[tokio::test]
async fn without_a_common_word_nothing_is_found() {
    let target = Target::open().await;
    let name = target.collection().await;
    target.upsert(&name, vec![words(1, "a", &[1]), words(2, "a", &[])]).await.expect("upsert");
    let request = QueryPointsBuilder::new(&name).query(Query::new_nearest(sparse(&[7]))).using("bm25");
    let hits = target.client.query(request.with_payload(false)).await.expect("query").result;
    assert_eq!(hits, []);
    target.close().await;
}

#[tokio::test]
async fn rankings_are_fused_by_reciprocal_rank() {
    let target = Target::open().await;
    let name = target.collection().await;
    let both = |id: u64, tenant: &str, along: f32, index: u32| {
        let vectors =
            vec![("", Vector::from(vec![along, 0.0, 0.0, 0.0])), ("bm25", Vector::from(vec![(index, 1.0_f32)]))];
        PointStruct { payload: payload(json!({ "tenant": tenant })).into(), ..named(id, vectors) }
    };
    let batch = vec![both(1, "a", 3.0, 9), both(2, "a", 2.0, 8), both(3, "a", 1.0, 9), both(4, "b", 9.0, 8)];
    target.upsert(&name, batch).await.expect("upsert");
    let tenant = Filter::must([Condition::matches("tenant", "a".to_owned())]);
    let fused = |query: Query| {
        let dense =
            PrefetchQueryBuilder::default().query(Query::new_nearest(vec![1.0_f32, 0.0, 0.0, 0.0])).limit(10_u64);
        let keywords =
            PrefetchQueryBuilder::default().query(Query::new_nearest(sparse(&[8]))).using("bm25").limit(10_u64);
        let request = QueryPointsBuilder::new(&name).add_prefetch(dense).add_prefetch(keywords).query(query);
        // The filter of the whole query applies to what is fetched before, too.
        let request = request.filter(tenant.clone()).limit(10).with_payload(false);
        async { ids(target.client.query(request).await.expect("query").result) }
    };
    // Dense: 1, 2, 3. Keywords: 2.
    let share = |k: f32, rank: f32| 1.0 / (k + rank);
    let hits = fused(Query::new_fusion(Fusion::Rrf)).await;
    assert_close(&hits, &[(2, share(2.0, 1.0) + share(2.0, 0.0)), (1, share(2.0, 0.0)), (3, share(2.0, 2.0))]);
    let query = Query { variant: Some(query::Variant::Rrf(Rrf { k: Some(60), weights: vec![] })) };
    let hits = fused(query).await;
    assert_close(&hits, &[(2, share(60.0, 1.0) + share(60.0, 0.0)), (1, share(60.0, 0.0)), (3, share(60.0, 2.0))]);
    target.close().await;
}

#[tokio::test]
async fn an_unfit_query_is_refused() {
    let target = Target::open().await;
    let name = target.collection().await;
    target.upsert(&name, vec![point(1, [1.0; 4])]).await.expect("upsert");
    let ask = |query: Query, using: &str| {
        let request = QueryPointsBuilder::new(&name).query(query).with_payload(false);
        target.client.query(if using.is_empty() { request } else { request.using(using) })
    };
    assert_eq!(code(ask(vec![1.0_f32; 3].into(), "").await), Code::InvalidArgument, "length");
    assert_eq!(code(ask(vec![1.0_f32; 4].into(), "nowhere").await), Code::InvalidArgument, "name");
    assert_eq!(code(ask(Query::new_fusion(Fusion::Rrf), "").await), Code::InvalidArgument, "nothing to fuse");
    target.close().await;
}
