//! Searches, as readers of the deployed application make them: the same operators, ranked by its own rank profiles.
//!
//! Where chunks are documents, candidates are the nearest dense tensors and, by words, what `userInput` finds; a question
//! without words makes every document of the scope a candidate, to be ranked by its sparse tensor. Where Vespa embeds, it
//! embeds the words of the question too.

use serde_json::{Map, Value, json};

use super::config::{Grain, Shape};
use super::document_id::DocumentId;
use super::query::{FoundHit, MAX_HITS};
use super::service::Vespa;
use crate::destinations::validate::validate_sparse;
use crate::destinations::{EntityRef, Hit, Query, SearchMode, SparseVector};
use crate::error::{Error, ErrorKind, Result};

/// Candidates that each operator gives at least, for the rank profile to choose from.
const MIN_CANDIDATES: u32 = 400;

/// The tensor of chunks, and the inputs of the rank profile, where Vespa embeds. Embedder: `nomicmb`.
const CHUNK_EMBEDDINGS: &str = "chunk_small_embeddings";
const EMBEDDED_INPUTS: [&str; 2] = ["embedding", "float_embedding"];

/// A query but for the scope and the number of hits.
#[derive(Debug, PartialEq)]
struct Asked {
    candidates: String,
    parameters: Map<String, Value>,
    /// Documents that the rank profile gives nothing are no hits: all of the scope were candidates.
    only_ranked: bool,
}

impl Vespa {
    /// The best documents for a query.
    pub(super) async fn search_documents(&self, query: &Query) -> Result<Vec<Hit>> {
        check(query, self.settings.dimensions, self.settings.shape.grain())?;
        let asked = self.asked(query)?;
        let Some(asked) = asked.filter(|_| query.limit > 0) else { return Ok(Vec::new()) };
        let names = self.settings.shape.names();
        let mut fields = vec!["documentid", &names.entity_id, &names.text];
        fields.extend(names.chunk_index.as_deref());
        let yql = format!(
            "select {} from sources {} where {} and ({})",
            fields.join(", "),
            self.settings.shape.document_types().join(", "),
            self.scope_in_yql(),
            asked.candidates
        );
        // Documents of another namespace are another slot's: a query cannot leave them out, so more are asked for.
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut wanted = query.limit;
        loop {
            let found = self.query("search", &yql, wanted, asked.parameters.clone()).await?;
            if !found.is_full {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "Vespa could not search all documents: some content nodes are away or late",
                ));
            }
            let is_all = found.hits.len() < usize::try_from(wanted).unwrap_or(usize::MAX);
            let hits: Vec<Hit> = found
                .hits
                .iter()
                .filter(|hit| !asked.only_ranked || hit.relevance > 0.0)
                .filter_map(|hit| self.read_hit(hit))
                .take(limit)
                .collect();
            if hits.len() == limit || is_all || wanted == MAX_HITS {
                return Ok(hits);
            }
            wanted = wanted.saturating_mul(2).min(MAX_HITS);
        }
    }

    /// A hit, unless it is another slot's.
    fn read_hit(&self, hit: &FoundHit) -> Option<Hit> {
        let names = self.settings.shape.names();
        let id = DocumentId::parse(hit.text("documentid")?)?;
        (id.namespace() == self.settings.namespace).then_some(())?;
        Some(Hit {
            entity: EntityRef(hit.text(&names.entity_id)?.to_owned()),
            index: names.chunk_index.as_ref().map_or(Some(0), |index| hit.number(index))?,
            // An empty text is not stored.
            text: hit.text(&names.text).unwrap_or_default().to_owned(),
            score: hit.relevance,
        })
    }

    /// What is asked, or `None` when nothing can be found.
    fn asked(&self, query: &Query) -> Result<Option<Asked>> {
        let ranks = &self.settings.ranks;
        let profile = match query.mode {
            SearchMode::Dense => &ranks.semantic,
            SearchMode::Sparse => &ranks.keyword,
            SearchMode::Hybrid => &ranks.hybrid,
        };
        if profile.is_empty() {
            return Err(invalid("the profile names no rank profile for it; set profile.vespa.rank_profiles"));
        }
        let target = query.limit.max(MIN_CANDIDATES);
        let mut parameters = Map::from_iter([("ranking.profile".to_owned(), Value::from(profile.as_str()))]);
        let nearest =
            if query.mode == SearchMode::Sparse { None } else { Some(self.nearest(query, target, &mut parameters)?) };
        if query.mode == SearchMode::Dense {
            return Ok(nearest.map(|candidates| Asked { candidates, parameters, only_ranked: false }));
        }
        let scores_sparse = !ranks.sparse_input.is_empty();
        if scores_sparse {
            parameters.insert(format!("input.query({})", ranks.sparse_input), sparse_tensor(&query.sparse));
        }
        let (by_words, only_ranked) = if !query.text.trim().is_empty() {
            parameters.insert("words".to_owned(), query.text.as_str().into());
            (format!("{{targetHits:{target}}}userInput(@words)"), false)
        } else if !scores_sparse {
            return Err(invalid("it has no words, and the rank profiles score nothing else"));
        } else if query.mode == SearchMode::Sparse && query.sparse.indices.is_empty() {
            return Ok(None);
        } else {
            ("true".to_owned(), query.mode == SearchMode::Sparse)
        };
        let candidates = match nearest {
            Some(nearest) => format!("({nearest}) or ({by_words})"),
            None => by_words,
        };
        Ok(Some(Asked { candidates, parameters, only_ranked }))
    }

    /// The operator for what is near, with its parameters.
    fn nearest(&self, query: &Query, target: u32, parameters: &mut Map<String, Value>) -> Result<String> {
        if let Some(dense) = &self.settings.shape.names().dense {
            parameters.insert("input.query(q0)".to_owned(), json!({"values": query.dense}));
            return Ok(format!("{{targetHits:{target}}}nearestNeighbor({dense}, q0)"));
        }
        if let Shape::Custom(_) = self.settings.shape {
            return Err(invalid("a mapping with a document per entity does not say how Vespa embeds"));
        }
        if query.text.trim().is_empty() {
            return Err(invalid("it has no words, which Vespa would embed"));
        }
        parameters.insert("words".to_owned(), query.text.as_str().into());
        for input in EMBEDDED_INPUTS {
            parameters.insert(format!("input.query({input})"), "embed(nomicmb, @words)".into());
        }
        Ok(format!("{{targetHits:{target}}}nearestNeighbor({CHUNK_EMBEDDINGS}, {})", EMBEDDED_INPUTS[0]))
    }
}

fn sparse_tensor(sparse: &SparseVector) -> Value {
    let cells =
        sparse.indices.iter().zip(&sparse.values).map(|(token, value)| (token.to_string(), Value::from(*value)));
    json!({ "cells": Map::from_iter(cells) })
}

fn check(query: &Query, dimensions: u32, grain: Grain) -> Result<()> {
    if query.limit > MAX_HITS {
        return Err(invalid(&format!("limit is {}, at most {MAX_HITS}", query.limit)));
    }
    if query.mode != SearchMode::Sparse && grain == Grain::Chunk {
        if u32::try_from(query.dense.len()) != Ok(dimensions) {
            return Err(invalid(&format!("dense has {} values instead of {dimensions}", query.dense.len())));
        }
        if let Some(at) = query.dense.iter().position(|value| !value.is_finite()) {
            return Err(invalid(&format!("value {at} of dense is not finite")));
        }
    }
    match query.mode {
        SearchMode::Dense => Ok(()),
        SearchMode::Sparse | SearchMode::Hybrid => validate_sparse(&query.sparse).map_err(|problem| invalid(&problem)),
    }
}

fn invalid(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the search is invalid: {problem}"))
}

#[cfg(test)]
mod tests {
    use proto::v1::VespaLayout;
    use proto::v1::vespa_layout::{Documents, Package};
    use rstest::rstest;
    use uuid::Uuid;

    use super::*;
    use crate::destinations::Scope;
    use crate::destinations::vespa::{VespaCredentials, VespaEndpoint, VespaSettings};

    fn vespa(documents: Documents, package: Package) -> Vespa {
        let layout = VespaLayout { documents: documents.into(), package: package.into(), ..VespaLayout::default() };
        let settings = VespaSettings::from_layout(&layout, 2).unwrap();
        let [organization_id, collection_id, sync_id, slot_id] = [Uuid::nil(); 4];
        let scope = Scope { organization_id, collection_id, sync_id, slot_id };
        let endpoint = VespaEndpoint::new(&"http://vespa:8081".into(), VespaCredentials::None).unwrap();
        Vespa::connect(&endpoint, scope, settings).unwrap()
    }

    fn query(mode: SearchMode, text: &str) -> Query {
        let sparse = SparseVector { indices: vec![7, 9], values: vec![1.0, 0.5] };
        Query { text: text.into(), dense: vec![0.5, 1.0], sparse, mode, limit: 10 }
    }

    const NEAR: &str = "{targetHits:400}nearestNeighbor(dense_embedding, q0)";
    const WORDS: &str = "{targetHits:400}userInput(@words)";

    #[test]
    fn chunks_by_nearness_by_words_and_by_both() {
        let vespa = vespa(Documents::Chunk, Package::Current);
        let dense = vespa.asked(&query(SearchMode::Dense, "w")).unwrap().unwrap();
        assert_eq!(dense.candidates, NEAR);
        assert_eq!(
            Value::Object(dense.parameters),
            json!({"ranking.profile": "semantic", "input.query(q0)": {"values": [0.5, 1.0]}})
        );
        let sparse = vespa.asked(&query(SearchMode::Sparse, "w")).unwrap().unwrap();
        assert_eq!((sparse.candidates.as_str(), sparse.only_ranked), (WORDS, false));
        assert_eq!(
            Value::Object(sparse.parameters),
            json!({"ranking.profile": "keyword", "words": "w", "input.query(q_sparse)": {"cells": {"7": 1.0, "9": 0.5}}})
        );
        let hybrid = vespa.asked(&query(SearchMode::Hybrid, "w")).unwrap().unwrap();
        assert_eq!(hybrid.candidates, format!("({NEAR}) or ({WORDS})"));
        let wordless = vespa.asked(&query(SearchMode::Sparse, " ")).unwrap().unwrap();
        assert_eq!((wordless.candidates.as_str(), wordless.only_ranked), ("true", true));
    }

    #[test]
    fn january_scores_words_only() {
        let vespa = vespa(Documents::Chunk, Package::January2026);
        let sparse = vespa.asked(&query(SearchMode::Sparse, "w")).unwrap().unwrap();
        assert_eq!(Value::Object(sparse.parameters), json!({"ranking.profile": "keyword-only", "words": "w"}));
        assert_eq!(vespa.asked(&query(SearchMode::Sparse, "")).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn where_vespa_embeds_it_embeds_the_question() {
        let vespa = vespa(Documents::RawEntity, Package::Unspecified);
        let hybrid = vespa.asked(&query(SearchMode::Hybrid, "w")).unwrap().unwrap();
        assert_eq!(
            hybrid.candidates,
            format!("({{targetHits:400}}nearestNeighbor(chunk_small_embeddings, embedding)) or ({WORDS})")
        );
        assert_eq!(hybrid.parameters["input.query(float_embedding)"], "embed(nomicmb, @words)");
        assert_eq!(vespa.asked(&query(SearchMode::Dense, "")).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[rstest]
    #[case(Query { limit: 401, ..query(SearchMode::Dense, "") }, "at most 400")]
    #[case(Query { dense: vec![1.0], ..query(SearchMode::Dense, "") }, "1 values instead of 2")]
    #[case(Query { dense: vec![1.0, f32::NAN], ..query(SearchMode::Hybrid, "") }, "not finite")]
    #[case(Query { sparse: SparseVector { indices: vec![1], values: vec![] }, ..query(SearchMode::Sparse, "") }, "0 values")]
    fn an_unfit_query_is_named(#[case] query: Query, #[case] words: &str) {
        let error = check(&query, 2, Grain::Chunk).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.message().contains(words), "{error}");
    }
}
