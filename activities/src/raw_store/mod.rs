//! The raw store: the platform's own copy (ARF) of every entity it took from a source, read and never written.
//!
//! ```text
//! raw/{sync_id}/manifest.json
//! raw/{sync_id}/entities/{safe(entity_id)}.json
//! raw/{sync_id}/files/...                        blobs, named by `__stored_file__` of an entity
//! ```
//!
//! The platform keeps rewriting these files while we read: there is no snapshot, no index and no checksum. So
//! this module promises less than a file system and more than the platform's own reader:
//!
//! * a listing is whole or an error, never short ([`Listing`]);
//! * what is wrong with one object is a fact about that object, what is wrong with the store is a failure to be
//!   retried, and the two never look alike ([`ReadError`]);
//! * a file caught in the middle of being written is read again before anybody calls it broken;
//! * nothing outside `raw/{sync_id}/` is ever opened, whatever an entity claims;
//! * memory does not grow with the number of entities, and every object has a size limit.
//!
//! Start with [`RawStore::open`], then [`RawStore::sync`].

mod backend;
mod blob;
mod classify;
mod entity;
mod listed_object;
mod listing;
mod manifest;
mod options;
mod read_error;
mod safe_name;
mod settle;
mod store_path;
mod sync_store;
mod url;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use uuid::Uuid;

use crate::error::Result;
use backend::{Backend, CloudBackend, LocalBackend, connect};

pub use entity::RawEntity;
pub use listed_object::ListedObject;
pub use listing::Listing;
pub use manifest::Manifest;
pub use options::ReadOptions;
pub use read_error::ReadError;
pub use safe_name::{entity_file_name, safe_name};
pub use sync_store::SyncStore;
pub use url::StoreUrl;

/// A place that holds the raw stores of many syncs: a directory, a bucket or a container. Cheap to clone.
#[derive(Clone)]
pub struct RawStore {
    backend: Arc<dyn Backend>,
    location: Arc<str>,
    options: ReadOptions,
}

impl RawStore {
    /// Opens the store at `url`; see [`StoreUrl`] for the forms. Nothing is read yet.
    ///
    /// Credentials come from the environment, in the variables of each cloud: `AWS_*`, `GOOGLE_*`, `AZURE_*`.
    /// `SYNCMUX_S3_ENDPOINT` (or `AWS_ENDPOINT_URL`) names an S3 server other than Amazon's; one that begins with
    /// `http://` is spoken to without TLS.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the URL is none of the known forms, or the environment lacks or garbles a setting.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_with(url, ReadOptions::default())
    }

    /// [`RawStore::open`] with other limits.
    ///
    /// # Errors
    ///
    /// As [`RawStore::open`].
    pub fn open_with(url: &str, options: ReadOptions) -> Result<Self> {
        let url = StoreUrl::parse(url)?;
        let location = url.to_string();
        Ok(match url {
            StoreUrl::Local { root } => Self::over(Arc::new(LocalBackend::new(root)), &location, options),
            StoreUrl::S3 { bucket, prefix } => Self::over_objects(connect::s3(&bucket)?, prefix, &location, options),
            StoreUrl::Gcs { bucket, prefix } => Self::over_objects(connect::gcs(&bucket)?, prefix, &location, options),
            StoreUrl::Azure { container, prefix } => {
                Self::over_objects(connect::azure(&container)?, prefix, &location, options)
            }
        })
    }

    /// A store over an object store that exists already. `prefix` stands before `raw/` in every object name;
    /// `location` is what messages call the store.
    #[must_use]
    pub fn over_objects(
        objects: Arc<dyn ObjectStore>,
        prefix: object_store::path::Path,
        location: &str,
        options: ReadOptions,
    ) -> Self {
        Self::over(Arc::new(CloudBackend::new(objects, prefix)), location, options)
    }

    fn over(backend: Arc<dyn Backend>, location: &str, options: ReadOptions) -> Self {
        Self { backend, location: location.into(), options }
    }

    /// The raw store of one sync. Nothing is read yet: see [`SyncStore::manifest`].
    #[must_use]
    pub fn sync(&self, sync_id: Uuid) -> SyncStore {
        SyncStore::new(Arc::clone(&self.backend), Arc::clone(&self.location), sync_id, self.options.clone())
    }

    /// Where the store is, for people. Holds no credentials.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }
}

impl fmt::Debug for RawStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawStore").field("location", &self.location).finish_non_exhaustive()
    }
}
