//! The two ways to reach a raw store: the file system and an object store, behind [`Backend`].
//!
//! Local directories do not go through `object_store`: it refuses names with control characters, which the platform
//! writes, and has no inode in its version tokens.

mod cloud;
pub(super) mod connect;
mod local;

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::listed_object::ListedObject;
use super::store_path::StorePath;
use crate::error::{Error, Result};

pub(super) use cloud::CloudBackend;
pub(super) use local::LocalBackend;

/// Reads objects. Implementations never change anything.
#[async_trait]
pub(super) trait Backend: Debug + Send + Sync {
    /// The whole object, if it has at most `limit_bytes`.
    async fn read(&self, path: &StorePath, limit_bytes: u64) -> Result<Fetched, FetchError>;

    /// Whether the object is there. An error when that cannot be told.
    async fn exists(&self, path: &StorePath) -> Result<bool>;

    /// What is in a directory, in any order. An error is the last item: a stream that ends without one was whole.
    fn list(&self, directory: &StorePath) -> BoxStream<'static, Result<Found>>;
}

/// An object that was read in one piece.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    /// What is in it.
    pub(super) bytes: Bytes,
    /// Token of the version that was read; equal to that of a listing while the object does not change.
    pub(super) token: String,
}

/// One thing in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// An object or plain file.
    Object(ListedObject),
    /// A directory, a socket, an object deeper down.
    Other,
}

/// Why an object was not fetched.
#[derive(Debug)]
pub(super) enum FetchError {
    /// It is not there.
    NotFound,
    /// It changed while it was being read.
    Changing,
    /// It is larger than the limit.
    TooLarge {
        /// Token of that version.
        token: String,
        /// Its size in bytes.
        size_bytes: u64,
    },
    /// It cannot be addressed, or is no plain file.
    Refused(String),
    /// The store failed.
    Failed(Error),
}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
