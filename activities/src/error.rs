//! The error of every activity and adapter: a kind from the table, words for the operator, and the cause.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

pub use workflows::domain::ErrorKind;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A classified failure.
///
/// `Display` prints the message only, never the source: messages reach operators and API callers, sources reach logs
/// (see [`Error::chain`]). So a message must not hold SQL, credentials or document text.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    interruption: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of `kind`; `message` says what happened and, where somebody has to act, what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, interruption: false, source: None }
    }

    /// Nothing failed: the attempt ends because its worker is being stopped, and the next one goes on.
    pub(crate) fn interruption() -> Self {
        let error = Self::new(ErrorKind::Unavailable, "this worker is being stopped; the next attempt goes on");
        Self { interruption: true, ..error }
    }

    /// Keeps the underlying error for logs.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The other side said how long to wait.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The classification.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it is an [`interruption`](Self::interruption).
    pub(crate) fn is_interruption(&self) -> bool {
        self.interruption
    }

    /// The words for the operator.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How long the other side asked us to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Message and every cause, for logs only.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
