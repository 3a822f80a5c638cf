//! The one table of error kinds: what Temporal, HTTP and people do about each.
//!
//! Every failure in the product is classified once, near the wire that produced it, into an [`ErrorKind`].
//! The matches below have no `_` arm on purpose: a new kind does not compile until each question is answered for it.

use std::fmt;
use std::str::FromStr;

/// What went wrong, in the terms of who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The request itself is wrong: a malformed id, an unknown option or profile key.
    InvalidInput,
    /// No valid credentials were presented to us.
    Unauthorized,
    /// The caller is known but may not do this.
    Forbidden,
    /// The sync, slot, connection or raw store does not exist (or belongs to another organisation).
    NotFound,
    /// The state does not allow it now: not ready, active slot moved, generation stale, other operation running.
    Conflict,
    /// The raw store is not usable: manifest unreadable, listing incomplete, entities missing.
    RawStoreInvalid,
    /// The destination exists with another vector size, schema or fingerprint.
    IncompatibleDestination,
    /// The destination refused our credentials.
    DestinationDenied,
    /// More entities were rejected (dead letters) than the operation's budget allows.
    RejectedDocuments,
    /// Verification found missing, extra or differing entities beyond the budget.
    VerificationFailed,
    /// Asked to slow down, possibly with a delay to wait.
    RateLimited,
    /// The other side has no space left.
    OutOfSpace,
    /// Not reachable now: connection refused or reset, server starting, deadlock, failover.
    Unavailable,
    /// A deadline passed or a body stalled.
    Timeout,
    /// A request or a single object is over a size limit.
    TooLarge,
    /// A broken invariant of ours, or an answer we cannot explain.
    Internal,
}

/// Who has to act before the operation can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The caller: change the request.
    Caller,
    /// The operator: change the world around it.
    Operator,
    /// Nobody: a retry is expected to succeed.
    Nobody,
    /// A developer: this is a bug until shown otherwise.
    Developer,
}

impl ErrorKind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 16] = [
        Self::InvalidInput,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::RawStoreInvalid,
        Self::IncompatibleDestination,
        Self::DestinationDenied,
        Self::RejectedDocuments,
        Self::VerificationFailed,
        Self::RateLimited,
        Self::OutOfSpace,
        Self::Unavailable,
        Self::Timeout,
        Self::TooLarge,
        Self::Internal,
    ];

    /// The stable name: Temporal's failure type and the `code` of a problem document. Never rename one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidInput => "InvalidInput",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::RawStoreInvalid => "RawStoreInvalid",
            Self::IncompatibleDestination => "IncompatibleDestination",
            Self::DestinationDenied => "DestinationDenied",
            Self::RejectedDocuments => "RejectedDocuments",
            Self::VerificationFailed => "VerificationFailed",
            Self::RateLimited => "RateLimited",
            Self::OutOfSpace => "OutOfSpace",
            Self::Unavailable => "Unavailable",
            Self::Timeout => "Timeout",
            Self::TooLarge => "TooLarge",
            Self::Internal => "Internal",
        }
    }

    /// Whether Temporal may try the activity again. `Internal` is retried a few times, then fails.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::RateLimited | Self::OutOfSpace | Self::Unavailable | Self::Timeout | Self::Internal => true,
            Self::InvalidInput
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::Conflict
            | Self::RawStoreInvalid
            | Self::IncompatibleDestination
            | Self::DestinationDenied
            | Self::RejectedDocuments
            | Self::VerificationFailed
            | Self::TooLarge => false,
        }
    }

    /// Whether this is an expected answer rather than a fault: Temporal then logs it without alarm.
    #[must_use]
    pub const fn is_benign(self) -> bool {
        matches!(self, Self::Conflict)
    }

    /// The HTTP status an API answers with.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidInput => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::IncompatibleDestination | Self::VerificationFailed => 409,
            Self::TooLarge => 413,
            Self::RawStoreInvalid | Self::RejectedDocuments => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::DestinationDenied => 502,
            Self::Unavailable => 503,
            Self::Timeout => 504,
            Self::OutOfSpace => 507,
        }
    }

    /// The exit code of the command line: 0 is success, 1 a failure without a kind, 2 a usage error.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::InvalidInput => 2,
            Self::Unauthorized | Self::Forbidden => 3,
            Self::NotFound => 4,
            Self::Conflict => 5,
            Self::RawStoreInvalid => 6,
            Self::IncompatibleDestination | Self::DestinationDenied => 7,
            Self::RejectedDocuments | Self::TooLarge => 8,
            Self::VerificationFailed => 9,
            Self::RateLimited | Self::OutOfSpace | Self::Unavailable | Self::Timeout => 10,
            Self::Internal => 70,
        }
    }

    /// Who has to act.
    #[must_use]
    pub const fn actor(self) -> Actor {
        match self {
            Self::InvalidInput | Self::Unauthorized | Self::Forbidden | Self::NotFound | Self::Conflict => {
                Actor::Caller
            }
            Self::RawStoreInvalid
            | Self::IncompatibleDestination
            | Self::DestinationDenied
            | Self::RejectedDocuments
            | Self::VerificationFailed
            | Self::OutOfSpace => Actor::Operator,
            Self::RateLimited | Self::Unavailable | Self::Timeout | Self::TooLarge => Actor::Nobody,
            Self::Internal => Actor::Developer,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of an error kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownErrorKind;

impl FromStr for ErrorKind {
    type Err = UnknownErrorKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownErrorKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_name() {
        for kind in ErrorKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!("Surprise".parse::<ErrorKind>(), Err(UnknownErrorKind));
    }

    #[test]
    fn what_nobody_needs_to_act_on_is_retried() {
        for kind in ErrorKind::ALL {
            if kind.actor() == Actor::Nobody && kind != ErrorKind::TooLarge {
                assert!(kind.is_retryable(), "{kind} waits for nobody but would not be retried");
            }
            assert!(!(kind.actor() == Actor::Caller && kind.is_retryable()), "{kind} cannot heal by itself");
        }
    }
}
