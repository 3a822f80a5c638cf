use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::vespa::document_id::DocumentId;
use crate::vespa::options::VespaServerOptions;
use crate::vespa::value::parse_put;

/// A cluster with a few documents: name, collection, text, and a vector of two.
fn cluster() -> Cluster {
    let cluster = Cluster::new(VespaServerOptions { dimensions: 2, ..VespaServerOptions::default() });
    let rows = [
        ("base_entity", "Alpha", "c1", "red apples and pears", [1.0, 0.0], 1),
        ("base_entity", "beta", "c1", "green apples", [0.8, 0.6], 2),
        ("web_entity", "gamma", "c2", "red wine", [0.0, 1.0], 3),
        ("web_entity", "delta", "c1", "bread", [-1.0, 0.0], 4),
    ];
    for (kind, name, collection, text, dense, index) in rows {
        let id = DocumentId::new("airweave", kind, None, name.to_owned()).expect("an id");
        let fields = json!({
            "name": name, "airweave_system_metadata_collection_id": collection, "textual_representation": text,
            "dense_embedding": dense, "airweave_system_metadata_chunk_index": index, "access_is_public": index == 1,
        });
        let document_type = cluster.schemas.get(kind).expect("a type");
        let parsed = parse_put("", document_type, fields.as_object().expect("an object"), false).expect("it fits");
        cluster.store_mut().put(id, parsed.fields);
    }
    cluster
}

fn ask(cluster: &Cluster, body: &Value) -> Result<(u16, Value), Refusal> {
    let target = Target::parse("/search/", None).expect("a URI");
    let reply = search(cluster, &Method::POST, &target, body.to_string().as_bytes(), false)?;
    let status = reply.status;
    Ok((status, reply.body_json()))
}

/// Names of the hits in order, and how many were found.
fn hits(body: &Value) -> (Vec<String>, u64) {
    let (status, answer) = ask(&cluster(), body).expect("it is modelled");
    assert_eq!(status, 200, "{answer}");
    let children = answer["root"]["children"].as_array().cloned().unwrap_or_default();
    let name = |child: &Value| child["fields"]["name"].as_str().expect("a name").to_owned();
    (children.iter().map(name).collect(), answer["root"]["fields"]["totalCount"].as_u64().expect("a count"))
}

fn sorted(yql: &str) -> Vec<String> {
    let (mut names, total) = hits(&json!({ "yql": yql }));
    assert_eq!(names.len() as u64, total);
    names.sort_unstable();
    names
}

#[rstest]
#[case("select * from sources * where true", &["Alpha", "beta", "delta", "gamma"])]
#[case("select * from sources base_entity where true", &["Alpha", "beta"])]
#[case("select * from web_entity where true", &["delta", "gamma"])]
#[case("select * from sources * where name contains 'ALPHA'", &["Alpha"])]
#[case("select * from sources * where name contains 'alph'", &[])]
#[case(r#"select * from sources * where name in ("beta", 'gamma')"#, &["beta", "gamma"])]
#[case("select * from sources * where textual_representation contains 'Apples'", &["Alpha", "beta"])]
#[case("select * from sources * where textual_representation contains 'apples and'", &["Alpha"])]
#[case("select * from sources * where name contains 'beta' or name contains 'gamma' and false", &["beta"])]
#[case("select * from sources * where airweave_system_metadata_collection_id contains 'c1' and !(name contains 'beta')", &["Alpha", "delta"])]
#[case("select * from sources * where airweave_system_metadata_chunk_index >= 2 and airweave_system_metadata_chunk_index in (2, 4)", &["beta", "delta"])]
#[case("select * from sources * where access_is_public = true", &["Alpha"])]
#[case("select * from sources * where access_is_public = false", &["beta", "delta", "gamma"])]
fn conditions_take_these(#[case] yql: &str, #[case] expected: &[&str]) {
    assert_eq!(sorted(yql), expected);
}

#[test]
fn windows_are_counted_from_the_start() {
    let ordered = |rest: &str| {
        let yql = format!("select * from sources * where true order by airweave_system_metadata_chunk_index {rest}");
        hits(&json!({ "yql": yql })).0
    };
    assert_eq!(ordered(""), ["Alpha", "beta", "gamma", "delta"]);
    assert_eq!(ordered("desc limit 2"), ["delta", "gamma"]);
    assert_eq!(ordered("limit 3 offset 2"), ["gamma"], "the third, and not three");
    let (names, total) = hits(&json!({ "yql": "select * from sources * where true", "hits": 0 }));
    assert_eq!((names.len(), total), (0, 4));
}

#[test]
fn neighbours_are_looked_for_behind_the_filter() {
    let body = |condition: &str| {
        json!({
            "yql": format!("select * from sources * where {condition}"),
            "ranking": { "profile": "semantic" }, "input.query(q0)": [1.0, 0.0],
        })
    };
    let (names, total) = hits(&body("{targetHits:2}nearestNeighbor(dense_embedding,q0)"));
    assert_eq!((names, total), (vec!["Alpha".into(), "beta".into()], 2));
    let (names, _) = hits(&body("({targetHits: 1}nearestNeighbor(dense_embedding, q0)) and name contains 'gamma'"));
    assert_eq!(names, ["gamma"]);
}

#[test]
fn words_and_neighbours_are_fused() {
    let body = json!({
        "yql": "select * from sources * where ({targetHits:10}userInput(@query)) or \
                ({label:'q0',targetHits:1}nearestNeighbor(dense_embedding,q0))",
        "query": "wine", "ranking.profile": "hybrid", "input.query(q0)": [0.8, 0.6],
    });
    let (_, answer) = ask(&cluster(), &body).expect("it is modelled");
    let children = answer["root"]["children"].as_array().expect("hits");
    assert_eq!(children.len(), 2);
    for child in children {
        let relevance = child["relevance"].as_f64().expect("a score");
        assert!((relevance - (1.0 / 61.0 + 1.0 / 62.0)).abs() < 1e-9, "first in one, second in the other");
    }
}

#[rstest]
#[case("select * from sources * where name = 'Alpha'")]
#[case("select * from sources * where nothing contains 'x'")]
#[case("select * from sources nowhere where true")]
#[case("select * from sources * where crawl_url contains 'x'")]
#[case("select * from sources *")]
#[case("select * from sources * where true limit 20000")]
#[case("select * from sources * where name contains @missing")]
#[case("select * from sources * where nearestNeighbor(dense_embedding,q0)")]
fn what_vespa_refuses_is_400(#[case] yql: &str) {
    let (status, answer) = ask(&cluster(), &json!({ "yql": yql })).expect("an answer");
    assert_eq!(status, 400);
    assert!(answer["root"]["errors"][0]["message"].is_string(), "{answer}");
}

#[rstest]
#[case(json!({ "yql": "select * from sources * where name matches 'x'" }))]
#[case(json!({ "yql": "select * from sources * where weakAnd(name contains 'x')" }))]
#[case(json!({ "yql": "select * from sources * where {prefix:true}userInput(@q)", "q": "x" }))]
#[case(json!({ "yql": "select * from sources * where true", "presentation.summary": "none" }))]
#[case(json!({ "yql": "select * from sources * where true", "input.query(q_sparse)": { "1": 2.0 } }))]
fn what_is_not_modelled_is_501(#[case] body: Value) {
    let refusal = ask(&cluster(), &body).expect_err("it is not modelled");
    assert!(refusal.message().starts_with("not supported by test server"), "{refusal:?}");
}
