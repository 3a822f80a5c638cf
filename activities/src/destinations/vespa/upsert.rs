//! Writing entities whole, as far as a server without transactions allows.
//!
//! Everything that can be said of an entity is said before anything is sent. Then its documents are written, and after
//! that whatever it had before is removed: a reader meets old beside new for a moment, but never nothing.

use std::collections::HashSet;

use super::document::{Document, documents_of, latest};
use super::document_id::{DocumentId, IdScheme};
use super::feeder::{Operation, Write, Written};
use super::selection;
use super::service::Vespa;
use crate::destinations::{EntityDocument, EntityRef, Rejection, UpsertOutcome};
use crate::error::Result;

/// An entity that is being written.
struct Writing {
    entity: EntityRef,
    documents: Vec<DocumentId>,
    stored: usize,
    refused: Option<String>,
}

impl Writing {
    fn learn(&mut self, written: Written) {
        match written {
            Written::Done => self.stored += 1,
            Written::Refused(reason) => self.refused = Some(reason),
            Written::ConditionNotMet => {
                let reason =
                    "another sync or collection has a document with the same id; set profile.vespa.ids to IDS_SCOPED";
                self.refused = Some(reason.to_owned());
            }
        }
    }
}

impl Vespa {
    /// Writes entities and removes what they had before.
    pub(super) async fn upsert_entities(&self, entities: &[EntityDocument]) -> Result<UpsertOutcome> {
        let mut outcome = UpsertOutcome::default();
        let mut writing = Vec::new();
        let mut operations = Vec::new();
        for entity in latest(entities) {
            match documents_of(entity, &self.scope, &self.settings) {
                Ok(documents) => {
                    let ids = documents.iter().map(|document| document.id.clone()).collect();
                    operations.extend(documents.into_iter().map(|document| self.put(document)));
                    writing.push(Writing { entity: entity.entity.clone(), documents: ids, stored: 0, refused: None });
                }
                Err(reason) => outcome.rejected.push(Rejection { entity: entity.entity.clone(), reason }),
            }
        }
        let mut written = self.client.feeder.feed(operations).await?.into_iter();
        for entity in &mut writing {
            written.by_ref().take(entity.documents.len()).for_each(|written| entity.learn(written));
        }
        self.remove_leftovers(&writing).await?;
        for Writing { entity, documents, refused, .. } in writing {
            match refused {
                Some(reason) => outcome.rejected.push(Rejection { entity, reason }),
                None => outcome.accepted.push((entity, u32::try_from(documents.len()).unwrap_or(u32::MAX))),
            }
        }
        Ok(outcome)
    }

    /// A put of a document. An id of the platform's may be another sync's document, which must stay: the put then depends
    /// on whose it is. A scoped id can only be our own.
    fn put(&self, document: Document) -> Operation {
        let condition = (self.settings.ids == IdScheme::Platform)
            .then(|| selection::of_scope(document.id.document_type(), self.settings.shape.names(), &self.scope));
        Operation { id: document.id, write: Write::Put(document.body), condition }
    }

    /// Removes what entities had before and what was not just written. Of an entity that Vespa refused in part nothing
    /// stays, because half of it would be found and there is no way back to what it was; of one that it refused in whole,
    /// everything does.
    async fn remove_leftovers(&self, writing: &[Writing]) -> Result<()> {
        let touched: Vec<&Writing> =
            writing.iter().filter(|entity| entity.refused.is_none() || entity.stored > 0).collect();
        let kept: HashSet<&DocumentId> =
            touched.iter().filter(|entity| entity.refused.is_none()).flat_map(|entity| &entity.documents).collect();
        let entities: Vec<EntityRef> = touched.iter().map(|entity| entity.entity.clone()).collect();
        let mut located = self.locate(&entities).await?;
        located.retain(|document| !kept.contains(&document.id));
        self.remove(located).await.map(drop)
    }
}
