//! Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), for destinations that leave it to us.

use std::collections::HashMap;

use uuid::Uuid;

/// A point and its score, higher is better.
pub(super) type Ranked = (Uuid, f64);

/// How many candidates each ranking gives at least before they are fused.
pub(super) const MIN_CANDIDATES: u32 = 100;

/// A hit scores the sum of `1 / (60 + rank)` over the rankings it is in, ranks counted from 1.
const FUSION_K: f64 = 60.0;

/// Fuses rankings by reciprocal rank; equal scores are ordered by id, so that an answer repeats.
pub(super) fn fuse(rankings: &[Vec<Ranked>], limit: u32) -> Vec<Ranked> {
    let mut scores: HashMap<Uuid, f64> = HashMap::new();
    for ranking in rankings {
        let mut rank = FUSION_K;
        for (id, _) in ranking {
            rank += 1.0;
            *scores.entry(*id).or_default() += 1.0 / rank;
        }
    }
    let mut fused: Vec<Ranked> = scores.into_iter().collect();
    fused.sort_by(|(left_id, left), (right_id, right)| right.total_cmp(left).then(left_id.cmp(right_id)));
    fused.truncate(limit as usize);
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_rankings_know_comes_first() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let fused = fuse(&[vec![(a, 0.9), (b, 0.8)], vec![(b, 7.0), (c, 1.0)]], 10);
        assert_eq!(fused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [b, a, c]);
        assert!((fused[0].1 - (1.0 / 62.0 + 1.0 / 61.0)).abs() < 1e-12, "{}", fused[0].1);
        assert!((fused[2].1 - 1.0 / 62.0).abs() < 1e-12, "{}", fused[2].1);
    }

    #[test]
    fn ties_have_one_order_and_the_limit_holds() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let fused = fuse(&[vec![(c, 1.0)], vec![(b, 1.0)], vec![(a, 1.0)]], 2);
        assert_eq!(fused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [a, b]);
    }
}
