//! Errors of the file system and of object stores, classified once.

use std::error::Error as StdError;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};

use crate::error::{Error, ErrorKind};

/// An error of the file system. `doing` continues "cannot …".
pub(super) fn io_error(doing: &str, error: io::Error) -> Error {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::NotFound => {
            (ErrorKind::NotFound, "it does not exist; check the store URL and that it is mounted")
        }
        io::ErrorKind::PermissionDenied => (ErrorKind::RawStoreInvalid, "permission denied; let the worker read it"),
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            (ErrorKind::RawStoreInvalid, "a file stands where a directory belongs, or the other way round")
        }
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            (ErrorKind::InvalidInput, "the file system does not take this name")
        }
        io::ErrorKind::TimedOut => (ErrorKind::Timeout, "the file system took too long"),
        // Among the rest are EIO, ESTALE of network file systems, and too many open files: all may pass.
        _ => (ErrorKind::Unavailable, "the file system failed"),
    };
    Error::new(kind, format!("cannot {doing}: {advice}")).with_source(error)
}

/// An error of an object store. `doing` continues "cannot …".
pub(super) fn object_error(doing: &str, error: object_store::Error) -> Error {
    use object_store::Error as Object;
    let kind = object_kind(&error);
    let advice = match (&error, kind) {
        (Object::InvalidPath { .. }, _) => "an object has a name that cannot be addressed (control characters?)",
        (_, ErrorKind::NotFound) => "it does not exist; check the bucket or container and the prefix",
        (_, ErrorKind::RawStoreInvalid) => {
            "the request was refused; check credentials, region and the rights to list and to read"
        }
        (_, ErrorKind::RateLimited) => "the store asks to slow down",
        (_, ErrorKind::Timeout) => "the store took too long",
        (_, ErrorKind::Unavailable) => "the store is not available",
        _ => "the store gave an unexpected answer",
    };
    Error::new(kind, format!("cannot {doing}: {advice}")).with_source(error)
}

/// A deadline of ours passed.
pub(super) fn timed_out(doing: &str) -> Error {
    Error::new(ErrorKind::Timeout, format!("cannot {doing}: the store took too long"))
}

/// Whether a body could not be continued after it broke off, because the name means another version by now.
pub(super) fn is_other_version(error: &object_store::Error) -> bool {
    match error {
        object_store::Error::Precondition { .. } => true,
        object_store::Error::Generic { source, .. } => source.downcast_ref().is_some_and(is_other_version),
        _ => false,
    }
}

fn object_kind(error: &object_store::Error) -> ErrorKind {
    use object_store::Error as Object;
    match error {
        Object::NotFound { .. } => ErrorKind::NotFound,
        Object::InvalidPath { .. } | Object::PermissionDenied { .. } | Object::Unauthenticated { .. } => {
            ErrorKind::RawStoreInvalid
        }
        Object::UnknownConfigurationKey { .. } => ErrorKind::InvalidInput,
        Object::Generic { source, .. } => generic_kind(source.as_ref()),
        // Conditions and conflicts belong to writes, which we never send.
        _ => ErrorKind::Internal,
    }
}

fn generic_kind(error: &(dyn StdError + Send + Sync + 'static)) -> ErrorKind {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(inner) = error.downcast_ref::<object_store::Error>() {
            return object_kind(inner);
        }
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return match http.kind() {
                HttpErrorKind::Timeout => ErrorKind::Timeout,
                _ => ErrorKind::Unavailable,
            };
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return if io.kind() == io::ErrorKind::TimedOut { ErrorKind::Timeout } else { ErrorKind::Unavailable };
        }
        cause = error.source();
    }
    status_kind(&error.to_string())
}

/// `object_store` keeps the HTTP status in a private type: its text is the only way to see it.
fn status_kind(text: &str) -> ErrorKind {
    if text.contains("SlowDown") || text.contains("ServerBusy") {
        return ErrorKind::RateLimited;
    }
    let status: Option<u16> =
        text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)).and_then(|digits| digits.parse().ok());
    match status {
        Some(404) => ErrorKind::NotFound,
        Some(408) => ErrorKind::Timeout,
        Some(429) => ErrorKind::RateLimited,
        // Expired or malformed credentials are 400 on S3; a wrong region is a redirect.
        Some(300..=308 | 400 | 401 | 403) => ErrorKind::RawStoreInvalid,
        Some(500..=599) => ErrorKind::Unavailable,
        None if text.contains("redirect without LOCATION") => ErrorKind::RawStoreInvalid,
        None if text.contains("Server returned error response") => ErrorKind::Unavailable,
        Some(_) | None => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "Error performing list request: Server returned non-2xx status code: 503 Service Unavailable: ",
        ErrorKind::Unavailable
    )]
    #[case(
        "Server returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>",
        ErrorKind::RateLimited
    )]
    #[case("Server returned non-2xx status code: 429 Too Many Requests: ", ErrorKind::RateLimited)]
    #[case("Server returned non-2xx status code: 403 Forbidden: ", ErrorKind::RawStoreInvalid)]
    #[case("Server returned non-2xx status code: 404 Not Found: NoSuchBucket", ErrorKind::NotFound)]
    #[case("Received redirect without LOCATION, this normally indicates", ErrorKind::RawStoreInvalid)]
    #[case("something new", ErrorKind::Internal)]
    fn texts_of_statuses(#[case] text: &str, #[case] kind: ErrorKind) {
        let error = object_store::Error::Generic { store: "S3", source: text.into() };
        assert_eq!(object_error("list", error).kind(), kind);
    }

    #[rstest]
    #[case(HttpErrorKind::Timeout, ErrorKind::Timeout)]
    #[case(HttpErrorKind::Connect, ErrorKind::Unavailable)]
    #[case(HttpErrorKind::Decode, ErrorKind::Unavailable)]
    fn transport_errors_are_found_below_others(#[case] http: HttpErrorKind, #[case] kind: ErrorKind) {
        let source = io::Error::other(HttpError::new(http, io::Error::other("deep")));
        let error =
            object_store::Error::Generic { store: "S3", source: Box::new(Wrapped(source.into_inner().unwrap())) };
        assert_eq!(object_error("list", error).kind(), kind);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("wrapped")]
    struct Wrapped(#[source] Box<dyn StdError + Send + Sync>);

    #[rstest]
    #[case(io::ErrorKind::NotFound, ErrorKind::NotFound)]
    #[case(io::ErrorKind::PermissionDenied, ErrorKind::RawStoreInvalid)]
    #[case(io::ErrorKind::NotADirectory, ErrorKind::RawStoreInvalid)]
    #[case(io::ErrorKind::TimedOut, ErrorKind::Timeout)]
    #[case(io::ErrorKind::StaleNetworkFileHandle, ErrorKind::Unavailable)]
    fn file_system(#[case] io: io::ErrorKind, #[case] kind: ErrorKind) {
        assert_eq!(io_error("read", io.into()).kind(), kind);
    }
}
