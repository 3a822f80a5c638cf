//! The file that belongs to an entity.

use bytes::Bytes;

use super::read_error::ReadError;
use super::store_path::StorePath;
use super::sync_store::SyncStore;

impl SyncStore {
    /// Reads the blob that an entity names in `__stored_file__`, a path such as `raw/{sync_id}/files/…`.
    ///
    /// Names of blobs cannot be predicted, so that field is the only way to one. The platform deletes the old blob
    /// before it writes the new one and the entity: after [`ReadError::Vanished`], read the entity again.
    /// [`ReadOptions::DEFAULT_MAX_BLOB_BYTES`](super::ReadOptions::DEFAULT_MAX_BLOB_BYTES) is a sensible limit.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]. A path that is not below `files/` of this sync is [`ReadError::Refused`].
    pub async fn read_blob(&self, stored_file: &str, limit_bytes: u64) -> Result<Bytes, ReadError> {
        let path = StorePath::blob(self.sync_id, stored_file)
            .map_err(|reason| ReadError::Refused { key: stored_file.to_owned(), reason: reason.to_owned() })?;
        Ok(self.read_object(stored_file, &path, limit_bytes, Ok).await?.value)
    }
}
