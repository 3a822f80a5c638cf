//! Writing entities whole, as far as a server without transactions allows.
//!
//! Everything that can be said of an entity is said before anything of it is sent. Then its documents are written, and after
//! that whatever it had before is removed: a reader meets old beside new for a moment, but never nothing. What it had is
//! looked for while it is written; what is found of the new is told apart by its id.

use std::collections::{BTreeSet, HashSet};

use futures::future::try_join;

use super::document::{Document, documents_of, latest};
use super::document_id::{DocumentId, IdScheme};
use super::feeder::{Operation, Write, Written};
use super::locate::Located;
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
        // Documents are made as the feeder asks for them: the first are on their way before the last are made.
        let latest = latest(entities);
        let present: Vec<EntityRef> = latest.iter().map(|entity| entity.entity.clone()).collect();
        let operations = latest.into_iter().flat_map(|entity| {
            let made = documents_of(entity, &self.scope, &self.settings);
            let entity = entity.entity.clone();
            match made {
                Ok(made) => {
                    let documents = made.iter().map(|document| document.id.clone()).collect();
                    writing.push(Writing { entity, documents, stored: 0, refused: None });
                    made
                }
                Err(reason) => {
                    outcome.rejected.push(Rejection { entity, reason });
                    Vec::new()
                }
            }
        });
        let operations: Box<dyn Iterator<Item = Operation> + Send> =
            Box::new(operations.map(|document| self.put(document)));
        let (written, located) = try_join(self.client.feeder.feed(operations), self.locate(&present)).await?;
        let mut written = written.into_iter();
        for entity in &mut writing {
            written.by_ref().take(entity.documents.len()).for_each(|written| entity.learn(written));
        }
        self.remove_leftovers(located, &writing).await?;
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

    /// Removes what entities had before, of what was `located`, and what was not just written. Of an entity that Vespa refused in part nothing
    /// stays, because half of it would be found and there is no way back to what it was; of one that it refused in whole,
    /// everything does.
    async fn remove_leftovers(&self, mut located: BTreeSet<Located>, writing: &[Writing]) -> Result<()> {
        // What was written of these may not have been there yet when it was looked.
        let halves: Vec<EntityRef> = writing
            .iter()
            .filter(|entity| entity.refused.is_some() && entity.stored > 0)
            .map(|entity| entity.entity.clone())
            .collect();
        if !halves.is_empty() {
            located.extend(self.locate(&halves).await?);
        }
        let touched = || writing.iter().filter(|entity| entity.refused.is_none() || entity.stored > 0);
        let kept: HashSet<&DocumentId> =
            touched().filter(|entity| entity.refused.is_none()).flat_map(|entity| &entity.documents).collect();
        let touched: HashSet<&str> = touched().map(|entity| entity.entity.0.as_str()).collect();
        located.retain(|document| touched.contains(document.entity_id.as_str()) && !kept.contains(&document.id));
        self.remove(located).await.map(drop)
    }
}
