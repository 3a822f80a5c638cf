//! A destination that tells how it is: each write is a reading for the [`Health`] of its connection.
//!
//! What its client waits out inside is seen as well, and at once: whoever is asked to slow down says so long before the
//! write is over.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::health::Health;
use super::pressure::{Reading, Trouble};
use crate::destinations::{
    DenseFidelity, Destination, EntityDocument, EntityRef, Hit, Query, StoredEntity, UpsertOutcome,
};
use crate::error::{Error, ErrorKind, Result};

/// How often a write that is under way is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A destination and the health it is read for.
pub(crate) struct Gauged {
    inner: Arc<dyn Destination>,
    health: Arc<Health>,
}

impl Gauged {
    pub(crate) fn new(inner: Arc<dyn Destination>, health: Arc<Health>) -> Self {
        Self { inner, health }
    }

    /// Does `write`, and tells how that went. `documents` is how many it takes.
    async fn watch<T>(&self, documents: usize, write: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let mut overloads = self.inner.overloads();
        let mut write = std::pin::pin!(write);
        let result = loop {
            let done = tokio::select! {
                biased;
                done = &mut write => Some(done),
                () = tokio::time::sleep(LOOK) => None,
            };
            let now = self.inner.overloads();
            if now > overloads {
                overloads = now;
                self.health.read(began, Reading::Troubled(Trouble::Busy));
            }
            if let Some(done) = done {
                break done;
            }
        };
        self.health.read(began, reading(documents, result.as_ref().err()));
        result
    }
}

/// What the end of a write says about the destination.
fn reading(documents: usize, failure: Option<&Error>) -> Reading {
    let Some(error) = failure else { return Reading::Well(documents) };
    match error.kind() {
        ErrorKind::RateLimited => Reading::Troubled(Trouble::RateLimited(error.retry_after())),
        ErrorKind::OutOfSpace => Reading::Troubled(Trouble::NoSpace),
        ErrorKind::Unavailable => Reading::Troubled(Trouble::Away),
        ErrorKind::Timeout => Reading::Troubled(Trouble::Timeout),
        ErrorKind::InvalidInput
        | ErrorKind::Unauthorized
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::RawStoreInvalid
        | ErrorKind::IncompatibleDestination
        | ErrorKind::DestinationDenied
        | ErrorKind::RejectedDocuments
        | ErrorKind::VerificationFailed
        | ErrorKind::TooLarge
        | ErrorKind::Internal => Reading::Nothing,
    }
}

#[async_trait]
impl Destination for Gauged {
    async fn check(&self) -> Result<()> {
        self.inner.check().await
    }

    async fn prepare(&self) -> Result<()> {
        self.inner.prepare().await
    }

    async fn finish(&self) -> Result<()> {
        self.inner.finish().await
    }

    async fn upsert(&self, documents: &[EntityDocument]) -> Result<UpsertOutcome> {
        self.watch(documents.len(), self.inner.upsert(documents)).await
    }

    async fn delete(&self, entities: &[EntityRef]) -> Result<u64> {
        self.watch(entities.len(), self.inner.delete(entities)).await
    }

    async fn trim(&self, entity: &EntityRef, keep: u32) -> Result<u64> {
        self.inner.trim(entity, keep).await
    }

    async fn read(&self, entities: &[EntityRef]) -> Result<Vec<StoredEntity>> {
        self.inner.read(entities).await
    }

    async fn scan(&self) -> Result<BoxStream<'_, Result<(EntityRef, u32)>>> {
        self.inner.scan().await
    }

    async fn count(&self) -> Result<u64> {
        self.inner.count().await
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>> {
        self.inner.search(query).await
    }

    async fn clear(&self) -> Result<u64> {
        self.inner.clear().await
    }

    async fn activate(&self) -> Result<()> {
        self.inner.activate().await
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn stored_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.inner.stored_text(text)
    }

    fn dense_fidelity(&self) -> DenseFidelity {
        self.inner.dense_fidelity()
    }

    fn compares_directions(&self) -> bool {
        self.inner.compares_directions()
    }

    fn overloads(&self) -> u64 {
        self.inner.overloads()
    }
}
