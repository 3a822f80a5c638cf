//! The destination itself. Each method is in the file of its name.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::client::VespaClient;
use super::config::{Shape, VespaSettings};
use super::endpoint::VespaEndpoint;
use super::limits::VespaLimits;
use super::sanitise::sanitise;
use super::schema::DocumentType;
use crate::destinations::{
    DenseFidelity, Destination, EntityDocument, EntityRef, Hit, Query, Scope, StoredEntity, UpsertOutcome,
};
use crate::error::Result;

/// A slot in a Vespa application. Cheap to make; connects when used.
#[derive(Debug, Clone)]
pub struct Vespa {
    pub(super) client: Arc<VespaClient>,
    pub(super) scope: Scope,
    pub(super) settings: VespaSettings,
}

impl Vespa {
    /// The slot `scope` behind `client`, which should come from [`super::VespaClients`].
    #[must_use]
    pub fn new(client: Arc<VespaClient>, scope: Scope, settings: VespaSettings) -> Self {
        Self { client, scope, settings }
    }

    /// The slot `scope` at `endpoint`, with connections of its own.
    ///
    /// # Errors
    /// `InvalidInput` when no connection can be set up with the endpoint's credentials.
    pub fn connect(endpoint: &VespaEndpoint, scope: Scope, settings: VespaSettings) -> Result<Self> {
        Ok(Self::new(Arc::new(VespaClient::new(endpoint, VespaLimits::default())?), scope, settings))
    }
}

#[async_trait]
impl Destination for Vespa {
    async fn check(&self) -> Result<()> {
        self.verify_deployment().await?;
        self.write_and_remove().await
    }

    async fn prepare(&self) -> Result<()> {
        self.verify_deployment().await
    }

    async fn finish(&self) -> Result<()> {
        // What is acknowledged is indexed and countable, as long as every node is there to be asked.
        self.verify_coverage().await
    }

    async fn upsert(&self, documents: &[EntityDocument]) -> Result<UpsertOutcome> {
        self.upsert_entities(documents).await
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
        self.count_documents().await
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>> {
        self.search_documents(query).await
    }

    async fn clear(&self) -> Result<u64> {
        self.remove_all().await
    }

    /// How ids are made is no part of it: slots of one sync in one namespace would clear each other whatever their ids.
    fn place(&self) -> String {
        let VespaSettings { shape, cluster, namespace, .. } = &self.settings;
        let types = match shape {
            Shape::Custom(mapping) if DocumentType::ALL.iter().all(|it| it.name() != mapping.document_type) => {
                mapping.document_type.as_str()
            }
            _ => "platform",
        };
        format!("vespa {} {cluster} {namespace} {types}", self.client.origin)
    }

    fn dense_fidelity(&self) -> DenseFidelity {
        // bfloat16, or nothing at all.
        DenseFidelity::Rounded
    }

    fn compares_directions(&self) -> bool {
        // The platform's field has the angular distance; that of a mapped field is not known here.
        matches!(self.settings.shape, Shape::Platform(..))
    }

    fn overloads(&self) -> u64 {
        self.client.feeder.overloads()
    }

    fn stored_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        sanitise(text)
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::vespa_field::{Derived, Value};
    use proto::v1::{VespaField, VespaLayout, VespaMapping};
    use uuid::Uuid;

    use super::*;
    use crate::destinations::vespa::VespaCredentials;

    fn place(change: impl FnOnce(&mut VespaLayout)) -> String {
        let mut layout = VespaLayout { documents: 2, ..VespaLayout::default() };
        change(&mut layout);
        let endpoint = VespaEndpoint::new(&"http://v:1".into(), VespaCredentials::Token("secret".into())).unwrap();
        let [organization_id, collection_id, sync_id, slot_id] = std::array::from_fn(|_| Uuid::new_v4());
        let scope = Scope { organization_id, collection_id, sync_id, slot_id };
        Vespa::connect(&endpoint, scope, VespaSettings::from_layout(&layout, 8).unwrap()).unwrap().place()
    }

    fn custom(document_type: &str) -> VespaMapping {
        let takes = [Derived::EntityId, Derived::ContentHash, Derived::CollectionId, Derived::SyncId, Derived::Text];
        let field = |derived: Derived| VespaField {
            name: derived.as_str_name().to_lowercase(),
            value: Some(Value::Derived(derived.into())),
            r#type: 0,
        };
        VespaMapping { document_type: document_type.into(), grain: 1, fields: takes.map(field).to_vec() }
    }

    #[test]
    fn slots_that_would_meet_are_in_one_place() {
        let platform = place(|_| ());
        assert!(!platform.contains("secret"));
        assert_eq!(place(|layout| layout.set_ids(proto::v1::vespa_layout::Ids::Scoped)), platform);
        assert_eq!(place(|layout| layout.documents = 1), platform);
        assert_ne!(place(|layout| layout.namespace = "other".into()), platform);
        assert_ne!(place(|layout| layout.cluster = "other".into()), platform);
        let mapped = |document_type: &str| {
            let mapping = Some(custom(document_type));
            place(|layout| (layout.documents, layout.mapping) = (3, mapping))
        };
        assert_eq!(mapped("web_entity"), platform);
        assert_ne!(mapped("article"), platform);
    }
}
