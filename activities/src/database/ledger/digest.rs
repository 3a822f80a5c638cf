//! Digests of what is only ever compared.
//!
//! Both are parts of a SHA-256, so unequal inputs have equal digests only by chance:
//!
//! * **Token**, 64 bits. An object is compared with its own last version, so a change goes unnoticed once in 2⁶⁴ changes,
//!   1.8 · 10¹⁹: ten million objects that all change every hour for ten years give odds of 5 · 10⁻⁸ for one of them, and its
//!   next change is noticed.
//! * **Content hash**, 128 bits, because somebody chooses the content: finding two of one digest takes some 2⁶⁴ attempts.

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// Stands for the token of a listed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(pub(super) [u8; TokenDigest::BYTES]);

impl TokenDigest {
    pub(super) const BYTES: usize = 8;

    /// Of a version that is not known: that of no object, except by the chance above.
    pub const UNKNOWN: Self = Self([0; Self::BYTES]);

    /// The digest of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let whole: [u8; 32] = Sha256::digest(token).into();
        let mut digest = [0; Self::BYTES];
        digest.copy_from_slice(&whole[..Self::BYTES]);
        Self(digest)
    }
}

/// Stands for the content hash of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentDigest(pub(super) [u8; ContentDigest::BYTES]);

impl ContentDigest {
    pub(super) const BYTES: usize = 16;

    /// Of content that is not known.
    pub const UNKNOWN: Self = Self([0; Self::BYTES]);

    /// The digest of a content hash, which is 64 hex digits and a digest itself.
    ///
    /// # Errors
    /// `Internal` when it is not.
    pub fn of(content_hash: &str) -> Result<Self> {
        let mut whole = [0_u8; 32];
        hex::decode_to_slice(content_hash, &mut whole).map_err(|error| {
            Error::new(ErrorKind::Internal, "a content hash is not 64 hex digits").with_source(error)
        })?;
        let mut digest = [0; Self::BYTES];
        digest.copy_from_slice(&whole[..Self::BYTES]);
        Ok(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The migration that moved the rows of earlier releases computes the same in SQL.
    #[test]
    fn a_token_is_the_beginning_of_its_sha256() {
        assert_eq!(hex::encode(TokenDigest::of("abc").0), "ba7816bf8f01cfea");
    }

    #[test]
    fn a_content_hash_is_its_own_beginning() {
        let hash = format!("{}{}", "0f".repeat(16), "00".repeat(16));
        assert_eq!(ContentDigest::of(&hash).unwrap().0, [15; 16]);
        assert!(ContentDigest::of("0f").is_err());
    }
}
