//! The raw store of one sync.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use uuid::Uuid;

use super::backend::{Backend, FetchError, Found};
use super::options::ReadOptions;
use super::read_error::ReadError;
use super::settle::{Settled, Unsettled, read_settled};
use super::store_path::StorePath;
use crate::error::{Error, ErrorKind, Result};

/// Everything below `raw/{sync_id}/`. Cheap to clone.
///
/// [`SyncStore::manifest`] first: it says whether there is a store at all. Then [`SyncStore::list`],
/// [`SyncStore::read_entity`] and [`SyncStore::read_blob`].
#[derive(Clone)]
pub struct SyncStore {
    pub(super) backend: Arc<dyn Backend>,
    location: Arc<str>,
    pub(super) sync_id: Uuid,
    pub(super) options: ReadOptions,
}

impl SyncStore {
    pub(super) fn new(backend: Arc<dyn Backend>, location: Arc<str>, sync_id: Uuid, options: ReadOptions) -> Self {
        Self { backend, location, sync_id, options }
    }

    /// Whose store this is.
    #[must_use]
    pub fn sync_id(&self) -> Uuid {
        self.sync_id
    }

    /// Where it is, for people.
    #[must_use]
    pub fn location(&self) -> String {
        format!("{}/raw/{}", self.location, self.sync_id)
    }

    /// Reads an object called `key` until it decodes or stays bad.
    pub(super) async fn read_object<T: Send + 'static>(
        &self,
        key: &str,
        path: &StorePath,
        limit_bytes: u64,
        decode: fn(Bytes) -> Result<T, String>,
    ) -> Result<Settled<T>, ReadError> {
        let key = || key.to_owned();
        match read_settled(self.backend.as_ref(), path, limit_bytes, &self.options, decode).await {
            Ok(settled) => Ok(settled),
            Err(Unsettled::Undecodable { token, reason }) => Err(ReadError::Undecodable { key: key(), token, reason }),
            Err(Unsettled::Fetch(FetchError::Refused(reason))) => Err(ReadError::Refused { key: key(), reason }),
            Err(Unsettled::Fetch(FetchError::TooLarge { token, size_bytes })) => {
                Err(ReadError::TooLarge { key: key(), token, size_bytes, limit_bytes })
            }
            Err(Unsettled::Fetch(FetchError::Failed(error))) => Err(error.into()),
            Err(Unsettled::Fetch(FetchError::NotFound)) => {
                // A volume that is no longer mounted would make every entity look deleted.
                self.prove_present().await?;
                Err(ReadError::Vanished { key: key() })
            }
            Err(Unsettled::Fetch(FetchError::Changing)) => {
                Err(Error::new(ErrorKind::Internal, "a changing object was not read again").into())
            }
        }
    }

    /// Nothing can be concluded from absence unless the manifest is there.
    pub(super) async fn prove_present(&self) -> Result<()> {
        if self.backend.exists(&StorePath::manifest(self.sync_id)).await? { Ok(()) } else { Err(self.absent().await?) }
    }

    /// The error of a store without a manifest: the entities may be there all the same.
    pub(super) async fn absent(&self) -> Result<Error> {
        let id = self.sync_id;
        Ok(if self.holds_objects().await? {
            let text = format!(
                "the raw store of sync {id} at {} holds entities but no manifest.json, so nobody can tell whether it \
                 is whole; run a resync so that the platform writes it again",
                self.location()
            );
            Error::new(ErrorKind::RawStoreInvalid, text)
        } else {
            let text = format!(
                "there is no raw store of sync {id} at {}: check the store URL, its prefix and that it is mounted; if \
                 the platform has not captured this sync yet, run a resync",
                self.location()
            );
            Error::new(ErrorKind::NotFound, text)
        })
    }

    async fn holds_objects(&self) -> Result<bool> {
        let found = self.backend.list(&StorePath::entities(self.sync_id));
        let mut objects = found.try_filter(|found| std::future::ready(matches!(found, Found::Object(_))));
        match objects.try_next().await {
            Ok(first) => Ok(first.is_some()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for SyncStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncStore").field("location", &self.location()).finish_non_exhaustive()
    }
}
