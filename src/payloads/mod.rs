//! Encryption of what Temporal keeps: inputs, results, heartbeats, signals, queries, memos and the words of failures.
//!
//! Optional. With a file of keys every payload that this program sends is sealed with AES-256-GCM, in the worker as in every
//! client; without one nothing changes. What comes in plain, from the `temporal` command or from before, is read as it is.
//! Never sealed: workflow ids, search attributes, the types of failures, and the summary that a start is given.
//!
//! A sealed payload has the encoding `binary/encrypted` and the id of its key beside it. Its data is a random nonce of 12
//! bytes, then the sealed payload in its wire form with the tag; the id of the key is authenticated with it.

mod codec;
mod keys;

pub use codec::SealingCodec;
pub use keys::PayloadKeys;

use std::path::Path;

use temporalio_common::data_converters::{DataConverter, DefaultFailureConverter, PayloadConverter};

use crate::output::Failure;

/// How payloads are written and read: sealed with the keys of a file.
///
/// # Errors
///
/// `InvalidInput` when the file does not read.
pub fn sealing_converter(keys: &Path) -> Result<DataConverter, Failure> {
    let codec = SealingCodec::new(PayloadKeys::read(keys)?);
    // Failures carry their words in a payload then, which is sealed like any other.
    Ok(DataConverter::new(PayloadConverter::default(), DefaultFailureConverter::new(true), codec))
}
