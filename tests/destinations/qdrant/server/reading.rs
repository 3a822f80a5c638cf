//! Reads: get, scroll and count, and the filters they take.

use ::qdrant_client::qdrant::vectors_output::VectorsOptions;
use ::qdrant_client::qdrant::{
    Condition, CountPointsBuilder, CreateCollectionBuilder, Distance, Filter, GetPointsBuilder, PayloadIncludeSelector,
    PointId, PointStruct, Range, RetrievedPoint, ScrollPointsBuilder, SparseVector, VectorParamsBuilder, vector_output,
    with_payload_selector::SelectorOptions,
};
use ::qdrant_client::qdrant::{PayloadExcludeSelector, Vector};
use rstest::rstest;
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::qdrant::target::{Target, code, named, payload, point, points};

fn as_json(point: &RetrievedPoint) -> Value {
    ::qdrant_client::Payload::from(point.payload.clone()).into()
}

#[tokio::test]
async fn what_was_written_is_read_back() {
    let target = Target::open().await;
    let name = target.name();
    let request = CreateCollectionBuilder::new(&name).vectors_config(VectorParamsBuilder::new(4, Distance::Cosine));
    let request = request
        .sparse_vectors_config(crate::qdrant::target::plain(&name).build().sparse_vectors_config.expect("sparse"));
    target.client.create_collection(request).await.expect("create");
    let written = json!({ "text": "é", "deep": { "a": 1, "b": [true, null, 2.5] }, "none": null });
    let vectors =
        vec![("", Vector::from(vec![3.0, 4.0, 0.0, 0.0])), ("bm25", Vector::from(vec![(7, 0.5_f32), (9, 2.0)]))];
    let stored = PointStruct { payload: payload(written.clone()).into(), ..named(1, vectors) };
    target.upsert(&name, vec![stored]).await.expect("upsert");
    let get = |options: SelectorOptions| {
        let request = GetPointsBuilder::new(&name, vec![1.into(), 2.into()]).with_payload(options).with_vectors(true);
        async { target.client.get_points(request).await.expect("get").result }
    };
    let found = get(SelectorOptions::Enable(true)).await;
    assert_eq!(found.len(), 1, "what is not there is not in the answer");
    assert_eq!(as_json(&found[0]), written);
    let Some(VectorsOptions::Vectors(vectors)) = found[0].vectors.clone().expect("vectors").vectors_options else {
        panic!("a dense and a sparse vector come by name");
    };
    let Some(vector_output::Vector::Dense(dense)) = vectors.vectors[""].vector.clone() else { panic!("dense") };
    assert_eq!(dense.data, [0.6, 0.8, 0.0, 0.0], "of length one under cosine");
    let Some(vector_output::Vector::Sparse(sparse)) = vectors.vectors["bm25"].vector.clone() else { panic!("sparse") };
    assert_eq!(sparse, SparseVector { values: vec![0.5, 2.0], indices: vec![7, 9] });
    let fields = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let included = PayloadIncludeSelector { fields: fields(&["text", "deep.a", "absent"]) };
    let found = get(SelectorOptions::Include(included)).await;
    assert_eq!(as_json(&found[0]), json!({ "text": "é", "deep": { "a": 1 } }));
    let found =
        get(SelectorOptions::Exclude(PayloadExcludeSelector { fields: fields(&["text", "deep.b", "none"]) })).await;
    assert_eq!(as_json(&found[0]), json!({ "deep": { "a": 1 } }));
    target.close().await;
}

#[tokio::test]
async fn a_scroll_gives_pages_in_the_order_of_ids() {
    let target = Target::open().await;
    let name = target.collection().await;
    let uuids: Vec<Uuid> = (0..5).map(|_| Uuid::new_v4()).collect();
    let mut batch = points(20);
    batch.extend(uuids.iter().map(|id| PointStruct::new(id.to_string(), vec![1.0; 4], payload(json!({ "n": 15 })))));
    target.upsert(&name, batch).await.expect("upsert");
    let filter = Filter::must([Condition::range("n", Range { gte: Some(11.0), lt: Some(18.0), ..Range::default() })]);
    let (mut seen, mut offset, mut pages) = (Vec::<PointId>::new(), None::<PointId>, 0);
    loop {
        let mut request = ScrollPointsBuilder::new(&name).filter(filter.clone()).limit(4).with_payload(false).build();
        request.offset = offset;
        let page = target.client.scroll(request).await.expect("scroll");
        seen.extend(page.result.iter().map(|point| point.id.clone().expect("an id")));
        pages += 1;
        offset = page.next_page_offset;
        if offset.is_none() {
            break;
        }
    }
    let mut sorted = uuids.clone();
    sorted.sort();
    let wanted: Vec<PointId> =
        (11_u64..18).map(PointId::from).chain(sorted.iter().map(|id| PointId::from(id.to_string()))).collect();
    assert_eq!((seen, pages), (wanted, 3), "numbers first, then UUIDs");
    target.close().await;
}

#[rstest]
#[case::keyword(Filter::must([Condition::matches("deep.word", "x".to_owned())]), 2)]
#[case::any_keyword(Filter::must([Condition::matches("deep.word", vec!["x".to_owned(), "y".to_owned()])]), 3)]
#[case::in_a_list(Filter::must([Condition::matches("list", 3)]), 1)]
#[case::boolean(Filter::must([Condition::matches("flag", true)]), 1)]
#[case::both(Filter::must([Condition::matches("flag", false), Condition::matches("deep.word", "x".to_owned())]), 1)]
#[case::either(Filter::should([Condition::matches("flag", true), Condition::matches("deep.word", "y".to_owned())]), 2)]
#[case::neither(Filter::must_not([Condition::matches("flag", true), Condition::matches("deep.word", "y".to_owned())]), 1)]
#[case::id(Filter::must([Condition::has_id([1, 2, 99])]), 2)]
#[case::range(Filter::must([Condition::range("weight", Range { gt: Some(1.0), lte: Some(2.5), ..Range::default() })]), 2)]
#[case::nested(Filter::must([Filter::should([Condition::has_id([1]), Condition::matches("flag", false)]).into()]), 2)]
#[case::other_type(Filter::must([Condition::matches("flag", "true".to_owned())]), 0)]
#[case::nothing(Filter::default(), 3)]
#[tokio::test]
async fn filters_are_understood(#[case] filter: Filter, #[case] wanted: u64) {
    let target = Target::open().await;
    let name = target.collection().await;
    let batch = [
        json!({ "deep": { "word": "x" }, "flag": true, "weight": 1 }),
        json!({ "deep": { "word": "x" }, "flag": false, "weight": 2, "list": [1, 2, 3] }),
        json!({ "deep": { "word": "y" }, "weight": 2.5 }),
    ];
    let batch = batch.into_iter().zip(1_u64..).map(|(json, id)| PointStruct::new(id, vec![1.0; 4], payload(json)));
    target.upsert(&name, batch.collect()).await.expect("upsert");
    assert_eq!(target.count_with(&name, filter).await, wanted);
    target.close().await;
}

#[tokio::test]
async fn what_is_not_modelled_is_refused_loudly() {
    let Some(target) = Target::scripted(harness::qdrant::QdrantServerOptions::default()).await else { return };
    let name = target.collection().await;
    target.upsert(&name, vec![point(1, [1.0; 4])]).await.expect("upsert");
    for filter in [
        Condition::is_empty("n"),
        Condition::is_null("n"),
        Condition::has_vector(""),
        Condition::matches_text("n", "1"),
        Condition::matches("list[].a", 1),
        Condition::nested("n", Filter::default()),
    ] {
        let request = CountPointsBuilder::new(&name).filter(Filter::must([filter])).exact(true);
        assert_eq!(code(target.client.count(request).await), Code::Unimplemented);
    }
    let unsaid = GetPointsBuilder::new(&name, vec![1.into()]).build();
    let unsaid = ::qdrant_client::qdrant::GetPoints { with_payload: None, ..unsaid };
    assert_eq!(code(target.client.get_points(unsaid).await), Code::Unimplemented);
    let facet = ::qdrant_client::qdrant::FacetCountsBuilder::new(&name, "n");
    assert_eq!(code(target.client.facet(facet).await), Code::Unimplemented);
    target.close().await;
}

#[tokio::test]
async fn an_approximate_count_may_be_wrong() {
    let Some(target) = Target::scripted(harness::qdrant::QdrantServerOptions::default()).await else { return };
    let name = target.collection().await;
    target.upsert(&name, points(10)).await.expect("upsert");
    let request = CountPointsBuilder::new(&name).filter(Filter::must([Condition::matches("n", 3)])).exact(false);
    let count = target.client.count(request).await.expect("count").result.expect("result").count;
    assert_ne!(count, 1, "whoever needs the number must ask for it exactly");
    target.close().await;
}
