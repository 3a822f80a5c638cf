//! A destination whose calls are counted, timed and traced.

use std::borrow::Cow;
use std::time::Instant;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tracing::Span;
use tracing::field::Empty;

use super::{DenseFidelity, Destination, EntityDocument, EntityRef, Hit, Query, StoredEntity, UpsertOutcome};
use crate::error::Result;
use crate::metrics::metrics;
use crate::trace_context::within;

/// Passes every call on to the destination inside.
pub(crate) struct Observed<D> {
    kind: &'static str,
    inner: D,
}

impl<D: Destination> Observed<D> {
    /// `kind` is that of the profile's layout.
    pub(crate) fn new(kind: &'static str, inner: D) -> Self {
        Self { kind, inner }
    }

    async fn observe<T>(&self, method: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        let span = tracing::info_span!(
            "destination",
            otel.name = format!("{} {method}", self.kind),
            otel.kind = "client",
            destination_kind = self.kind,
            method,
            otel.status_code = Empty,
            error_kind = Empty,
        );
        let observed = async {
            let started = Instant::now();
            let result = call.await;
            if let Err(error) = &result {
                let span = Span::current();
                span.record("otel.status_code", "error");
                span.record("error_kind", error.kind().name());
            }
            metrics().destination_request(self.kind, &result, started.elapsed());
            result
        };
        within(span, observed).await
    }
}

/// What a destination is given of an entity, before it is put into its own form.
fn bytes(document: &EntityDocument) -> u64 {
    let of_chunks = document.chunks.iter().map(|chunk| {
        let vectors = 4 * (chunk.dense.len() + chunk.sparse.indices.len() + chunk.sparse.values.len());
        chunk.text.len() + chunk.payload.len() + vectors
    });
    of_chunks.sum::<usize>() as u64
}

#[async_trait]
impl<D: Destination> Destination for Observed<D> {
    async fn check(&self) -> Result<()> {
        self.observe("check", self.inner.check()).await
    }

    async fn prepare(&self) -> Result<()> {
        self.observe("prepare", self.inner.prepare()).await
    }

    async fn finish(&self) -> Result<()> {
        self.observe("finish", self.inner.finish()).await
    }

    async fn upsert(&self, documents: &[EntityDocument]) -> Result<UpsertOutcome> {
        metrics().destination_bytes(self.kind, documents.iter().map(bytes).sum());
        self.observe("upsert", self.inner.upsert(documents)).await
    }

    async fn delete(&self, entities: &[EntityRef]) -> Result<u64> {
        self.observe("delete", self.inner.delete(entities)).await
    }

    async fn trim(&self, entity: &EntityRef, keep: u32) -> Result<u64> {
        self.observe("trim", self.inner.trim(entity, keep)).await
    }

    async fn read(&self, entities: &[EntityRef]) -> Result<Vec<StoredEntity>> {
        self.observe("read", self.inner.read(entities)).await
    }

    /// Only that the scan begins is observed.
    async fn scan(&self) -> Result<BoxStream<'_, Result<(EntityRef, u32)>>> {
        self.observe("scan", self.inner.scan()).await
    }

    async fn count(&self) -> Result<u64> {
        self.observe("count", self.inner.count()).await
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>> {
        self.observe("search", self.inner.search(query)).await
    }

    async fn clear(&self) -> Result<u64> {
        self.observe("clear", self.inner.clear()).await
    }

    async fn activate(&self) -> Result<()> {
        self.observe("activate", self.inner.activate()).await
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
