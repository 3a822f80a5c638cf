//! Search within the scope: nearest dense vectors, BM25 over the sparse ones, and both fused by reciprocal rank.
//!
//! Fused here and not by the server, whose ranks begin elsewhere, so that a ranking compares with that of another
//! destination. How rare a word is, the server counts over the whole collection, the points of other tenants included.

use std::collections::HashMap;

use qdrant_client::qdrant::query::Variant;
use qdrant_client::qdrant::vector_input::Variant as Input;
use qdrant_client::qdrant::{self, QueryPoints, ScoredPoint, VectorInput};
use uuid::Uuid;

use super::config::Distance;
use super::filter::of_scope;
use super::payload::Stored;
use super::point::check_direction;
use super::schema::{METADATA, TEXT};
use super::service::Qdrant;
use crate::destinations::fusion::{MIN_CANDIDATES, fuse};
use crate::destinations::validate::validate_sparse;
use crate::destinations::{EntityRef, Hit, Query, SearchMode};
use crate::error::{Error, ErrorKind, Result};

/// Most hits one search answers with.
const MAX_LIMIT: u32 = 1_000;

impl Qdrant {
    /// Answers `query`.
    pub(super) async fn find(&self, query: &Query) -> Result<Vec<Hit>> {
        self.check_query(query)?;
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        match query.mode {
            SearchMode::Dense => self.by_meaning(query, query.limit).await,
            SearchMode::Sparse => self.by_words(query, query.limit).await,
            SearchMode::Hybrid => {
                let candidates = query.limit.max(MIN_CANDIDATES);
                let (by_meaning, by_words) =
                    tokio::try_join!(self.by_meaning(query, candidates), self.by_words(query, candidates))?;
                Ok(self.fuse([by_meaning, by_words], query.limit))
            }
        }
    }

    async fn by_meaning(&self, query: &Query, limit: u32) -> Result<Vec<Hit>> {
        let input = Input::Dense(query.dense.clone().into());
        self.nearest(input, &self.settings.dense, limit, |score| self.settings.distance.score(score)).await
    }

    async fn by_words(&self, query: &Query, limit: u32) -> Result<Vec<Hit>> {
        if query.sparse.indices.is_empty() {
            return Ok(Vec::new());
        }
        let (values, indices) = (query.sparse.values.clone(), query.sparse.indices.clone());
        let input = Input::Sparse(qdrant::SparseVector { values, indices });
        self.nearest(input, &self.settings.sparse, limit, f64::from).await
    }

    async fn nearest(&self, input: Input, using: &str, limit: u32, score: impl Fn(f32) -> f64) -> Result<Vec<Hit>> {
        let nearest = Variant::Nearest(VectorInput { variant: Some(input) });
        let request = QueryPoints {
            collection_name: self.settings.collection().to_owned(),
            query: Some(qdrant::Query { variant: Some(nearest) }),
            using: (!using.is_empty()).then(|| using.to_owned()),
            filter: Some(of_scope(&self.scope)),
            limit: Some(u64::from(limit)),
            with_payload: Some(vec![TEXT, METADATA].into()),
            with_vectors: Some(false.into()),
            ..QueryPoints::default()
        };
        let hits = self.wire.query(request).await?;
        hits.iter().map(|point| hit(point, &score)).collect()
    }

    fn fuse(&self, rankings: [Vec<Hit>; 2], limit: u32) -> Vec<Hit> {
        let id = |hit: &Hit| hit.entity.point_id(self.scope.sync_id, hit.index);
        let ranked = rankings.each_ref().map(|hits| hits.iter().map(|hit| (id(hit), hit.score)).collect());
        let mut hits: HashMap<Uuid, Hit> = rankings.into_iter().flatten().map(|hit| (id(&hit), hit)).collect();
        let fused = fuse(&ranked, limit).into_iter();
        fused.filter_map(|(id, score)| hits.remove(&id).map(|hit| Hit { score, ..hit })).collect()
    }

    fn check_query(&self, query: &Query) -> Result<()> {
        let invalid =
            |problem: String| Err(Error::new(ErrorKind::InvalidInput, format!("the search is invalid: {problem}")));
        if query.limit > MAX_LIMIT {
            return invalid(format!("limit is {}, at most {MAX_LIMIT}", query.limit));
        }
        if query.mode != SearchMode::Sparse {
            let dimensions = self.settings.dimensions;
            if u32::try_from(query.dense.len()) != Ok(dimensions) {
                return invalid(format!("dense has {} values instead of {dimensions}", query.dense.len()));
            }
            if let Some(at) = query.dense.iter().position(|value| !value.is_finite()) {
                return invalid(format!("value {at} of dense is not finite"));
            }
            if let (Distance::Cosine, Err(problem)) = (self.settings.distance, check_direction(&query.dense)) {
                return invalid(problem);
            }
        }
        if query.mode != SearchMode::Dense
            && let Err(problem) = validate_sparse(&query.sparse)
        {
            return invalid(problem);
        }
        Ok(())
    }
}

fn hit(point: &ScoredPoint, score: impl Fn(f32) -> f64) -> Result<Hit> {
    let stored = Stored::new(point.id.as_ref(), &point.payload);
    let (entity, text) = (EntityRef(stored.entity()?.to_owned()), stored.text()?.to_owned());
    Ok(Hit { entity, index: stored.index()?, text, score: score(point.score) })
}
