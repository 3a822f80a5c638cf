//! Search in SQL: nearest dense vectors, BM25 over the sparse ones, and both fused by reciprocal rank.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use super::classify::classify;
use super::config::PgvectorSettings;
use super::schema::Table;
use crate::destinations::fusion::{MIN_CANDIDATES, Ranked, fuse};
use crate::destinations::validate::validate_sparse;
use crate::destinations::{EntityRef, Hit, Query, Scope, SearchMode};
use crate::error::{Error, ErrorKind, Result};

/// Most hits one search answers with.
const MAX_LIMIT: u32 = 1_000;

/// The statements of a search. `$1` organisation, `$2` sync, `$4` or `$5` how many.
#[derive(Debug, Clone)]
pub(super) struct SearchStatements {
    dense: Arc<str>,
    sparse: Arc<str>,
    fetch: Arc<str>,
}

impl SearchStatements {
    pub(super) fn new(table: &Table, settings: &PgvectorSettings) -> Self {
        let name = table.qualified();
        let (operator, dense) = (settings.distance.operator(), settings.dense_type());
        Self {
            dense: format!(
                "SELECT point_id, dense {operator} $3::real[]::{dense} AS distance FROM {name} \
                 WHERE organization_id = $1 AND sync_id = $2 ORDER BY dense {operator} $3::real[]::{dense} LIMIT $4"
            )
            .into(),
            // Weights already hold term frequency and length; the rarity of a token is known only here. With N points
            // of which df have the token, idf = ln((N - df + 0.5) / (df + 0.5) + 1), as Qdrant's IDF modifier has it.
            // Every point that has a token of the query is matched, so df is exact.
            sparse: format!(
                "WITH query AS (SELECT * FROM unnest($3::bigint[], $4::real[]) AS q (token, weight)), \
                 posting AS (SELECT t.point_id, s.token, s.weight FROM {name} t \
                 CROSS JOIN LATERAL unnest(t.sparse_indices, t.sparse_values) AS s (token, weight) \
                 WHERE t.organization_id = $1 AND t.sync_id = $2 AND t.sparse_indices && $3::bigint[] \
                 AND s.token = ANY ($3::bigint[])), \
                 total AS (SELECT count(*)::float8 AS points FROM {name} WHERE organization_id = $1 AND sync_id = $2), \
                 rarity AS (SELECT p.token, ln((total.points - count(*) + 0.5) / (count(*) + 0.5) + 1) AS idf \
                 FROM posting p CROSS JOIN total GROUP BY p.token, total.points) \
                 SELECT p.point_id, sum(p.weight::float8 * query.weight::float8 * rarity.idf) AS score FROM posting p \
                 JOIN query USING (token) JOIN rarity USING (token) GROUP BY p.point_id \
                 ORDER BY score DESC, p.point_id LIMIT $5"
            )
            .into(),
            fetch: format!(
                "SELECT point_id, entity_id, chunk_index, text FROM {name} \
                 WHERE organization_id = $1 AND sync_id = $2 AND point_id = ANY ($3)"
            )
            .into(),
        }
    }
}

/// Answers `query`. Everything is read from one snapshot.
pub(super) async fn search(
    connection: &mut PgConnection,
    statements: &SearchStatements,
    settings: &PgvectorSettings,
    scope: &Scope,
    query: &Query,
) -> Result<Vec<Hit>> {
    check(query, settings)?;
    if query.limit == 0 {
        return Ok(Vec::new());
    }
    let failed = |error| classify("search", error);
    let mut transaction =
        connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
    let ranked = match query.mode {
        SearchMode::Dense => dense(&mut transaction, statements, settings, scope, query, query.limit).await?,
        SearchMode::Sparse => sparse(&mut transaction, statements, scope, query, query.limit).await?,
        SearchMode::Hybrid => {
            let candidates = query.limit.max(MIN_CANDIDATES);
            let by_meaning = dense(&mut transaction, statements, settings, scope, query, candidates).await?;
            let by_words = sparse(&mut transaction, statements, scope, query, candidates).await?;
            fuse(&[by_meaning, by_words], query.limit)
        }
    };
    let ids: Vec<Uuid> = ranked.iter().map(|(id, _)| *id).collect();
    let rows: Vec<(Uuid, String, i32, String)> = sqlx::query_as(AssertSqlSafe(statements.fetch.clone()))
        .bind(scope.organization_id)
        .bind(scope.sync_id)
        .bind(ids)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.rollback().await.map_err(failed)?;
    let mut found: HashMap<Uuid, (String, i32, String)> =
        rows.into_iter().map(|(id, entity, index, text)| (id, (entity, index, text))).collect();
    let hits = ranked.into_iter().filter_map(|(id, score)| {
        let (entity, index, text) = found.remove(&id)?;
        // A CHECK of the table keeps the index from being negative.
        Some(Hit { entity: EntityRef(entity), index: index.unsigned_abs(), text, score })
    });
    Ok(hits.collect())
}

fn check(query: &Query, settings: &PgvectorSettings) -> Result<()> {
    let invalid =
        |problem: String| Err(Error::new(ErrorKind::InvalidInput, format!("the search is invalid: {problem}")));
    if query.limit > MAX_LIMIT {
        return invalid(format!("limit is {}, at most {MAX_LIMIT}", query.limit));
    }
    if query.mode != SearchMode::Sparse {
        if query.dense.len() != settings.dimensions as usize {
            return invalid(format!("dense has {} values instead of {}", query.dense.len(), settings.dimensions));
        }
        if let Some(at) = query.dense.iter().position(|value| !value.is_finite() || !settings.holds(*value)) {
            return invalid(format!("value {at} of dense is not finite or overflows the vector type"));
        }
    }
    if query.mode != SearchMode::Dense
        && let Err(problem) = validate_sparse(&query.sparse)
    {
        return invalid(problem);
    }
    Ok(())
}

async fn dense(
    connection: &mut PgConnection,
    statements: &SearchStatements,
    settings: &PgvectorSettings,
    scope: &Scope,
    query: &Query,
    limit: u32,
) -> Result<Vec<Ranked>> {
    let failed = |error| classify("search by dense vector", error);
    if settings.hnsw.is_some() {
        // The index is walked on until enough rows pass the filter; `ef_search` is at most 1000.
        let width = limit.clamp(MIN_CANDIDATES, 1_000);
        let walk = format!("SET LOCAL hnsw.ef_search = {width}; SET LOCAL hnsw.iterative_scan = strict_order");
        connection.execute(AssertSqlSafe(walk)).await.map_err(failed)?;
    }
    let rows: Vec<(Uuid, f64)> = sqlx::query_as(AssertSqlSafe(statements.dense.clone()))
        .bind(scope.organization_id)
        .bind(scope.sync_id)
        .bind(&query.dense)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    // The cosine with a vector of zeros is not a number: such a point is near to nothing.
    let comparable = rows.into_iter().filter(|(_, distance)| !distance.is_nan());
    Ok(comparable.map(|(id, distance)| (id, settings.distance.score(distance))).collect())
}

async fn sparse(
    connection: &mut PgConnection,
    statements: &SearchStatements,
    scope: &Scope,
    query: &Query,
    limit: u32,
) -> Result<Vec<Ranked>> {
    if query.sparse.indices.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error| classify("search by words", error);
    // The planner takes comparing arrays for as cheap as comparing numbers, and would compare every row's. The index
    // knows the matching rows; where there is none yet, the table is read nevertheless.
    connection.execute("SET LOCAL enable_seqscan = off").await.map_err(failed)?;
    let tokens: Vec<i64> = query.sparse.indices.iter().copied().map(i64::from).collect();
    sqlx::query_as(AssertSqlSafe(statements.sparse.clone()))
        .bind(scope.organization_id)
        .bind(scope.sync_id)
        .bind(tokens)
        .bind(&query.sparse.values)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await
        .map_err(failed)
}
