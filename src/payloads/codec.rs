//! Seals and opens payloads.

use std::sync::Arc;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, Generate as _, Nonce, Payload as Sealing};
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use prost::Message as _;
use temporalio_common::data_converters::{PayloadCodec, PayloadConversionError, SerializationContextData};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use super::PayloadKeys;

/// The encoding of a sealed payload.
const ENCODING: &[u8] = b"binary/encrypted";

/// The entry of a payload's metadata that names its key.
const KEY_ID: &str = "encryption-key-id";

/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;

/// Seals with the first of some keys, and opens with all of them.
#[derive(Debug, Clone)]
pub struct SealingCodec {
    keys: Arc<PayloadKeys>,
}

impl SealingCodec {
    /// A codec with these keys.
    #[must_use]
    pub fn new(keys: PayloadKeys) -> Self {
        Self { keys: Arc::new(keys) }
    }

    fn seal(&self, payload: &Payload) -> Result<Payload, PayloadConversionError> {
        let (id, cipher) = self.keys.sealing();
        let nonce = Nonce::<Aes256Gcm>::generate();
        let plain = payload.encode_to_vec();
        let sealed = cipher
            .encrypt(&nonce, Sealing { msg: &plain, aad: id.as_bytes() })
            .map_err(|_| failed("a payload could not be sealed".to_owned()))?;
        let mut data = nonce.to_vec();
        data.extend(sealed);
        let metadata = [("encoding".to_owned(), ENCODING.to_vec()), (KEY_ID.to_owned(), id.as_bytes().to_vec())].into();
        Ok(Payload { metadata, data, ..Payload::default() })
    }

    fn open(&self, payload: Payload) -> Result<Payload, PayloadConversionError> {
        if payload.metadata.get("encoding").map(Vec::as_slice) != Some(ENCODING) {
            return Ok(payload);
        }
        let id = payload.metadata.get(KEY_ID).map(Vec::as_slice).unwrap_or_default();
        let shown = String::from_utf8_lossy(id);
        let cipher = self.keys.find(id).ok_or_else(|| {
            failed(format!("a payload was sealed with the key {shown:?}, which the file of payload keys lacks"))
        })?;
        let broken = || failed(format!("a payload does not open with the key {shown:?}: another key has that id"));
        let (nonce, sealed) = payload.data.split_at_checked(NONCE_BYTES).ok_or_else(broken)?;
        let nonce = Nonce::<Aes256Gcm>::try_from(nonce).map_err(|_| broken())?;
        let plain = cipher.decrypt(&nonce, Sealing { msg: sealed, aad: id }).map_err(|_| broken())?;
        Payload::decode(plain.as_slice()).map_err(|_| broken())
    }
}

impl PayloadCodec for SealingCodec {
    fn encode(
        &self,
        _context: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        ready(payloads.iter().map(|payload| self.seal(payload)).collect()).boxed()
    }

    fn decode(
        &self,
        _context: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        ready(payloads.into_iter().map(|payload| self.open(payload)).collect()).boxed()
    }
}

fn failed(words: String) -> PayloadConversionError {
    PayloadConversionError::EncodingError(words.into())
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::keys;
    use super::*;

    fn plain() -> Payload {
        let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
        Payload { metadata, data: br#""a secret""#.to_vec(), ..Payload::default() }
    }

    #[test]
    fn what_is_sealed_shows_nothing_and_opens_as_it_was() {
        let codec = SealingCodec::new(keys(&["a"]));
        let sealed = codec.seal(&plain()).unwrap();
        let bytes = sealed.encode_to_vec();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
        assert_ne!(codec.seal(&plain()).unwrap().data, sealed.data, "no nonce is used twice");
        assert_eq!(codec.open(sealed).unwrap(), plain());
        assert_eq!(codec.open(plain()).unwrap(), plain(), "what comes in plain is read as it is");
    }

    #[test]
    fn keys_rotate() {
        let before = SealingCodec::new(keys(&["old"]));
        let both = SealingCodec::new(keys(&["new", "old"]));
        let after = SealingCodec::new(keys(&["new"]));
        let (old, new) = (before.seal(&plain()).unwrap(), both.seal(&plain()).unwrap());
        assert_eq!(both.open(old.clone()).unwrap(), plain());
        assert_eq!(after.open(new).unwrap(), plain());
        let said = after.open(old).unwrap_err().to_string();
        assert!(said.contains("\"old\"") && said.contains("lacks"), "{said}");
    }

    #[test]
    fn what_was_changed_on_the_way_does_not_open() {
        let codec = SealingCodec::new(keys(&["a", "b"]));
        let sealed = codec.seal(&plain()).unwrap();
        let mut flipped = sealed.clone();
        *flipped.data.last_mut().unwrap() ^= 1;
        let mut renamed = sealed.clone();
        renamed.metadata.insert(KEY_ID.to_owned(), b"b".to_vec());
        let short = Payload { data: sealed.data[..8].to_vec(), ..sealed };
        for payload in [flipped, renamed, short] {
            assert!(codec.open(payload).unwrap_err().to_string().contains("does not open"));
        }
    }
}
