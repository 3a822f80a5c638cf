//! BM25 as sparse vectors, with the ids and weights of the model `Qdrant/bm25` of fastembed.
//!
//! The platform and its search write vectors of that model, so ours must meet theirs in one index: same tokens, same
//! ids, same weights. What a document vector holds is the part of BM25 that depends on the document; the inverse
//! document frequency belongs to the index.
//!
//! Start at [`document_vector`] and [`query_vector`]. `tokens` cuts and stems, `murmur3` makes the ids.

mod murmur3;
mod stop_words;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::destinations::SparseVector;

/// How fast repeating a token stops to count.
const K: f64 = 1.2;

/// How much a long document is discounted.
const B: f64 = 0.75;

/// The length of an average document in tokens, by decree: the model knows no corpus.
const AVERAGE_LENGTH: f64 = 256.0;

/// The vector of a text to be found. Empty when no token is left of the text.
///
/// The weight of a token that occurs `n` times among `length` tokens is
/// `n * (K + 1) / (n + K * (1 - B + B * length / AVERAGE_LENGTH))`. When two stems share an id, the one that comes
/// first in the text loses its weight to the other, as in fastembed.
#[must_use]
pub fn document_vector(text: &str) -> SparseVector {
    let stems = tokens::stems(text);
    let length = count(stems.len());
    // By stem: how often, and where first.
    let mut occurrences: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (position, stem) in stems.iter().enumerate() {
        occurrences.entry(stem).or_insert((0, position)).0 += 1;
    }
    // By id: where its stem is first, and the weight.
    let mut weights: BTreeMap<u32, (usize, f64)> = BTreeMap::new();
    for (stem, (times, first)) in occurrences {
        let times = count(times);
        let weight = times * (K + 1.0) / (times + K * (1.0 - B + B * length / AVERAGE_LENGTH));
        let entry = weights.entry(token_id(stem)).or_insert((first, weight));
        if entry.0 < first {
            *entry = (first, weight);
        }
    }
    weights.into_iter().map(|(id, (_, weight))| (id, single(weight))).collect_vector()
}

/// The vector of a text to find others by: weight 1 for every token id.
#[must_use]
pub fn query_vector(text: &str) -> SparseVector {
    let ids: BTreeMap<u32, f32> = tokens::stems(text).iter().map(|stem| (token_id(stem), 1.0)).collect();
    ids.into_iter().collect_vector()
}

/// The id of a stem: its hash read as a signed number, without the sign.
fn token_id(stem: &str) -> u32 {
    murmur3::hash(stem.as_bytes(), 0).cast_signed().unsigned_abs()
}

/// A count as the formula takes it; exact for any text that fits in memory.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}

/// A weight as destinations store it.
#[expect(clippy::cast_possible_truncation, reason = "weights are between 0 and 2.2; rounding is meant")]
fn single(weight: f64) -> f32 {
    weight as f32
}

/// Turns pairs in ascending order of id into a vector.
trait CollectVector {
    fn collect_vector(self) -> SparseVector;
}

impl<I: Iterator<Item = (u32, f32)>> CollectVector for I {
    fn collect_vector(self) -> SparseVector {
        let (indices, values) = self.unzip();
        SparseVector { indices, values }
    }
}
