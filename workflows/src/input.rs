//! Reads a workflow's input from whatever encoding the caller's SDK or terminal produced.
//!
//! A start input that the SDK itself cannot decode fails the workflow task for ever and says nothing useful. So
//! workflows take raw payloads and decode them here; a bad one becomes a clear failure of the workflow.

use std::fmt;

use prost::Message;
use serde::de::DeserializeOwned;
use temporalio_common::protos::temporal::api::common::v1::Payload;

/// Largest input that is read, in bytes. Requests are small references.
const MAX_INPUT_BYTES: usize = 64 * 1024;

/// Why an input could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError(String);

impl InputError {
    pub(crate) fn new(reason: String) -> Self {
        Self(reason)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InputError {}

/// Decodes a message from one payload.
///
/// `json/plain` and `json/protobuf` take proto3 JSON with either spelling of a field (`sync_id`, `syncId`);
/// `binary/protobuf` takes the wire form. Unknown JSON fields are refused, because an option that was misspelt and
/// ignored is an option that was guessed.
///
/// # Errors
///
/// When there is not exactly one payload, it is too large, its encoding is another one, or it does not decode.
pub fn decode<T: Message + Default + DeserializeOwned>(payloads: &[Payload]) -> Result<T, InputError> {
    let [payload] = payloads else {
        return Err(InputError(format!("expected one argument, a JSON object, but got {}", payloads.len())));
    };
    if payload.data.len() > MAX_INPUT_BYTES {
        return Err(InputError(format!(
            "the argument has {} bytes; at most {MAX_INPUT_BYTES} are read",
            payload.data.len()
        )));
    }
    match payload.metadata.get("encoding").map(Vec::as_slice) {
        Some(b"json/plain" | b"json/protobuf") => serde_json::from_slice(&payload.data)
            .map_err(|error| InputError(format!("the argument does not decode: {error}"))),
        Some(b"binary/protobuf") => T::decode(payload.data.as_slice())
            .map_err(|error| InputError(format!("the argument does not decode: {error}"))),
        Some(other) => Err(InputError(format!(
            "the argument has encoding {:?}; send json/plain, json/protobuf or binary/protobuf",
            String::from_utf8_lossy(other)
        ))),
        None => Err(InputError(
            "the argument has no encoding; send json/plain, json/protobuf or binary/protobuf".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{ForkRequest, Throttle};

    use super::*;

    fn payload(encoding: &str, data: &[u8]) -> Payload {
        Payload {
            metadata: [("encoding".to_owned(), encoding.as_bytes().to_vec())].into(),
            data: data.to_vec(),
            ..Default::default()
        }
    }

    fn expected() -> ForkRequest {
        ForkRequest {
            sync_id: "s".to_owned(),
            destination_connection_id: "c".to_owned(),
            options: Some(proto::v1::ForkOptions { allow_incomplete: true, ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn plain_json_decodes_in_both_spellings() {
        for json in [
            r#"{"sync_id":"s","destination_connection_id":"c","options":{"allow_incomplete":true}}"#,
            r#"{"syncId":"s","destinationConnectionId":"c","options":{"allowIncomplete":true}}"#,
        ] {
            assert_eq!(decode::<ForkRequest>(&[payload("json/plain", json.as_bytes())]), Ok(expected()));
            assert_eq!(decode::<ForkRequest>(&[payload("json/protobuf", json.as_bytes())]), Ok(expected()));
        }
    }

    #[test]
    fn the_wire_form_decodes() {
        let data = expected().encode_to_vec();
        assert_eq!(decode::<ForkRequest>(&[payload("binary/protobuf", &data)]), Ok(expected()));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let told = |payloads: &[Payload]| decode::<Throttle>(payloads).unwrap_err().to_string();
        assert!(told(&[]).contains("expected one argument"));
        assert!(told(&[payload("json/plain", b"{\"lane\":1}")]).contains("unknown field `lane`"), "a misspelt option");
        assert!(told(&[payload("json/plain", b"{\"lanes\":\"x\"}")]).contains("does not decode"));
        assert!(told(&[payload("binary/encrypted", b"")]).contains("binary/encrypted"));
        assert!(told(&[payload("json/plain", &vec![b' '; MAX_INPUT_BYTES + 1])]).contains("at most"));
        assert!(told(&[Payload::default()]).contains("no encoding"));
    }
}
