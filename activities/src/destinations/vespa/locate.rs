//! Finds the documents of entities.
//!
//! Ids of documents hold the class, which nobody tells here, so they are asked for: by query, and where an answer is not
//! exact, by a visit, which is, but walks over the whole cluster.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::config::FieldNames;
use super::document_id::DocumentId;
use super::query::{Found, MAX_HITS, quote};
use super::sanitise::is_legal;
use super::selection;
use super::service::Vespa;
use super::visit::Visited;
use crate::destinations::EntityRef;
use crate::error::Result;

/// Entities one query asks for. Most have a few chunks, so that the hits of one query suffice.
const QUERY_ENTITIES: usize = 100;

/// Entities one selection asks for: the path of a request is limited.
const SELECTION_BYTES: usize = 8_000;

/// A document of an entity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Located {
    pub(super) entity_id: String,
    /// Position of the chunk; 0 where entities are documents.
    pub(super) index: Option<u32>,
    pub(super) id: DocumentId,
}

impl Vespa {
    /// All documents of these entities in the scope, each once.
    pub(super) async fn locate(&self, entities: &[EntityRef]) -> Result<BTreeSet<Located>> {
        // What holds a character that Vespa does not take cannot be there.
        let ids: BTreeSet<&str> =
            entities.iter().map(|it| it.0.as_str()).filter(|id| id.chars().all(is_legal)).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut located = BTreeSet::new();
        for ids in ids.chunks(QUERY_ENTITIES) {
            // Parts whose hits are more than a query gives are halved until the entity is alone.
            let mut parts = vec![ids];
            while let Some(part) = parts.pop() {
                let found = self.ask(part, None).await?;
                if found.is_full && is_complete(&found) {
                    located.extend(self.read_hits(&found, part));
                } else if found.is_full && part.len() > 1 {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right, left]);
                } else if !(found.is_full && self.page_through(part, &mut located).await?) {
                    self.visit_entities(part, &mut located).await?;
                }
            }
        }
        Ok(located)
    }

    fn names(&self) -> &FieldNames {
        self.settings.shape.names()
    }

    async fn ask(&self, ids: &[&str], from: Option<u32>) -> Result<Found> {
        let names = self.names();
        let mut fields = vec!["documentid", &names.entity_id];
        let mut tail = String::new();
        if let Some(index) = &names.chunk_index {
            fields.push(index);
            if let Some(from) = from {
                tail = format!(" and {index} >= {from} order by {index} asc");
            }
        }
        let ids: Vec<String> = ids.iter().map(|id| quote(id)).collect();
        let yql = format!(
            "select {} from sources {} where {} and {} in ({}){tail}",
            fields.join(", "),
            self.settings.shape.document_types().join(", "),
            self.scope_in_yql(),
            names.entity_id,
            ids.join(", "),
        );
        let parameters = Map::from_iter([("ranking.profile".to_owned(), Value::from("unranked"))]);
        self.query("find documents", &yql, MAX_HITS, parameters).await
    }

    /// The condition that every query carries.
    pub(super) fn scope_in_yql(&self) -> String {
        let names = self.names();
        format!(
            "{} contains {} and {} contains {}",
            names.collection_id,
            quote(&self.scope.collection_id.to_string()),
            names.sync_id,
            quote(&self.scope.sync_id.to_string())
        )
    }

    /// Pages through the chunks of entities by index; whether all were seen.
    async fn page_through(&self, ids: &[&str], located: &mut BTreeSet<Located>) -> Result<bool> {
        let Some(index) = &self.names().chunk_index else { return Ok(false) };
        let mut from = 0;
        loop {
            let found = self.ask(ids, Some(from)).await?;
            if !found.is_full {
                return Ok(false);
            }
            located.extend(self.read_hits(&found, ids));
            if is_complete(&found) {
                return Ok(true);
            }
            // The last index may have more documents than were given: it begins the next page.
            match found.hits.last().and_then(|hit| hit.number(index)) {
                Some(last) if last > from => from = last,
                _ => return Ok(false),
            }
        }
    }

    fn read_hits<'a>(&'a self, found: &'a Found, ids: &[&str]) -> impl Iterator<Item = Located> + use<'a> {
        let names = self.names();
        let wanted: HashSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        found.hits.iter().filter_map(move |hit| {
            let id = DocumentId::parse(hit.text("documentid")?)?;
            let entity_id = hit.text(&names.entity_id)?;
            (id.namespace() == self.settings.namespace && wanted.contains(entity_id)).then(|| Located {
                entity_id: entity_id.to_owned(),
                index: names.chunk_index.as_ref().map_or(Some(0), |index| hit.number(index)),
                id,
            })
        })
    }

    async fn visit_entities(&self, ids: &[&str], located: &mut BTreeSet<Located>) -> Result<()> {
        let names = self.names();
        let mut fields = vec![names.entity_id.as_str()];
        fields.extend(names.chunk_index.as_deref());
        for ids in portions(ids) {
            for document_type in self.settings.shape.document_types() {
                let selection = selection::of_entities(document_type, names, &self.scope, ids);
                let mut pages = self.visit(document_type, &selection, &fields);
                while let Some(page) = pages.next().await? {
                    located.extend(page.documents.iter().filter_map(|visited| read_visited(visited, names)));
                }
            }
        }
        Ok(())
    }
}

fn read_visited(visited: &Visited, names: &FieldNames) -> Option<Located> {
    let entity_id = visited.fields.get(&names.entity_id)?.as_str()?.to_owned();
    let index = names.chunk_index.as_ref().map_or(Some(0), |name| {
        visited.fields.get(name).and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok())
    });
    Some(Located { entity_id, index, id: DocumentId::parse(&visited.id)? })
}

/// Whether an answer holds all it counted.
fn is_complete(found: &Found) -> bool {
    u64::try_from(found.hits.len()).is_ok_and(|hits| hits == found.total)
}

/// Ids in portions that a request can carry.
fn portions<'a, 'b>(ids: &'a [&'b str]) -> impl Iterator<Item = &'a [&'b str]> {
    let mut rest = ids;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|id| {
            bytes += 100 + 3 * id.len();
            bytes <= SELECTION_BYTES
        });
        let (portion, others) = rest.split_at(fitting.count().max(1));
        rest = others;
        Some(portion)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_hold_every_id_once_and_fit_a_path() {
        let long = "x".repeat(4_000);
        let ids: Vec<&str> = (0..50).map(|n| if n % 7 == 0 { long.as_str() } else { "short" }).collect();
        let portions: Vec<&[&str]> = portions(&ids).collect();
        assert_eq!(portions.concat(), ids);
        assert!(portions.len() > 8 && portions.iter().all(|portion| !portion.is_empty()));
        assert_eq!(super::portions(&[]).count(), 0);
    }
}
