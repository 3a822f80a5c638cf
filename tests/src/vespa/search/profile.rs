//! Rank profiles of the platform's packages, by name.

use super::parameters::{Input, QueryParameters};
use super::{QueryError, not_modelled, refused};
use crate::vespa::cluster::Cluster;
use crate::vespa::options::KeywordScore;
use crate::vespa::schema::Generation;

/// How hits are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) phase: Phase,
    pub(super) keyword: KeywordScore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not at all.
    Unranked,
    Keyword,
    Semantic,
    /// By reciprocal rank of both, for the best of their sum.
    Hybrid,
}

/// Finds a profile.
pub(super) fn find(name: &str, cluster: &Cluster) -> Result<Profile, QueryError> {
    let phase = match (name, cluster.options.generation) {
        ("unranked" | "default", _) => Phase::Unranked,
        ("hybrid-rrf", _) | ("hybrid", Generation::Chunks) => Phase::Hybrid,
        ("keyword", _) | ("keyword-only", Generation::Chunks) => Phase::Keyword,
        ("semantic" | "semantic-only", Generation::Chunks) => Phase::Semantic,
        _ => return refused(format!("schema[] does not contain requested rank profile '{name}'")),
    };
    Ok(Profile { phase, keyword: cluster.options.keyword_score })
}

impl Profile {
    /// Refuses tensors that the profiles do not declare, or of the wrong size.
    pub(super) fn check_inputs(self, parameters: &QueryParameters, dimensions: u32) -> Result<(), QueryError> {
        for name in parameters.input_names() {
            match (name, parameters.input(name)) {
                ("q0" | "query_embedding", Some(Input::Dense(values))) => {
                    if u32::try_from(values.len()) != Ok(dimensions) {
                        let size = values.len();
                        return refused(format!(
                            "Could not set 'query({name})': Expected {dimensions} values, but got {size}"
                        ));
                    }
                }
                ("q_sparse", Some(Input::Sparse(_))) if self.keyword == KeywordScore::SparseTensor => {}
                _ => return not_modelled(format!("query({name}), which no rank profile declares")),
            }
        }
        Ok(())
    }
}
