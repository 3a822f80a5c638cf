//! Credentials of connections: Fernet tokens over a JSON object, as the platform writes them.
//!
//! The key is the platform's `ENCRYPTION_KEY` (44 characters of URL-safe base64). Format: the Fernet specification;
//! Python's `cryptography` reads and writes the same bytes.

use fernet::Fernet;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};

/// Decrypts the credentials of connections.
pub struct CredentialReader {
    key: Option<Fernet>,
}

impl CredentialReader {
    /// A reader for one key; without a key every connection with credentials is refused.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the text is not a Fernet key.
    pub fn new(key: Option<&SecretString>) -> Result<Self> {
        let key = key
            .map(|key| {
                Fernet::new(key.expose_secret()).ok_or_else(|| {
                    Error::new(
                        ErrorKind::InvalidInput,
                        "ENCRYPTION_KEY is not a Fernet key; it has 44 characters of URL-safe base64",
                    )
                })
            })
            .transpose()?;
        Ok(Self { key })
    }

    /// Decrypts the credentials of one connection.
    ///
    /// # Errors
    ///
    /// `DestinationDenied` when there is no key, the token was made with another one, or it holds no JSON object.
    pub fn read(&self, token: &SecretString) -> Result<Credentials> {
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| denied("the connection has credentials; set ENCRYPTION_KEY to the platform's key"))?;
        let plain = key.decrypt(token.expose_secret()).map_err(|_| {
            denied("the connection's credentials were encrypted with another key; check ENCRYPTION_KEY")
        })?;
        match serde_json::from_slice(&plain) {
            Ok(Value::Object(fields)) => Ok(Credentials { fields }),
            _ => Err(denied("the connection's credentials are not a JSON object")),
        }
    }

    /// A new key.
    #[must_use]
    pub fn generate_key() -> String {
        Fernet::generate_key()
    }

    /// Encrypts a JSON object the way the platform does; for seeding and tests.
    ///
    /// # Errors
    ///
    /// `InvalidInput` without a key.
    pub fn encrypt(&self, object: &serde_json::Value) -> Result<String> {
        let key = self.key.as_ref().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "ENCRYPTION_KEY is not set"))?;
        Ok(key.encrypt(object.to_string().as_bytes()))
    }
}

/// What a connection is given to get into its destination.
pub struct Credentials {
    fields: Map<String, Value>,
}

impl Credentials {
    /// A text that must be there.
    ///
    /// # Errors
    ///
    /// `DestinationDenied` naming the field when it is missing, empty, or no text.
    pub fn text(&self, field: &str) -> Result<SecretString> {
        self.optional_text(field)?
            .ok_or_else(|| denied(&format!("the connection's credentials have no text field `{field}`")))
    }

    /// A text that may be left out: missing, null and empty are the same.
    ///
    /// # Errors
    ///
    /// `DestinationDenied` naming the field when it is there and no text.
    pub fn optional_text(&self, field: &str) -> Result<Option<SecretString>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str().into())),
            Some(_) => Err(denied(&format!("`{field}` of the connection's credentials is not a text"))),
        }
    }

    /// A port that may be left out, as a number or as its digits.
    ///
    /// # Errors
    ///
    /// `DestinationDenied` naming the field when it is there and no port.
    pub fn optional_port(&self, field: &str) -> Result<Option<u16>> {
        let port = match self.fields.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(digits)) => digits.parse().ok(),
            Some(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        };
        match port {
            Some(1..) => Ok(port),
            _ => Err(denied(&format!("`{field}` of the connection's credentials is not a port, 1 to 65535"))),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("fields", &self.fields.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CredentialReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialReader").field("key", &self.key.as_ref().map(|_| "[REDACTED]")).finish()
    }
}

fn denied(message: &str) -> Error {
    Error::new(ErrorKind::DestinationDenied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Key and token of the Fernet specification's `verify.json`, whose plain text is "hello".
    const SPEC_KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const SPEC_TOKEN: &str =
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    #[test]
    fn the_specifications_token_decrypts() {
        let plain = Fernet::new(SPEC_KEY).unwrap().decrypt(SPEC_TOKEN).unwrap();
        assert_eq!(plain, b"hello");
    }

    fn read(object: &Value) -> Credentials {
        let reader = CredentialReader::new(Some(&SPEC_KEY.into())).unwrap();
        reader.read(&reader.encrypt(object).unwrap().into()).unwrap()
    }

    #[test]
    fn a_field_is_read_back_and_nothing_leaks() {
        let reader = CredentialReader::new(Some(&SPEC_KEY.into())).unwrap();
        let object = serde_json::json!({"url": "postgres://secret", "port": "secret"});
        let token = reader.encrypt(&object).unwrap().into();
        let credentials = reader.read(&token).unwrap();
        assert_eq!(credentials.text("url").unwrap().expose_secret(), "postgres://secret");
        assert!(!format!("{reader:?} {credentials:?}").contains(SPEC_KEY));
        assert!(!format!("{reader:?} {credentials:?}").contains("secret"));
        for error in [
            credentials.text("api_key").unwrap_err(),
            credentials.optional_port("port").unwrap_err(),
            CredentialReader::new(None).unwrap().read(&token).unwrap_err(),
            CredentialReader::new(Some(&Fernet::generate_key().into())).unwrap().read(&token).unwrap_err(),
            reader.read(&reader.encrypt(&serde_json::json!(["secret"])).unwrap().into()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::DestinationDenied);
            assert!(!error.chain().contains("secret"));
        }
        assert_eq!(CredentialReader::new(Some(&"short".into())).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn what_may_be_left_out_is_missing_null_or_empty() {
        let credentials = read(&serde_json::json!({"null": null, "empty": "", "text": "t", "number": 7}));
        for field in ["missing", "null", "empty"] {
            assert!(credentials.optional_text(field).unwrap().is_none(), "{field}");
            assert!(credentials.text(field).unwrap_err().message().contains(field));
        }
        assert_eq!(credentials.optional_text("text").unwrap().unwrap().expose_secret(), "t");
        assert!(credentials.optional_text("number").unwrap_err().message().contains("`number`"));
    }

    #[test]
    fn a_port_is_a_number_or_its_digits() {
        let object =
            serde_json::json!({"number": 6334, "digits": "6335", "zero": 0, "large": 65536, "text": "x", "half": 0.5});
        let credentials = read(&object);
        assert_eq!(credentials.optional_port("number").unwrap(), Some(6334));
        assert_eq!(credentials.optional_port("digits").unwrap(), Some(6335));
        assert_eq!(credentials.optional_port("missing").unwrap(), None);
        for field in ["zero", "large", "text", "half"] {
            assert!(credentials.optional_port(field).unwrap_err().message().contains(field));
        }
    }
}
