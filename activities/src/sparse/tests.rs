//! Our vectors against those of fastembed itself.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// What fastembed 0.9.1 computed with its own class `Bm25`, NLTK's stop words and default settings.
const FASTEMBED: &str = include_str!("testdata/fastembed.json");

#[derive(Deserialize)]
struct Expected {
    text: String,
    document: Vec<(u32, f64)>,
    query: Vec<u32>,
}

fn expectations() -> Vec<Expected> {
    serde_json::from_str(FASTEMBED).expect("the fixture is JSON")
}

#[test]
fn document_vectors_equal_those_of_fastembed() {
    for expected in expectations() {
        let vector = document_vector(&expected.text);
        let (indices, values): (Vec<u32>, Vec<f32>) =
            expected.document.iter().map(|(id, weight)| (*id, single(*weight))).unzip();
        assert_eq!(vector.indices, indices, "ids of {:?}", expected.text);
        assert_eq!(vector.values, values, "weights of {:?}", expected.text);
    }
}

#[test]
fn query_vectors_equal_those_of_fastembed() {
    for expected in expectations() {
        let vector = query_vector(&expected.text);
        assert_eq!(vector.indices, expected.query, "ids of {:?}", expected.text);
        assert_eq!(vector.values, vec![1.0; expected.query.len()]);
    }
}

#[test]
fn of_two_stems_with_one_id_the_later_one_counts() {
    assert_eq!(token_id("q4144"), token_id("q85615"), "the pair collides");
    let later_is_rare = document_vector("q4144 q4144 q4144 q85615");
    let later_is_frequent = document_vector("q85615 q4144 q4144 q4144");
    assert_eq!(later_is_rare.indices, later_is_frequent.indices);
    assert_eq!(later_is_rare.indices.len(), 1);
    assert!(later_is_rare.values[0] < later_is_frequent.values[0]);
}

#[test]
fn a_text_without_words_has_an_empty_vector() {
    assert_eq!(document_vector(" .. the of "), SparseVector::default());
    assert_eq!(query_vector(""), SparseVector::default());
}

proptest! {
    #[test]
    fn vectors_are_well_formed_whatever_the_text(text in any::<String>()) {
        let document = document_vector(&text);
        let query = query_vector(&text);
        prop_assert!(document.indices.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(&document.indices, &query.indices);
        prop_assert_eq!(document.indices.len(), document.values.len());
        prop_assert!(document.values.iter().all(|weight| weight.is_finite() && *weight > 0.0 && *weight < 2.2));
    }
}
