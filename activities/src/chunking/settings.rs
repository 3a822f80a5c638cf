//! What a chunker can be told, and the limits of that.

use crate::error::{Error, ErrorKind, Result};

/// No chunk may have more tokens than this: the input limit of the embedding models in use.
pub const ABSOLUTE_MAX_TOKENS: usize = 8192;

/// Below this, chunks say nothing.
const SMALLEST_MAX_TOKENS: usize = 16;

/// `max_tokens` when a profile does not say.
const DEFAULT_MAX_TOKENS: usize = 512;

/// How to cut text. Counts are cl100k_base tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkerSettings {
    /// Upper bound of a chunk, 16 to 8192.
    pub max_tokens: usize,
    /// Tokens repeated from the end of one chunk at the start of the next, at most; less than half of `max_tokens`.
    pub overlap_tokens: usize,
}

impl Default for ChunkerSettings {
    fn default() -> Self {
        Self { max_tokens: DEFAULT_MAX_TOKENS, overlap_tokens: 0 }
    }
}

impl ChunkerSettings {
    /// Reads the part of a profile; an absent message and zeros mean the defaults.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, naming the field, when a value is out of range.
    pub fn from_profile(chunker: Option<&proto::v1::Chunker>) -> Result<Self> {
        let mut settings = Self::default();
        if let Some(chunker) = chunker {
            if chunker.max_tokens != 0 {
                settings.max_tokens = to_usize(chunker.max_tokens);
            }
            settings.overlap_tokens = to_usize(chunker.overlap_tokens);
        }
        settings.validate()?;
        Ok(settings)
    }

    pub(super) fn validate(self) -> Result<()> {
        if !(SMALLEST_MAX_TOKENS..=ABSOLUTE_MAX_TOKENS).contains(&self.max_tokens) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "chunker.max_tokens is {} but must be {SMALLEST_MAX_TOKENS} to {ABSOLUTE_MAX_TOKENS}",
                    self.max_tokens
                ),
            ));
        }
        if self.overlap_tokens.saturating_mul(2) >= self.max_tokens {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "chunker.overlap_tokens is {} but must be less than half of max_tokens ({})",
                    self.overlap_tokens, self.max_tokens
                ),
            ));
        }
        Ok(())
    }
}

/// Exact on every platform the product runs on; a value that would not fit is out of range anyway.
fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
