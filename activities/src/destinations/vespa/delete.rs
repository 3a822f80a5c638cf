//! Removing documents, always of one collection and one sync.
//!
//! Vespa answers the removal of a document that is not there like any other, so what is counted is what was found before.

use std::collections::BTreeSet;

use super::feeder::{Operation, Write, Written};
use super::locate::Located;
use super::selection;
use super::service::Vespa;
use crate::destinations::EntityRef;
use crate::error::{Error, ErrorKind, Result};

impl Vespa {
    /// Removes all documents of these entities; how many there were.
    pub(super) async fn remove_entities(&self, entities: &[EntityRef]) -> Result<u64> {
        let located = self.locate(entities).await?;
        self.remove(located).await
    }

    /// Removes the chunks of an entity whose index is `keep` or higher; how many there were.
    pub(super) async fn remove_from(&self, entity: &EntityRef, keep: u32) -> Result<u64> {
        let mut located = self.locate(std::slice::from_ref(entity)).await?;
        located.retain(|document| document.index.is_some_and(|index| index >= keep));
        self.remove(located).await
    }

    /// Removes documents that were found; how many these are.
    pub(super) async fn remove(&self, located: BTreeSet<Located>) -> Result<u64> {
        let operations: Vec<Operation> = located
            .into_iter()
            .map(|document| Operation { id: document.id, write: Write::Remove, condition: None })
            .collect();
        let count = operations.len();
        for written in self.client.feeder.feed(operations).await? {
            if let Written::Refused(reason) = written {
                return Err(Error::new(ErrorKind::Internal, format!("Vespa could not remove a document: {reason}")));
            }
        }
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// Removes every document of the scope; how many there were.
    ///
    /// They are counted before: of a page whose answer is lost it is not known how many it removed.
    pub(super) async fn remove_all(&self) -> Result<u64> {
        let counted = self.count_documents().await?;
        let names = self.settings.shape.names();
        let mut removed = 0;
        for document_type in self.settings.shape.document_types() {
            let selection = selection::of_scope(document_type, names, &self.scope);
            let mut pages = self.remove_where(document_type, &selection);
            while let Some(page) = pages.next().await? {
                removed += page.document_count.unwrap_or_default();
            }
        }
        Ok(removed.max(counted))
    }
}
