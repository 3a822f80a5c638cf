//! Slots in a server of their own, for what only this destination promises.

use std::sync::Arc;
use std::time::Duration;

use activities::destinations::vespa::{
    Vespa, VespaClient, VespaCredentials, VespaEndpoint, VespaLimits, VespaSettings,
};
use activities::destinations::{Destination, EntityDocument, Scope};
use harness::vespa::{VespaServer, VespaServerOptions};
use proto::v1::VespaLayout;
use proto::v1::vespa_layout::{Documents, Ids};

use crate::conformance::{DIMENSIONS, documents};

/// A server, and a client with short limits.
pub(super) struct Place {
    pub(super) server: VespaServer,
    pub(super) client: Arc<VespaClient>,
}

/// Short enough for a test to wait for all of them.
pub(super) fn limits() -> VespaLimits {
    VespaLimits {
        write_timeout: Duration::from_millis(300),
        first_delay: Duration::from_millis(2),
        stall: Duration::from_secs(20),
        space_probe: Duration::from_millis(50),
        space_wait: Duration::from_secs(20),
        ..VespaLimits::default()
    }
}

pub(super) fn layout(documents: Documents, ids: Ids) -> VespaLayout {
    VespaLayout { documents: documents.into(), ids: ids.into(), ..VespaLayout::default() }
}

impl Place {
    pub(super) async fn new(options: VespaServerOptions, limits: VespaLimits) -> Self {
        let server = VespaServer::start(options).await;
        let endpoint = VespaEndpoint::new(&server.url().into(), VespaCredentials::None).expect("a URL");
        let client = Arc::new(VespaClient::new(&endpoint, limits).expect("a client"));
        Self { server, client }
    }

    /// A slot of chunks with the platform's ids.
    pub(super) fn chunks(&self, scope: &Scope) -> Vespa {
        self.slot(scope, &layout(Documents::Chunk, Ids::Platform))
    }

    pub(super) fn slot(&self, scope: &Scope, layout: &VespaLayout) -> Vespa {
        let settings = VespaSettings::from_layout(layout, DIMENSIONS).expect("the layout is valid");
        Vespa::new(self.client.clone(), scope.clone(), settings)
    }

    /// The default server with a slot of chunks.
    pub(super) async fn simple() -> (Self, Vespa) {
        let place = Self::new(VespaServerOptions::default(), limits()).await;
        let slot = place.chunks(&documents::scope());
        (place, slot)
    }
}

/// Entities with a chunk each.
pub(super) fn many(count: u32) -> Vec<EntityDocument> {
    (0..count).map(|n| documents::document(&format!("entity {n:04}"), 1, 1)).collect()
}

/// An entity as destinations that embed are given it.
pub(super) fn whole(id: &str, version: u32) -> EntityDocument {
    let mut document = documents::document(id, version, 1);
    document.chunks[0].dense.clear();
    document.chunks[0].sparse = activities::destinations::SparseVector::default();
    document
}

/// Writes entities that must all be accepted.
pub(super) async fn store(slot: &Vespa, documents: &[EntityDocument]) {
    let outcome = slot.upsert(documents).await.expect("upsert");
    assert_eq!((outcome.rejected.as_slice(), outcome.accepted.len()), ([].as_slice(), documents.len()));
}
