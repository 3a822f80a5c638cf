//! Secrets and signatures as the Standard Webhooks specification has them (`v1`: HMAC-SHA256, symmetric).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::Sha256;

use crate::error::{Error, ErrorKind, Result};

/// Marks a secret; the rest is base64.
const PREFIX: &str = "whsec_";

/// Bytes of a secret, as the specification asks for.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// Most secrets at a time: the new one, the old one, and one more for whoever changes twice.
const MOST: usize = 3;

/// A secret that receivers know.
pub struct SigningSecret(SecretSlice<u8>);

impl SigningSecret {
    /// Reads secrets with white space between them, the newest first.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when there is none, or one is not `whsec_` and the base64 of 24 to 64 bytes.
    pub fn parse_all(text: &SecretString) -> Result<Vec<Self>> {
        let secrets: Vec<Self> = text.expose_secret().split_whitespace().map(Self::parse).collect::<Result<_>>()?;
        if (1..=MOST).contains(&secrets.len()) {
            return Ok(secrets);
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("SYNCMUX_WEBHOOK_SECRET holds {} secrets; give one to {MOST}", secrets.len()),
        ))
    }

    fn parse(text: &str) -> Result<Self> {
        let bytes = text.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
        match bytes.filter(|bytes| LENGTHS.contains(&bytes.len())) {
            Some(bytes) => Ok(Self(bytes.into())),
            None => Err(Error::new(
                ErrorKind::InvalidInput,
                "SYNCMUX_WEBHOOK_SECRET is not a signing secret: write whsec_ and the base64 of 24 to 64 random bytes, as \
                 `echo whsec_$(openssl rand -base64 32)` prints",
            )),
        }
    }

    /// The signature of a request, to compare with one of those in `webhook-signature`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        SigningSecret::parse_all(&text.into()).unwrap_err().to_string()
    }

    /// The example that the specification's own libraries are tested with.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secrets = SigningSecret::parse_all(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let signed = secrets[0].sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{:?}", secrets[0]), "SigningSecret");
    }

    #[test]
    fn a_secret_that_is_none_is_refused_and_not_quoted() {
        let short = format!("{PREFIX}{}", STANDARD.encode([7; 23]));
        for text in ["hunter2", "whsec_hunter2!", short.as_str(), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let told = told(text);
            assert!(told.contains("not a signing secret") && !told.contains(text), "{told}");
        }
        assert!(told(" \n").contains("holds 0 secrets"));
        let one = format!("{PREFIX}{} ", STANDARD.encode([7; 24]));
        assert!(told(&one.repeat(4)).contains("holds 4 secrets"));
        assert_eq!(SigningSecret::parse_all(&one.repeat(2).into()).unwrap().len(), 2);
    }
}
