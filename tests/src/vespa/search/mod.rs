//! `/search/`, as far as verification and comparison need it.
//!
//! Modelled are GET and POST; YQL with `select`, `from`, `where true`, `contains`, `in`, comparisons of numbers and
//! booleans, `and`, `or`, `!`, `userInput`, `nearestNeighbor`, `rank`, `order by` a number, `limit` and `offset`;
//! `hits` and `offset`; the rank profiles of the platform's packages; `totalCount` and `coverage`. String attributes
//! match as a whole and without regard to case. Everything else is refused: 400 where Vespa refuses it, 501 where it does
//! not, naming it.
//!
//! Not modelled: stemming and the other linguistics, `sources` of several clusters, grouping, summaries by name, what
//! Vespa embeds itself.

mod condition;
mod matching;
mod parameters;
mod profile;
mod ranking;
mod reply;
mod words;
mod yql;

use hyper::Method;

use super::cluster::Cluster;
use super::reply::{Refusal, Reply};
use super::schema::DocumentType;
use super::target::Target;
use matching::Corpus;
use parameters::QueryParameters;

/// Answers a query. With `degraded` only a part of the documents is looked at.
///
/// # Errors
/// 405 for another method, 501 for what is not modelled. What Vespa refuses is an answer in the form of a result.
pub fn search(
    cluster: &Cluster,
    method: &Method,
    target: &Target,
    body: &[u8],
    degraded: bool,
) -> Result<Reply, Refusal> {
    let parameters = match *method {
        Method::GET => QueryParameters::from_query(&target.parameters),
        Method::POST => QueryParameters::from_body(&target.parameters, body),
        _ => return Err(Refusal::handler(405, format!("{method} is not allowed at /search/"))),
    };
    match parameters.and_then(|parameters| answer(cluster, &parameters, degraded)) {
        Ok(reply) => Ok(reply),
        Err(QueryError::Refused(message)) => Ok(reply::error(&message)),
        Err(QueryError::NotModelled(what)) => Err(Refusal::not_modelled(&format!("{what} in a query"))),
    }
}

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QueryError {
    /// Vespa refuses it too.
    Refused(String),
    /// Vespa may answer it.
    NotModelled(String),
}

fn refused<T>(message: impl Into<String>) -> Result<T, QueryError> {
    Err(QueryError::Refused(message.into()))
}

fn not_modelled<T>(what: impl Into<String>) -> Result<T, QueryError> {
    Err(QueryError::NotModelled(what.into()))
}

fn answer(cluster: &Cluster, parameters: &QueryParameters, degraded: bool) -> Result<Reply, QueryError> {
    let query = yql::parse(&parameters.yql)?;
    let condition = condition::resolve(&query.condition, parameters)?;
    let types = searched_types(cluster, &query.sources)?;
    for document_type in &types {
        condition.check(document_type)?;
    }
    let profile = profile::find(&parameters.profile, cluster)?;
    profile.check_inputs(parameters, cluster.options.dimensions)?;
    parameters.check_names(&parameters.yql)?;
    let window = parameters.window(&query, cluster.options.max_hits)?;

    let store = cluster.store();
    let corpus = Corpus::new(&store, &types, degraded);
    let matched = condition.matches(&corpus, parameters)?;
    let mut hits = ranking::rank(&corpus, &matched, &profile, &condition, parameters)?;
    if let Some((field, descending)) = &query.order {
        ranking::order_by(&mut hits, &corpus, &types, field, *descending)?;
    }
    let total = hits.len();
    let window: Vec<_> = hits.into_iter().skip(window.start).take(window.len()).collect();
    reply::result(cluster, &corpus, &query.fields, total, &window, degraded)
}

/// The document types that are searched. Those that inherit from a named one are not.
fn searched_types<'a>(cluster: &'a Cluster, sources: &[String]) -> Result<Vec<&'a DocumentType>, QueryError> {
    if sources.is_empty() || sources.contains(&cluster.options.cluster) {
        return Ok(cluster.schemas.names().filter_map(|name| cluster.schemas.get(name)).collect());
    }
    let find = |source: &String| match cluster.schemas.get(source) {
        Some(document_type) => Ok(document_type),
        None => refused(format!("Could not resolve source ref '{source}'")),
    };
    sources.iter().map(find).collect()
}

#[cfg(test)]
mod tests;
