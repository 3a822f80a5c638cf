//! The query call: nearest dense or sparse vectors, compared one by one, and fusion of several by reciprocal rank.
//!
//! A point whose score is NaN comes first, as with the real server, which has no total order of scores either. Ties are
//! ordered by id here; the real server promises no order for them.

use std::cmp::Ordering;
use std::collections::HashMap;

use ::qdrant_client::qdrant::query::Variant;
use ::qdrant_client::qdrant::vector_input::Variant as Input;
use ::qdrant_client::qdrant::{
    BatchResult, DenseVector, Distance, Filter, Fusion, Modifier, PrefetchQuery, Query, QueryBatchPoints,
    QueryBatchResponse, QueryPoints, QueryResponse, Rrf, ScoredPoint, SearchParams, SparseVector,
};
use tonic::Status;

use super::filter::Predicate;
use super::journal::{Call, Method};
use super::reads::{Shown, read_filter};
use super::store::{Collection, Point, PointKey, Shared, Store, absent, limit};
use super::vectors::{
    StoredVector, as_stored, check_length, check_sparse, dense_params, no_such_vector, sparse_modifier,
};
use super::{Answer, not_modelled, wrong_input};

/// Ranks above how many share of a fused score, unless the query says otherwise.
const RRF_K: u32 = 2;

type Ranking = Vec<(PointKey, f32)>;

/// One level of a query.
struct Stage<'a> {
    collection: &'a Collection,
    /// Filters of this level and of all above, which apply as well.
    filters: Vec<Predicate>,
}

impl Stage<'_> {
    fn points(&self) -> impl Iterator<Item = (PointKey, &Point)> {
        self.collection.visible().filter(|(key, point)| self.filters.iter().all(|it| it.matches(*key, &point.payload)))
    }

    fn prefetched(&self, prefetch: PrefetchQuery) -> Result<Ranking, Status> {
        absent(prefetch.lookup_from.as_ref(), "lookup_from")?;
        absent(prefetch.score_threshold.as_ref(), "score_threshold")?;
        let mut filters = self.filters.clone();
        filters.extend(read_filter(self.collection, prefetch.filter)?);
        let stage = Stage { collection: self.collection, filters };
        let limit = limit(prefetch.limit, 10)?;
        stage.ranked(prefetch.prefetch, prefetch.query, prefetch.using.as_deref(), prefetch.params, limit)
    }

    fn ranked(
        &self,
        prefetch: Vec<PrefetchQuery>,
        query: Option<Query>,
        using: Option<&str>,
        params: Option<SearchParams>,
        limit: usize,
    ) -> Result<Ranking, Status> {
        let fused = !prefetch.is_empty();
        let rankings: Vec<Ranking> =
            prefetch.into_iter().map(|prefetch| self.prefetched(prefetch)).collect::<Result<_, _>>()?;
        let mut ranking = match (query.and_then(|query| query.variant), fused) {
            (Some(Variant::Fusion(fusion)), true) if fusion == Fusion::Rrf as i32 => fuse(&rankings, RRF_K)?,
            (Some(Variant::Rrf(Rrf { k, weights })), true) if weights.is_empty() => {
                fuse(&rankings, k.unwrap_or(RRF_K))?
            }
            (Some(Variant::Fusion(_) | Variant::Rrf(_)), false) => {
                return Err(wrong_input("cannot apply Fusion without prefetches"));
            }
            (None, true) => return Err(wrong_input("cannot have prefetches without a query")),
            (Some(Variant::Nearest(nearest)), false) => {
                let name = using.unwrap_or_default();
                let params = params.unwrap_or_default();
                if params.indexed_only.is_some() || params.acorn.is_some() {
                    return Err(not_modelled("indexed_only and acorn"));
                }
                match nearest.variant {
                    Some(Input::Dense(dense)) => self.nearest_dense(name, &dense)?,
                    Some(Input::Sparse(sparse)) => {
                        let corpus = params.idf.and_then(|idf| idf.corpus);
                        self.nearest_sparse(name, &sparse, read_filter(self.collection, corpus)?.as_ref())?
                    }
                    _ => return Err(not_modelled("queries by id, multivector or inference")),
                }
            }
            _ => return Err(not_modelled("queries other than nearest and reciprocal rank fusion")),
        };
        ranking.truncate(limit);
        Ok(ranking)
    }

    fn nearest_dense(&self, name: &str, query: &DenseVector) -> Result<Ranking, Status> {
        let params = dense_params(&self.collection.config, name).ok_or_else(|| no_such_vector(name))?;
        check_length(&query.data, params)?;
        let distance = params.distance();
        let query = as_stored(&query.data, distance);
        let scored = self.points().filter_map(|(key, point)| match point.vectors.get(name) {
            Some(StoredVector::Dense(values)) => Some((key, score(distance, &query, values))),
            _ => None,
        });
        let small_is_near = matches!(distance, Distance::Euclid | Distance::Manhattan);
        Ok(sorted(scored.collect(), small_is_near))
    }

    /// Weights by IDF are computed over the whole collection, or over the corpus that the query names.
    fn nearest_sparse(&self, name: &str, query: &SparseVector, corpus: Option<&Predicate>) -> Result<Ranking, Status> {
        let modifier = sparse_modifier(&self.collection.config, name).ok_or_else(|| no_such_vector(name))?;
        check_sparse(query)?;
        let mut weights: HashMap<u32, f32> = query.indices.iter().copied().zip(query.values.iter().copied()).collect();
        if modifier == Modifier::Idf {
            let (mut documents, mut having) = (0.0_f32, HashMap::<u32, f32>::new());
            for (key, point) in self.collection.visible() {
                if let Some(StoredVector::Sparse(sparse)) = point.vectors.get(name)
                    && corpus.is_none_or(|corpus| corpus.matches(key, &point.payload))
                {
                    documents += 1.0;
                    for index in sparse.indices.iter().filter(|index| weights.contains_key(index)) {
                        *having.entry(*index).or_default() += 1.0;
                    }
                }
            }
            for (index, weight) in &mut weights {
                let having = having.get(index).copied().unwrap_or_default();
                *weight *= ((documents - having + 0.5) / (having + 0.5) + 1.0).ln();
            }
        }
        let scored = self.points().filter_map(|(key, point)| {
            let Some(StoredVector::Sparse(sparse)) = point.vectors.get(name) else { return None };
            let products = sparse.indices.iter().zip(&sparse.values);
            let products = products.filter_map(|(index, value)| weights.get(index).map(|weight| weight * value));
            products.reduce(|sum, product| sum + product).map(|score| (key, score))
        });
        Ok(sorted(scored.collect(), false))
    }
}

fn score(distance: Distance, query: &[f32], values: &[f32]) -> f32 {
    let pairs = query.iter().zip(values);
    match distance {
        Distance::Euclid => pairs.map(|(left, right)| (left - right).powi(2)).sum::<f32>().sqrt(),
        Distance::Manhattan => pairs.map(|(left, right)| (left - right).abs()).sum(),
        Distance::Cosine | Distance::Dot | Distance::UnknownDistance => pairs.map(|(left, right)| left * right).sum(),
    }
}

fn sorted(mut ranking: Ranking, small_is_near: bool) -> Ranking {
    ranking.sort_by(|(left_key, left), (right_key, right)| {
        let by_score = match (left.is_nan(), right.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) if small_is_near => left.total_cmp(right),
            (false, false) => right.total_cmp(left),
        };
        by_score.then_with(|| left_key.cmp(right_key))
    });
    ranking
}

/// A point gets the sum of `1 / (rank + k)` over all rankings it is in; ranks count from 0.
fn fuse(rankings: &[Ranking], k: u32) -> Result<Ranking, Status> {
    if k == 0 {
        return Err(not_modelled("a k of 0"));
    }
    let mut scores: HashMap<PointKey, f32> = HashMap::new();
    for ranking in rankings {
        for (rank, (key, _)) in ranking.iter().enumerate() {
            // Scores are as coarse as this in the real server too.
            #[allow(clippy::cast_precision_loss)]
            let position = rank as f32 + k as f32;
            *scores.entry(*key).or_default() += 1.0 / position;
        }
    }
    Ok(sorted(scores.into_iter().collect(), false))
}

fn run(store: &mut Store, request: QueryPoints) -> Result<Vec<ScoredPoint>, Status> {
    absent(request.lookup_from.as_ref(), "lookup_from")?;
    absent(request.shard_key_selector.as_ref(), "custom sharding")?;
    absent(request.score_threshold.as_ref(), "score_threshold")?;
    let collection = &*store.collection(&request.collection_name)?;
    let limit = limit(request.limit, 10)?;
    collection.check_query_limit(limit)?;
    let offset = usize::try_from(request.offset.unwrap_or_default()).map_err(wrong_input)?;
    let shown = Shown::new(request.with_payload, request.with_vectors)?;
    let stage = Stage { collection, filters: read_filter(collection, request.filter)?.into_iter().collect() };
    let wanted = limit.saturating_add(offset);
    let ranking = stage.ranked(request.prefetch, request.query, request.using.as_deref(), request.params, wanted)?;
    let hits = ranking.into_iter().skip(offset).filter_map(|(key, score)| {
        let point = collection.points.get(&key)?;
        let (payload, vectors) = shown.of(point);
        let version = point.version;
        Some(ScoredPoint { id: Some(key.into()), payload, score, version, vectors, ..ScoredPoint::default() })
    });
    Ok(hits.collect())
}

fn filters(query: &QueryPoints) -> Vec<Filter> {
    fn of_prefetches(prefetches: &[PrefetchQuery], filters: &mut Vec<Filter>) {
        for prefetch in prefetches {
            filters.extend(prefetch.filter.clone());
            of_prefetches(&prefetch.prefetch, filters);
        }
    }
    let mut filters: Vec<Filter> = query.filter.iter().cloned().collect();
    of_prefetches(&query.prefetch, &mut filters);
    filters
}

impl Shared {
    pub(super) async fn query(&self, request: QueryPoints) -> Answer<QueryResponse> {
        let call = Call { filters: filters(&request), ..Call::new(Method::Query, &request.collection_name) };
        self.answer(call, |store, _| Ok(QueryResponse { result: run(store, request)?, ..QueryResponse::default() }))
            .await
    }

    pub(super) async fn query_batch(&self, request: QueryBatchPoints) -> Answer<QueryBatchResponse> {
        let filters = request.query_points.iter().flat_map(filters).collect();
        let call = Call { filters, ..Call::new(Method::QueryBatch, &request.collection_name) };
        self.answer(call, |store, _| {
            let one = |query: QueryPoints| {
                let query = QueryPoints { collection_name: request.collection_name.clone(), ..query };
                run(store, query).map(|result| BatchResult { result })
            };
            let result = request.query_points.into_iter().map(one).collect::<Result<_, _>>()?;
            Ok(QueryBatchResponse { result, ..QueryBatchResponse::default() })
        })
        .await
    }
}
