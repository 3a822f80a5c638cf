//! Properties of search.

use activities::destinations::{Query, SearchMode, SparseVector};
use activities::error::ErrorKind;

use super::documents::{axis, placed, scope};
use super::observe::{found, kind, names, ready, store};
use super::{DIMENSIONS, World};

pub(crate) async fn searches_find_the_keyword_and_the_neighbour(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let nearly = vec![0.98, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let documents = [
        placed("same direction", axis(0), &[11]),
        placed("near", nearly, &[12]),
        placed("far, but has the word", axis(7), &[500]),
        placed("far", axis(6), &[13]),
        placed("opposite", axis(0).into_iter().map(|value| -value).collect(), &[]),
    ];
    store(slot.as_ref(), &documents).await;
    slot.finish().await.expect("finish");
    let dense = found(slot.as_ref(), SearchMode::Dense, axis(0), &[], 10).await;
    assert_eq!(names(&dense)[..2], ["same direction", "near"]);
    assert_eq!(names(&dense).last(), Some(&"opposite"), "all five, the opposite last");
    assert_eq!(dense.len(), 5);
    let sparse = found(slot.as_ref(), SearchMode::Sparse, Vec::new(), &[500], 10).await;
    assert_eq!(names(&sparse), ["far, but has the word"]);
    let best = ["far, but has the word", "same direction"];
    if world.ranks_only_what_is_found() {
        let hybrid = found(slot.as_ref(), SearchMode::Hybrid, axis(0), &[500], 2).await;
        assert_eq!(names(&hybrid), best, "first in one ranking each, one also in the other");
    } else {
        let hybrid = found(slot.as_ref(), SearchMode::Hybrid, axis(0), &[500], 3).await;
        assert!(best.iter().all(|name| names(&hybrid).contains(name)), "first in one ranking each: {hybrid:?}");
    }
    assert_eq!(found(slot.as_ref(), SearchMode::Hybrid, axis(0), &[500], 0).await, []);
}

pub(crate) async fn rare_words_weigh_more(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let mut documents: Vec<_> = (0..30).map(|n| placed(&format!("common {n}"), axis(1), &[1])).collect();
    documents.push(placed("rare", axis(1), &[2]));
    documents.push(placed("both", axis(1), &[1, 2]));
    store(slot.as_ref(), &documents).await;
    slot.finish().await.expect("finish");
    let hits = found(slot.as_ref(), SearchMode::Sparse, Vec::new(), &[1, 2], 3).await;
    assert_eq!(names(&hits)[0], "both");
    if !world.weighs_rare_words() {
        return;
    }
    assert_eq!(names(&hits)[1], "rare");
    assert!(names(&hits)[2].starts_with("common"));
    let idf = |having: f64| ((32.0 - having + 0.5) / (having + 0.5) + 1.0).ln();
    for (hit, wanted) in hits.iter().zip([idf(31.0) + idf(2.0), idf(2.0), idf(31.0)]) {
        assert!((hit.score - wanted).abs() < 1e-5, "{} scores {}, not {wanted}", hit.entity.0, hit.score);
    }
}

pub(crate) async fn an_unfit_query_is_invalid_input(world: &dyn World) {
    let slot = ready(world, &scope()).await;
    let good = Query {
        text: String::new(),
        dense: axis(0),
        sparse: SparseVector::default(),
        mode: SearchMode::Hybrid,
        limit: 5,
    };
    let lonely = SparseVector { indices: vec![1], values: vec![] };
    for bad in [
        Query { dense: vec![1.0; 3], ..good.clone() },
        Query { dense: vec![f32::NAN; DIMENSIONS as usize], ..good.clone() },
        Query { sparse: lonely, ..good.clone() },
        Query { limit: u32::MAX, ..good.clone() },
    ] {
        assert_eq!(kind(slot.search(&bad).await), ErrorKind::InvalidInput, "{bad:?}");
    }
    assert_eq!(slot.search(&good).await.expect("search"), []);
}
