//! Why a stored file gave no text.
//!
//! Each variant is a gap the caller counts and names: a file that cannot be converted is reported, never passed over.

use thiserror::Error;

use super::Format;

/// A file that could not be turned into text.
///
/// Messages hold format names, limits and parser positions, never words of the document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContentError {
    /// No converter exists for this kind of file (pictures, sound, archives, and so on).
    #[error("no converter for files with extension {extension:?}")]
    Unsupported {
        /// Lower-case extension with its dot, empty when the name has none.
        extension: String,
    },
    /// The bytes are not a readable file of the format that the extension promises.
    #[error("not a readable {format} file: {reason}")]
    Malformed {
        /// The format promised by the extension.
        format: Format,
        /// What was wrong, in words for the operator.
        reason: String,
    },
    /// The file, or what it unpacks to, is over a limit of this module.
    #[error("{format} file over a limit: more than {limit} {what}")]
    TooLarge {
        /// The format promised by the extension.
        format: Format,
        /// What was counted, with its unit.
        what: &'static str,
        /// The limit in that unit.
        limit: u64,
    },
    /// A document of pages without readable text, for example a scan: it needs character recognition, which this
    /// module does not do.
    #[error("{format} file without a text layer: its pages would need character recognition")]
    NoTextLayer {
        /// The format promised by the extension.
        format: Format,
    },
    /// The file can only be opened with a password.
    #[error("{format} file protected by a password")]
    PasswordProtected {
        /// The format promised by the extension.
        format: Format,
    },
}

impl ContentError {
    /// Stable short name of the gap, for counters and reports.
    #[must_use]
    pub fn gap(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "content_unsupported",
            Self::Malformed { .. } => "content_malformed",
            Self::TooLarge { .. } => "content_too_large",
            Self::NoTextLayer { .. } => "content_no_text_layer",
            Self::PasswordProtected { .. } => "content_password_protected",
        }
    }

    pub(super) fn malformed(format: Format, reason: impl ToString) -> Self {
        Self::Malformed { format, reason: reason.to_string() }
    }
}
