//! Which documents a condition takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::condition::{Comparison, Condition};
use super::parameters::{Input, QueryParameters};
use super::words::{contains, words};
use super::{QueryError, refused};
use crate::vespa::document_id::DocumentId;
use crate::vespa::schema::{DocumentType, Indexing};
use crate::vespa::store::{Fields, Store};
use crate::vespa::value::FieldValue;

/// What a text query searches.
pub(super) const DEFAULT_FIELDS: [&str; 2] = ["textual_representation", "payload"];

/// Documents by number.
pub(super) type Matched = BTreeSet<usize>;

/// The documents that are searched.
pub(super) struct Corpus<'a> {
    pub(super) documents: Vec<(&'a DocumentId, &'a Arc<Fields>, &'a DocumentType)>,
}

impl<'a> Corpus<'a> {
    /// All documents of these types; with `degraded` every other one.
    pub(super) fn new(store: &'a Store, types: &[&'a DocumentType], degraded: bool) -> Self {
        let typed = store.documents().filter_map(|(id, fields)| {
            let document_type = types.iter().find(|document_type| document_type.name == id.document_type)?;
            Some((id, fields, *document_type))
        });
        let documents = typed.enumerate().filter(|(at, _)| !degraded || at % 2 == 0).map(|(_, document)| document);
        Self { documents: documents.collect() }
    }

    /// A field of a document.
    pub(super) fn value(&self, at: usize, field: &str) -> Option<&FieldValue> {
        self.documents[at].1.get(field)
    }

    /// A text field of a document as words.
    pub(super) fn words(&self, at: usize, field: &str) -> Vec<String> {
        match self.value(at, field) {
            Some(FieldValue::String(text)) => words(text),
            _ => Vec::new(),
        }
    }
}

impl Condition {
    /// The documents this takes.
    pub(super) fn matches(&self, corpus: &Corpus<'_>, parameters: &QueryParameters) -> Result<Matched, QueryError> {
        self.within((0..corpus.documents.len()).collect(), corpus, parameters)
    }

    /// The documents of `within` that this takes. Neighbours are looked for among these, as filters come first.
    fn within(
        &self,
        within: Matched,
        corpus: &Corpus<'_>,
        parameters: &QueryParameters,
    ) -> Result<Matched, QueryError> {
        Ok(match self {
            Self::Constant(true) => within,
            Self::Constant(false) => Matched::new(),
            Self::And(parts) => {
                let (last, first): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.nearest().is_some());
                let mut left = within;
                for part in first.into_iter().chain(last) {
                    left = part.within(left, corpus, parameters)?;
                }
                left
            }
            Self::Or(parts) => {
                let mut union = Matched::new();
                for part in parts {
                    union.extend(part.within(within.clone(), corpus, parameters)?);
                }
                union
            }
            Self::Not(inner) => {
                let without = inner.within(within.clone(), corpus, parameters)?;
                within.difference(&without).copied().collect()
            }
            Self::Rank(first, _) => first.within(within, corpus, parameters)?,
            Self::Nearest { field, input, hits } => nearest(&within, corpus, field, vector(parameters, input)?, *hits),
            Self::Words(text) => {
                let wanted: BTreeSet<String> = words(text).into_iter().collect();
                let has = |at: &usize| {
                    DEFAULT_FIELDS.iter().any(|field| corpus.words(*at, field).iter().any(|word| wanted.contains(word)))
                };
                within.into_iter().filter(has).collect()
            }
            Self::Strings(field, wanted) => strings(within, corpus, field, wanted),
            Self::Numbers(field, comparison, wanted) => {
                let holds = |number: f64| wanted.iter().any(|wanted| compare(number, *comparison, *wanted));
                let number = |at: &usize| corpus.value(*at, field).and_then(FieldValue::as_number);
                within.into_iter().filter(|at| number(at).is_some_and(holds)).collect()
            }
            Self::Bool(field, wanted) => {
                // A bool that was never set is false to a search.
                let value = |at: &usize| matches!(corpus.value(*at, field), Some(FieldValue::Bool(true)));
                within.into_iter().filter(|at| value(at) == *wanted).collect()
            }
        })
    }
}

fn strings(within: Matched, corpus: &Corpus<'_>, field: &str, wanted: &[String]) -> Matched {
    let whole: Vec<String> = wanted.iter().map(|text| text.to_lowercase()).collect();
    let phrases: Vec<Vec<String>> = wanted.iter().map(|text| words(text)).collect();
    let holds = |at: &usize| {
        let indexed = corpus.documents[*at].2.fields.get(field).map(|field| field.indexing) == Some(Indexing::Index);
        let one = |text: &str| match indexed {
            true => phrases.iter().any(|phrase| contains(&words(text), phrase)),
            false => whole.contains(&text.to_lowercase()),
        };
        match corpus.value(*at, field) {
            Some(FieldValue::String(text)) => one(text),
            Some(FieldValue::Array(values)) => {
                values.iter().any(|value| matches!(value, FieldValue::String(text) if one(text)))
            }
            _ => false,
        }
    };
    within.into_iter().filter(holds).collect()
}

fn compare(number: f64, comparison: Comparison, wanted: f64) -> bool {
    match comparison {
        #[expect(clippy::float_cmp, reason = "whole numbers, as they were written")]
        Comparison::Equal => number == wanted,
        Comparison::Less => number < wanted,
        Comparison::LessOrEqual => number <= wanted,
        Comparison::Greater => number > wanted,
        Comparison::GreaterOrEqual => number >= wanted,
    }
}

/// The dense tensor that a search for neighbours starts from.
pub(super) fn vector<'a>(parameters: &'a QueryParameters, input: &str) -> Result<&'a [f32], QueryError> {
    match parameters.input(input) {
        Some(Input::Dense(values)) => Ok(values),
        _ => refused(format!("Expected a tensor value of 'query({input})' but has none")),
    }
}

fn nearest(within: &Matched, corpus: &Corpus<'_>, field: &str, query: &[f32], hits: usize) -> Matched {
    let distance = |at: usize| angle(corpus.value(at, field), query).map(|angle| (angle, at));
    let mut near: Vec<(f64, usize)> = within.iter().filter_map(|at| distance(*at)).collect();
    near.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    near.into_iter().take(hits).map(|(_, at)| at).collect()
}

/// The angle between a dense tensor and the query's, in radians.
pub(super) fn angle(value: Option<&FieldValue>, query: &[f32]) -> Option<f64> {
    let Some(FieldValue::Tensor(tensor)) = value else { return None };
    let stored = tensor.dense()?;
    let dot = |left: &[f32], right: &[f32]| -> f64 {
        left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
    };
    let lengths = (dot(stored, stored) * dot(query, query)).sqrt();
    let cosine = if lengths > 0.0 { dot(stored, query) / lengths } else { 0.0 };
    Some(cosine.clamp(-1.0, 1.0).acos())
}
