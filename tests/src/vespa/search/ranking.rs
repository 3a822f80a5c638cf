//! Scores of hits.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::condition::Condition;
use super::matching::{Corpus, DEFAULT_FIELDS, Matched, angle, vector};
use super::parameters::{Input, QueryParameters};
use super::profile::{Phase, Profile};
use super::words::words;
use super::{QueryError, not_modelled, refused};
use crate::vespa::options::KeywordScore;
use crate::vespa::schema::{DocumentType, FieldType};
use crate::vespa::value::FieldValue;

/// A document and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scored {
    pub(super) at: usize,
    pub(super) relevance: f64,
}

/// Constant of reciprocal rank fusion.
const RECIPROCAL_RANK_K: f64 = 60.0;
/// How many hits the last phase ranks anew.
const RERANKED: usize = 100;

/// The matched documents, best first.
pub(super) fn rank(
    corpus: &Corpus<'_>,
    matched: &Matched,
    profile: &Profile,
    condition: &Condition,
    parameters: &QueryParameters,
) -> Result<Vec<Scored>, QueryError> {
    let keyword = || keyword_scores(corpus, matched, profile.keyword, condition, parameters);
    let semantic = || semantic_scores(corpus, matched, condition, parameters);
    let scored = |scores: &BTreeMap<usize, f64>| {
        let mut hits: Vec<Scored> = scores.iter().map(|(at, score)| Scored { at: *at, relevance: *score }).collect();
        hits.sort_by(best_first);
        hits
    };
    Ok(match profile.phase {
        Phase::Unranked => matched.iter().map(|at| Scored { at: *at, relevance: 0.0 }).collect(),
        Phase::Keyword => scored(&keyword()?),
        Phase::Semantic => scored(&semantic()?),
        Phase::Hybrid => {
            let (keyword, semantic) = (keyword()?, semantic()?);
            let sum = keyword.iter().map(|(at, score)| (*at, score + semantic[at])).collect();
            let mut hits = scored(&sum);
            let reranked = hits.len().min(RERANKED);
            let best: BTreeSet<usize> = hits[..reranked].iter().map(|hit| hit.at).collect();
            let ranks = [reciprocal_ranks(&keyword, &best), reciprocal_ranks(&semantic, &best)];
            for hit in &mut hits[..reranked] {
                hit.relevance = ranks.iter().map(|ranks| ranks[&hit.at]).sum();
            }
            // What was not ranked anew stays behind what was.
            let least = hits[..reranked].iter().map(|hit| hit.relevance).fold(f64::INFINITY, f64::min);
            for hit in &mut hits[reranked..] {
                hit.relevance = hit.relevance.min(least);
            }
            hits.sort_by(best_first);
            hits
        }
    })
}

fn best_first(left: &Scored, right: &Scored) -> Ordering {
    right.relevance.total_cmp(&left.relevance).then(left.at.cmp(&right.at))
}

#[expect(clippy::cast_precision_loss, reason = "ranks are small")]
fn reciprocal_ranks(scores: &BTreeMap<usize, f64>, among: &BTreeSet<usize>) -> BTreeMap<usize, f64> {
    let mut hits: Vec<Scored> = among.iter().map(|at| Scored { at: *at, relevance: scores[at] }).collect();
    hits.sort_by(best_first);
    let rank = |(rank, hit): (usize, &Scored)| (hit.at, 1.0 / (RECIPROCAL_RANK_K + rank as f64 + 1.0));
    hits.iter().enumerate().map(rank).collect()
}

/// 1 / (1 + angle); 0 where there is no tensor or no search for neighbours.
fn semantic_scores(
    corpus: &Corpus<'_>,
    matched: &Matched,
    condition: &Condition,
    parameters: &QueryParameters,
) -> Result<BTreeMap<usize, f64>, QueryError> {
    let Some((field, input)) = condition.nearest() else {
        return Ok(matched.iter().map(|at| (*at, 0.0)).collect());
    };
    let query = vector(parameters, input)?;
    let closeness = |at: &usize| angle(corpus.value(*at, field), query).map_or(0.0, |angle| 1.0 / (1.0 + angle));
    Ok(matched.iter().map(|at| (*at, closeness(at))).collect())
}

fn keyword_scores(
    corpus: &Corpus<'_>,
    matched: &Matched,
    score: KeywordScore,
    condition: &Condition,
    parameters: &QueryParameters,
) -> Result<BTreeMap<usize, f64>, QueryError> {
    match score {
        KeywordScore::Bm25 => {
            let wanted: BTreeSet<String> = condition.texts().into_iter().flat_map(words).collect();
            let mut scores: BTreeMap<usize, f64> = matched.iter().map(|at| (*at, 0.0)).collect();
            for field in DEFAULT_FIELDS {
                add_bm25(corpus, field, &wanted, &mut scores);
            }
            Ok(scores)
        }
        KeywordScore::SparseTensor => {
            let empty = BTreeMap::new();
            let query = match parameters.input("q_sparse") {
                Some(Input::Sparse(cells)) => cells,
                None => &empty,
                Some(Input::Dense(_)) => return refused("query(q_sparse) is a mapped tensor"),
            };
            let product = |at: &usize| match corpus.value(*at, "sparse_embedding") {
                Some(FieldValue::Tensor(tensor)) => {
                    let cell = |(label, weight): (&String, &f32)| {
                        Some(f64::from(*weight) * f64::from(*tensor.blocks.get(label)?.first()?))
                    };
                    query.iter().filter_map(cell).sum()
                }
                _ => 0.0,
            };
            Ok(matched.iter().map(|at| (*at, product(at))).collect())
        }
    }
}

/// BM25 with Vespa's defaults: k1 = 1.2, b = 0.75.
#[expect(clippy::cast_precision_loss, reason = "there are few documents and words")]
fn add_bm25(corpus: &Corpus<'_>, field: &str, wanted: &BTreeSet<String>, scores: &mut BTreeMap<usize, f64>) {
    let texts: Vec<Vec<String>> = (0..corpus.documents.len()).map(|at| corpus.words(at, field)).collect();
    let filled = texts.iter().filter(|text| !text.is_empty()).count();
    if wanted.is_empty() || filled == 0 {
        return;
    }
    let average = texts.iter().map(Vec::len).sum::<usize>() as f64 / filled as f64;
    for word in wanted {
        let having = texts.iter().filter(|text| text.contains(word)).count() as f64;
        let idf = ((filled as f64 - having + 0.5) / (having + 0.5) + 1.0).ln();
        for (at, score) in scores.iter_mut() {
            let often = texts[*at].iter().filter(|found| *found == word).count() as f64;
            let length = texts[*at].len() as f64 / average;
            *score += idf * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * length));
        }
    }
}

/// Sorts by a field instead of by score.
pub(super) fn order_by(
    hits: &mut [Scored],
    corpus: &Corpus<'_>,
    types: &[&DocumentType],
    field: &str,
    descending: bool,
) -> Result<(), QueryError> {
    for document_type in types {
        match document_type.fields.get(field).map(|field| &field.field_type) {
            Some(FieldType::Int | FieldType::Long | FieldType::Float | FieldType::Double) => {}
            Some(_) => return not_modelled("an order by anything but a number"),
            None => return refused(format!("Field '{field}' does not exist.")),
        }
    }
    let key = |hit: &Scored| corpus.value(hit.at, field).and_then(FieldValue::as_number).unwrap_or(f64::NEG_INFINITY);
    hits.sort_by(|left, right| {
        let order = key(left).total_cmp(&key(right));
        if descending { order.reverse() } else { order }
    });
    Ok(())
}
