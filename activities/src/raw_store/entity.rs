//! One entity, as the platform captured it.

use bytes::Bytes;

use super::read_error::ReadError;
use super::store_path::StorePath;
use super::sync_store::SyncStore;
use crate::error::{self, Error, ErrorKind};
use crate::json::{self, Value};

/// The JSON of an entity and which version it is.
#[derive(Debug, Clone, PartialEq)]
pub struct RawEntity {
    /// File name below `entities/`.
    pub key: String,
    /// Token of what was read, which may be newer than what was listed.
    pub token: String,
    /// A JSON object. Nothing about its fields has been checked.
    pub value: Value,
    /// Size of the file.
    pub bytes: u64,
}

impl SyncStore {
    /// Reads the entity in the file `key` below `entities/`, as [`ListedObject::key`](super::ListedObject::key) has it.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]. A file that does not decode is read again a few times, for about a second.
    pub async fn read_entity(&self, key: &str) -> Result<RawEntity, ReadError> {
        let path = StorePath::entity(self.sync_id, key)
            .map_err(|reason| ReadError::Refused { key: key.to_owned(), reason: reason.to_owned() })?;
        let settled = self.read_object(key, &path, self.options.max_entity_bytes, decode_object).await?;
        Ok(RawEntity { key: key.to_owned(), token: settled.token, value: settled.value, bytes: settled.size_bytes })
    }

    /// Whether there is a file `key` below `entities/`, readable or not. No is an answer only while the manifest is there:
    /// a volume that is no longer mounted proves nothing.
    ///
    /// # Errors
    ///
    /// `NotFound` or `RawStoreInvalid` when the manifest is not there either; `InvalidInput` when `key` is no file name;
    /// whatever the store answered.
    pub async fn holds_entity(&self, key: &str) -> error::Result<bool> {
        let path = StorePath::entity(self.sync_id, key)
            .map_err(|reason| Error::new(ErrorKind::InvalidInput, format!("cannot look for {key:?}: {reason}")))?;
        if self.backend.exists(&path).await? {
            return Ok(true);
        }
        self.prove_present().await?;
        Ok(false)
    }
}

/// Decodes what every JSON file of a raw store is: one object.
pub(super) fn decode_object(bytes: Bytes) -> Result<Value, String> {
    match json::parse(&bytes) {
        Ok(value) if value.as_object().is_some() => Ok(value),
        Ok(_) => Err("it is JSON, but not an object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
