//! Credentials of connections: Fernet tokens over a JSON object, as the platform writes them.
//!
//! The key is the platform's `ENCRYPTION_KEY` (44 characters of URL-safe base64). Format: the Fernet specification;
//! Python's `cryptography` reads and writes the same bytes.

use fernet::Fernet;
use secrecy::{ExposeSecret, SecretString};

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

    /// One text field of the decrypted JSON object.
    ///
    /// # Errors
    ///
    /// `DestinationDenied` when there is no key, the token was made with another one, or the field is missing.
    pub fn field(&self, token: &SecretString, field: &str) -> Result<SecretString> {
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| denied("the connection has credentials; set ENCRYPTION_KEY to the platform's key"))?;
        let plain = key.decrypt(token.expose_secret()).map_err(|_| {
            denied("the connection's credentials were encrypted with another key; check ENCRYPTION_KEY")
        })?;
        let object: serde_json::Value =
            serde_json::from_slice(&plain).map_err(|_| denied("the connection's credentials are not a JSON object"))?;
        let value = object.get(field).and_then(serde_json::Value::as_str);
        value
            .map(SecretString::from)
            .ok_or_else(|| denied(&format!("the connection's credentials have no text field `{field}`")))
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

    #[test]
    fn a_field_is_read_back_and_nothing_leaks() {
        let reader = CredentialReader::new(Some(&SPEC_KEY.into())).unwrap();
        let token = reader.encrypt(&serde_json::json!({"url": "postgres://secret"})).unwrap().into();
        assert_eq!(reader.field(&token, "url").unwrap().expose_secret(), "postgres://secret");
        assert!(!format!("{reader:?}").contains(SPEC_KEY));
        for error in [
            reader.field(&token, "api_key").unwrap_err(),
            CredentialReader::new(None).unwrap().field(&token, "url").unwrap_err(),
            CredentialReader::new(Some(&Fernet::generate_key().into())).unwrap().field(&token, "url").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::DestinationDenied);
            assert!(!error.chain().contains("secret"));
        }
        assert_eq!(CredentialReader::new(Some(&"short".into())).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
