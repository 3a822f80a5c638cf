//! Everything of the scope, by visit.
//!
//! A visit comes in no order and may tell of a document twice, so its documents are sorted by entity and id. Ids hold no
//! U+0000, which therefore separates the two and keeps the byte order of entities.

use futures::stream::{self, BoxStream, StreamExt};
use serde_json::Value;

use super::selection;
use super::service::Vespa;
use crate::destinations::EntityRef;
use crate::destinations::entity_sort::EntitySort;
use crate::error::Result;

/// How much of a scan is held before it goes to temporary files.
const SORT_BYTES: usize = 64 << 20;

impl Vespa {
    /// Every entity with its number of documents, in byte order.
    pub(super) async fn scan_entities(&self) -> Result<BoxStream<'_, Result<(EntityRef, u32)>>> {
        let names = self.settings.shape.names();
        let mut sort = EntitySort::new(SORT_BYTES);
        for document_type in self.settings.shape.document_types() {
            let selection = selection::of_scope(document_type, names, &self.scope);
            let mut pages = self.visit(document_type, &selection, &[&names.entity_id]);
            while let Some(page) = pages.next().await? {
                for visited in page.documents {
                    let entity_id = visited.fields.get(&names.entity_id).and_then(Value::as_str).unwrap_or_default();
                    sort.push(&format!("{entity_id}\0{}", visited.id), 1)?;
                }
            }
        }
        Ok(stream::iter(by_entity(sort.finish()?)).boxed())
    }

    /// How many documents there are.
    pub(super) async fn count_documents(&self) -> Result<u64> {
        let names = self.settings.shape.names();
        let mut sort = EntitySort::new(SORT_BYTES);
        for document_type in self.settings.shape.document_types() {
            let selection = selection::of_scope(document_type, names, &self.scope);
            let mut pages = self.visit(document_type, &selection, &[]);
            while let Some(page) = pages.next().await? {
                for visited in page.documents {
                    sort.push(&visited.id, 1)?;
                }
            }
        }
        let mut count = 0;
        for document in sort.finish()? {
            document?;
            count += 1;
        }
        Ok(count)
    }
}

/// Counts the documents of each entity; a document that occurs twice is one.
fn by_entity(
    documents: impl Iterator<Item = Result<(EntityRef, u32)>> + Send,
) -> impl Iterator<Item = Result<(EntityRef, u32)>> + Send {
    let mut documents = documents.map(|document| document.map(|(key, _)| entity_of(&key.0))).peekable();
    std::iter::from_fn(move || {
        let entity = match documents.next()? {
            Ok(entity) => entity,
            Err(error) => return Some(Err(error)),
        };
        let mut count = 1_u32;
        while documents.next_if(|next| next.as_ref().is_ok_and(|next| *next == entity)).is_some() {
            count = count.saturating_add(1);
        }
        Some(Ok((EntityRef(entity), count)))
    })
}

fn entity_of(key: &str) -> String {
    key.split_once('\0').map_or(key, |(entity, _)| entity).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_counted_once_and_entities_stay_in_byte_order() {
        let mut sort = EntitySort::new(0);
        for (entity, id) in [("b", "2"), ("ab", "1"), ("a", "1"), ("a b", "1"), ("b", "1"), ("b", "2"), ("a", "1")] {
            sort.push(&format!("{entity}\0{id}"), 1).unwrap();
        }
        let entities: Vec<_> =
            by_entity(sort.finish().unwrap()).map(|it| it.map(|(id, n)| (id.0, n)).unwrap()).collect();
        assert_eq!(entities, [("a", 1), ("a b", 1), ("ab", 1), ("b", 2)].map(|(id, n)| (id.to_owned(), n)));
    }
}
