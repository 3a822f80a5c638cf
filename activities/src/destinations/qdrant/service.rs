//! The destination itself.

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::clients::QdrantClients;
use super::config::{Distance, QdrantSettings};
use super::endpoint::QdrantEndpoint;
use super::wire::Wire;
use crate::destinations::{
    DenseFidelity, Destination, EntityDocument, EntityRef, Hit, Query, Scope, StoredEntity, UpsertOutcome,
};
use crate::error::Result;

/// A slot on a Qdrant server. Cheap to make; connects when used.
pub struct Qdrant {
    pub(super) wire: Wire,
    pub(super) scope: Scope,
    pub(super) settings: QdrantSettings,
    place: String,
}

impl Qdrant {
    /// The slot `scope` on the server behind `client`, which should be that of [`QdrantClients`] for `endpoint`.
    #[must_use]
    pub fn new(
        client: qdrant_client::Qdrant,
        endpoint: &QdrantEndpoint,
        scope: Scope,
        settings: QdrantSettings,
    ) -> Self {
        let place = format!("qdrant {}/{}", endpoint.authority(), settings.collection());
        Self { wire: Wire::new(client), scope, settings, place }
    }

    /// The slot `scope` on the server at `endpoint`, with a client of its own.
    ///
    /// # Errors
    /// `InvalidInput` when the client does not take the endpoint's URL.
    pub fn connect(endpoint: &QdrantEndpoint, scope: Scope, settings: QdrantSettings) -> Result<Self> {
        Ok(Self::new(QdrantClients::default().get(endpoint)?, endpoint, scope, settings))
    }
}

#[async_trait]
impl Destination for Qdrant {
    async fn check(&self) -> Result<()> {
        self.rehearse().await
    }

    async fn prepare(&self) -> Result<()> {
        self.create_or_verify().await
    }

    async fn finish(&self) -> Result<()> {
        self.settle().await
    }

    async fn upsert(&self, documents: &[EntityDocument]) -> Result<UpsertOutcome> {
        self.write(documents).await
    }

    async fn delete(&self, entities: &[EntityRef]) -> Result<u64> {
        self.remove_entities(entities).await
    }

    async fn trim(&self, entity: &EntityRef, keep: u32) -> Result<u64> {
        self.remove_from(entity, keep).await
    }

    async fn read(&self, entities: &[EntityRef]) -> Result<Vec<StoredEntity>> {
        self.read_entities(entities).await
    }

    async fn scan(&self) -> Result<BoxStream<'_, Result<(EntityRef, u32)>>> {
        self.scan_entities().await
    }

    async fn count(&self) -> Result<u64> {
        self.count_points().await
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>> {
        self.find(query).await
    }

    async fn clear(&self) -> Result<u64> {
        self.remove_all().await
    }

    async fn activate(&self) -> Result<()> {
        self.point_alias().await
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    fn dense_fidelity(&self) -> DenseFidelity {
        // Quantised copies are kept beside the originals, which are what is read.
        if self.settings.distance == Distance::Cosine { DenseFidelity::Direction } else { DenseFidelity::Exact }
    }

    fn compares_directions(&self) -> bool {
        self.settings.distance == Distance::Cosine
    }

    fn overloads(&self) -> u64 {
        self.wire.limited()
    }
}
