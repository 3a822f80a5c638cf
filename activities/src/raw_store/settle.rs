//! Reading an object that somebody may be writing.
//!
//! The platform truncates a file and writes it anew, so a reader can see an empty, a short or a mixed one. Such a
//! file heals within moments; a file that was torn by a crash never does. They are told apart by the version token:
//! bad twice with the same token is broken, bad with a changing token is busy.

use bytes::Bytes;

use super::backend::{Backend, FetchError};
use super::options::ReadOptions;
use super::store_path::StorePath;
use crate::error::{Error, ErrorKind, Result};

/// Texts longer than this are decoded on a thread that may block.
const DECODE_INLINE_BYTES: usize = 256 << 10;

/// An object that was read and decoded.
#[derive(Debug)]
pub(super) struct Settled<T> {
    /// What it says.
    pub(super) value: T,
    /// Token of the version that was read.
    pub(super) token: String,
    /// Its size.
    pub(super) size_bytes: u64,
}

/// Why an object was not read.
#[derive(Debug)]
pub(super) enum Unsettled {
    /// Fetching it failed, other than by a change under our hands.
    Fetch(FetchError),
    /// It does not decode, and did not change while we waited.
    Undecodable {
        /// Token of that version.
        token: String,
        /// Why.
        reason: String,
    },
}

/// Reads and decodes, again after each pause of `options` while the object is bad.
pub(super) async fn read_settled<T: Send + 'static>(
    backend: &dyn Backend,
    path: &StorePath,
    limit_bytes: u64,
    options: &ReadOptions,
    decode: fn(Bytes) -> Result<T, String>,
) -> Result<Settled<T>, Unsettled> {
    let mut pauses = options.settle_pauses.iter();
    let mut previous: Option<String> = None;
    loop {
        let bad = match backend.read(path, limit_bytes).await {
            Ok(fetched) => {
                let size_bytes = fetched.bytes.len() as u64;
                match decode_off_the_loop(fetched.bytes, decode).await.map_err(Unsettled::from)? {
                    Ok(value) => return Ok(Settled { value, token: fetched.token, size_bytes }),
                    Err(reason) => Some((fetched.token, reason)),
                }
            }
            Err(FetchError::Changing) => None,
            Err(error) => return Err(Unsettled::Fetch(error)),
        };
        if let Some(pause) = pauses.next() {
            tokio::time::sleep(*pause).await;
            previous = bad.map(|(token, _)| token);
            continue;
        }
        return Err(match bad {
            Some((token, reason)) if previous.as_deref() == Some(token.as_str()) => {
                Unsettled::Undecodable { token, reason }
            }
            _ => Unsettled::from(Error::new(
                ErrorKind::Unavailable,
                format!("cannot read {:?}: it is being rewritten again and again", path.whole()),
            )),
        });
    }
}

async fn decode_off_the_loop<T: Send + 'static>(
    bytes: Bytes,
    decode: fn(Bytes) -> Result<T, String>,
) -> Result<Result<T, String>> {
    if bytes.len() <= DECODE_INLINE_BYTES {
        return Ok(decode(bytes));
    }
    tokio::task::spawn_blocking(move || decode(bytes))
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "decoding an entity was broken off").with_source(error))
}

impl From<Error> for Unsettled {
    fn from(error: Error) -> Self {
        Self::Fetch(FetchError::Failed(error))
    }
}
