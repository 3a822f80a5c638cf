//! What all connections share: the settings, the documents, the queue in front of them, the faults and the journal.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::faults::Faults;
use super::journal::Journal;
use super::options::VespaServerOptions;
use super::parameters::Parameters;
use super::queue::Queue;
use super::reply::Refusal;
use super::schema::Schemas;
use super::store::Store;

/// One container in front of one content cluster.
#[derive(Debug)]
pub struct Cluster {
    /// As the test wants it.
    pub options: VespaServerOptions,
    /// Document types.
    pub schemas: Schemas,
    /// In front of the documents.
    pub queue: Queue,
    /// By script.
    pub faults: Faults,
    /// What was asked.
    pub journal: Journal,
    store: RwLock<Store>,
}

impl Cluster {
    /// An empty cluster.
    #[must_use]
    pub fn new(options: VespaServerOptions) -> Self {
        let mut schemas = Schemas::platform(options.generation, options.dimensions);
        for (name, rows) in &options.more_types {
            schemas.add(name, rows, options.dimensions);
        }
        Self {
            schemas,
            queue: Queue::new(options.queue, options.workers, options.service_time),
            faults: Faults::default(),
            journal: Journal::default(),
            store: RwLock::new(Store::new(options.buckets)),
            options,
        }
    }

    /// The documents, to look at.
    pub fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The documents, to change.
    pub fn store_mut(&self) -> RwLockWriteGuard<'_, Store> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses the name of a cluster that is not this one.
    ///
    /// # Errors
    /// 400 that names this one.
    pub fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let own = &self.options.cluster;
        if name == own {
            return Ok(());
        }
        Err(Refusal::bad(format!("Your Vespa deployment has no content cluster '{name}', only '{own}'")))
    }

    /// Refuses the parameter `cluster` when it names another cluster.
    ///
    /// # Errors
    /// 400 that names this one.
    pub fn check_parameter(&self, parameters: &Parameters) -> Result<(), Refusal> {
        parameters.text("cluster")?.map_or(Ok(()), |name| self.check_name(name))
    }
}
