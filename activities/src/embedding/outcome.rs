//! What becomes of one text.

use thiserror::Error;

use crate::error::ErrorKind;

/// The vector of a text, or why there will be none.
pub type EmbedOutcome = Result<Vec<f32>, EmbedFailure>;

/// Why one text has no vector, while others of the same request may have theirs. `Display` never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EmbedFailure {
    /// Nothing but white space.
    #[error("the text is blank")]
    Blank,
    /// Every token of the text is unknown to the model, so a vector would say nothing about it.
    #[error("the model knows no token of the text")]
    NoKnownToken,
    /// The tokenizer of the model failed on the text.
    #[error("the tokenizer of the model fails on the text")]
    NotTokenised,
    /// The server takes other texts but not this one.
    #[error("the embedding server refuses the text with status {status}")]
    Refused {
        /// HTTP status of the refusal.
        status: u16,
    },
    /// The text alone is larger than what the server takes.
    #[error("the text is too large for the embedding server")]
    TooLarge,
    /// The vector is all zeros, which is how some servers report a failure.
    #[error("the vector of the text is all zeros")]
    ZeroVector,
    /// The vector holds a null, an infinity or something that is not a number.
    #[error("the vector of the text holds a value that is not a finite number")]
    NotFinite,
}

impl EmbedFailure {
    /// The kind a dead letter is filed under.
    #[must_use]
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::Blank | Self::NoKnownToken | Self::NotTokenised | Self::Refused { .. } => ErrorKind::InvalidInput,
            Self::TooLarge => ErrorKind::TooLarge,
            Self::ZeroVector | Self::NotFinite => ErrorKind::Internal,
        }
    }
}

/// The one gate that every vector passes.
pub(crate) fn check(vector: &[f32]) -> Result<(), EmbedFailure> {
    if !vector.iter().all(|value| value.is_finite()) {
        Err(EmbedFailure::NotFinite)
    } else if vector.iter().all(|value| *value == 0.0) {
        Err(EmbedFailure::ZeroVector)
    } else {
        Ok(())
    }
}

/// The vector, when it passes [`check`].
pub(super) fn checked(vector: Vec<f32>) -> EmbedOutcome {
    check(&vector).map(|()| vector)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::fine(vec![0.0, -1.0], Ok(vec![0.0, -1.0]))]
    #[case::zeros(vec![0.0, -0.0], Err(EmbedFailure::ZeroVector))]
    #[case::no_values(vec![], Err(EmbedFailure::ZeroVector))]
    #[case::infinite(vec![1.0, f32::INFINITY], Err(EmbedFailure::NotFinite))]
    #[case::not_a_number(vec![f32::NAN, 0.0], Err(EmbedFailure::NotFinite))]
    fn only_usable_vectors_pass(#[case] vector: Vec<f32>, #[case] expected: EmbedOutcome) {
        assert_eq!(checked(vector), expected);
    }
}
