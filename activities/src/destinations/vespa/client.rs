//! What the slots on one Vespa share: connections, the window of writes, the breaker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::breaker::Breaker;
use super::calls::Calls;
use super::connections::Connections;
use super::endpoint::VespaEndpoint;
use super::feeder::{FeedCounts, Feeder};
use super::limits::VespaLimits;
use crate::error::Result;

/// A client of one Vespa.
#[derive(Debug)]
pub struct VespaClient {
    pub(super) origin: String,
    pub(super) calls: Arc<Calls>,
    pub(super) feeder: Arc<Feeder>,
}

impl VespaClient {
    /// A client that connects when used.
    ///
    /// # Errors
    /// `InvalidInput` when no connection can be set up with the endpoint's credentials.
    pub fn new(endpoint: &VespaEndpoint, limits: VespaLimits) -> Result<Self> {
        let connections = Connections::new(endpoint, limits.connections)?;
        let calls = Arc::new(Calls { connections, breaker: Breaker::new(&limits), limits });
        Ok(Self { origin: endpoint.origin().to_owned(), feeder: Arc::new(Feeder::new(Arc::clone(&calls))), calls })
    }

    /// What became of the writes so far.
    #[must_use]
    pub fn feed_counts(&self) -> FeedCounts {
        self.feeder.counts()
    }

    /// How many writes may be in flight at the moment.
    #[must_use]
    pub fn window(&self) -> usize {
        self.feeder.target()
    }
}

/// One client per endpoint. A worker process keeps one of these.
#[derive(Debug, Default)]
pub struct VespaClients {
    limits: VespaLimits,
    /// By digest of endpoint and credentials, so that those are not kept a second time.
    open: Mutex<HashMap<[u8; 32], Arc<VespaClient>>>,
}

impl VespaClients {
    /// No clients yet; each will keep to `limits`.
    #[must_use]
    pub fn new(limits: VespaLimits) -> Self {
        Self { limits, open: Mutex::default() }
    }

    /// The client for an endpoint.
    ///
    /// # Errors
    /// As [`VespaClient::new`].
    pub fn get(&self, endpoint: &VespaEndpoint) -> Result<Arc<VespaClient>> {
        let key = endpoint.key();
        // Nothing panics while the map is changed, so a poisoned one is still whole.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = open.get(&key) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(VespaClient::new(endpoint, self.limits)?);
        open.insert(key, Arc::clone(&client));
        Ok(client)
    }
}
