//! What can go wrong with reading one object.

use crate::error::{Error, ErrorKind};

/// Why an object was not read.
///
/// The first four are facts about that object: they become gaps or dead letters, and the work goes on.
/// [`ReadError::Failed`] says nothing about the object: the store did not answer, the activity fails and is retried.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there any more, while the rest of the store is.
    #[error("{key:?} is no longer in the raw store")]
    Vanished {
        /// Which object.
        key: String,
    },
    /// It is no JSON object, and stayed so while its token stayed the same.
    #[error("{key:?} does not decode: {reason}")]
    Undecodable {
        /// Which object.
        key: String,
        /// Token of the version that does not decode: another token is worth another try.
        token: String,
        /// In words, with positions and without content.
        reason: String,
    },
    /// It is larger than the limit.
    #[error("{key:?} has {size_bytes} bytes, more than the limit of {limit_bytes}")]
    TooLarge {
        /// Which object.
        key: String,
        /// Token of the version that is too large.
        token: String,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// It must not or cannot be addressed: the path leads out of the raw store of the sync, or it is no plain file.
    #[error("{key:?} is refused: {reason}")]
    Refused {
        /// Which object, as it was asked for.
        key: String,
        /// In words.
        reason: String,
    },
    /// The store failed; nothing is known about the object.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl ReadError {
    /// The classification.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Vanished { .. } => ErrorKind::NotFound,
            Self::Undecodable { .. } | Self::Refused { .. } => ErrorKind::RawStoreInvalid,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Failed(error) => error.kind(),
        }
    }

    /// Whether this is a fact about the object, so that the work may go on without it.
    #[must_use]
    pub fn is_about_the_object(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed(error) => error,
            fact => Self::new(fact.kind(), fact.to_string()),
        }
    }
}
