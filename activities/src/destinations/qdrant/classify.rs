//! What each failure of the client or the server means: an error of the client becomes a kind, once, here.
//!
//! Status codes are those of gRPC; which of them Qdrant gives when was observed on version 1.19. Trouble with the
//! connection comes as `Internal`, `Unknown`, `Cancelled` or `Unavailable`, depending on where it broke.

use std::error::Error as _;
use std::time::Duration;

use qdrant_client::QdrantError;
use tonic::{Code, Status};

use crate::error::{Error, ErrorKind};

/// Metadata by which a node says that its memory or its disk is used up.
const STORAGE_MARKER: &str = "qdrant-insufficient-storage";

/// How much of the server's words is repeated.
const MAX_QUOTED_CHARS: usize = 200;

/// Why a request failed, in terms of what its sender can do.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server does not take what is in the request. Of an upsert, a part may be stored nevertheless.
    Refused(Error),
    /// A rate limit will never let so many points through at once: the sender has to send fewer.
    TooMany(Error),
    /// Anything else.
    Failed(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) | Failure::TooMany(error) | Failure::Failed(error) => error,
        }
    }
}

/// Classifies a failure of `doing`, such as "count points".
pub(super) fn classify(doing: &str, error: QdrantError) -> Failure {
    classify_with(doing, error, explain_refusal)
}

/// Classifies a failure of a request that holds nothing but settings, so that the server's words can be repeated.
pub(super) fn classify_settings(doing: &str, error: QdrantError) -> Failure {
    classify_with(doing, error, |message| match explain_refusal(message) {
        (ErrorKind::Internal, _) => {
            (ErrorKind::IncompatibleDestination, format!("the server does not take the settings: {}", quote(message)))
        }
        other => other,
    })
}

fn classify_with(doing: &str, error: QdrantError, refused: impl Fn(&str) -> (ErrorKind, String)) -> Failure {
    match error {
        QdrantError::ResourceExhaustedError { ref status, retry_after_seconds } if !lacks_storage(status) => {
            let problem = format!("asked to wait {retry_after_seconds} s because of a rate limit");
            let error = say(ErrorKind::RateLimited, doing, &problem).with_source(error);
            Failure::Failed(error.with_retry_after(Duration::from_secs(retry_after_seconds)))
        }
        QdrantError::ResourceExhaustedError { status, .. } | QdrantError::ResponseError { status } => {
            classify_status(doing, status, refused)
        }
        // Nothing the server said; the request or the answer is not what the client knows.
        error => Failure::Failed(say(ErrorKind::Internal, doing, "the client failed").with_source(error)),
    }
}

fn classify_status(doing: &str, status: Status, refused: impl Fn(&str) -> (ErrorKind, String)) -> Failure {
    match status.code() {
        // Without its words, which may quote what is in the request, unless they are about settings.
        Code::InvalidArgument | Code::OutOfRange => {
            let (kind, problem) = refused(status.message());
            Failure::Refused(say(kind, doing, &problem))
        }
        Code::ResourceExhausted if !lacks_storage(&status) => {
            let problem = "more points at once than the collection's rate limit ever allows; raise the limits of its \
                           strict mode";
            Failure::TooMany(say(ErrorKind::TooLarge, doing, problem).with_source(status))
        }
        // Without its words, which may repeat the key.
        Code::Unauthenticated | Code::PermissionDenied => {
            let (kind, problem) = explain(&status);
            Failure::Failed(say(kind, doing, problem))
        }
        _ => {
            let (kind, problem) = explain(&status);
            Failure::Failed(say(kind, doing, problem).with_source(status))
        }
    }
}

fn say(kind: ErrorKind, doing: &str, problem: &str) -> Error {
    Error::new(kind, format!("Qdrant could not {doing}: {problem}"))
}

/// What a status means that is neither a refusal nor a rate limit.
fn explain(status: &Status) -> (ErrorKind, &'static str) {
    match status.code() {
        Code::Unauthenticated => (ErrorKind::DestinationDenied, "the server refused the API key"),
        Code::PermissionDenied => (ErrorKind::DestinationDenied, "the API key does not allow it"),
        Code::NotFound => {
            (ErrorKind::NotFound, "there is no such collection; the slot was never prepared, or it was removed")
        }
        Code::AlreadyExists => (ErrorKind::Conflict, "the name is taken"),
        Code::ResourceExhausted => (ErrorKind::OutOfSpace, "the server has no memory or no disk left"),
        Code::FailedPrecondition => (ErrorKind::Unavailable, "the collection is locked or not in a state to do it"),
        Code::DeadlineExceeded => (ErrorKind::Timeout, "the server's time limit was reached"),
        Code::Cancelled if status.message().contains("Timeout expired") => {
            (ErrorKind::Timeout, "the server did not answer in time")
        }
        Code::Unavailable | Code::Cancelled | Code::Aborted => {
            (ErrorKind::Unavailable, "the server, or a shard of the collection, is not available now")
        }
        Code::Unimplemented => (
            ErrorKind::IncompatibleDestination,
            "the server does not know the request; is this the gRPC port of a Qdrant that is not too old?",
        ),
        Code::Internal | Code::Unknown if is_connection_trouble(status) => {
            (ErrorKind::Unavailable, "the connection failed; is the server up, and is this its gRPC port?")
        }
        Code::Internal | Code::Unknown if is_full(status.message()) => {
            (ErrorKind::OutOfSpace, "the server has no memory or no disk left")
        }
        Code::Ok | Code::Internal | Code::Unknown | Code::DataLoss | Code::InvalidArgument | Code::OutOfRange => {
            (ErrorKind::Internal, "the server failed")
        }
    }
}

/// What the server holds against a request. Its own words are repeated only where they are about settings: others may
/// quote what is in the request.
fn explain_refusal(message: &str) -> (ErrorKind, String) {
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    if says(&["Max "]) && says(&["reached"]) || says(&["Resident memory usage"]) {
        (ErrorKind::OutOfSpace, format!("a limit of the collection's strict mode is reached: {}", quote(message)))
    } else if says(&["Limit exceeded", "Index required", "limit reached (", " disabled!"]) {
        (
            ErrorKind::IncompatibleDestination,
            format!("the collection's strict mode does not allow it: {}", quote(message)),
        )
    } else if says(&["Vector dimension error", "Not existing vector name"]) {
        (ErrorKind::IncompatibleDestination, format!("the collection has other vectors: {}", quote(message)))
    } else {
        (ErrorKind::Internal, "the server takes a part of the request for invalid".to_owned())
    }
}

fn quote(message: &str) -> String {
    message.chars().take(MAX_QUOTED_CHARS).collect()
}

fn lacks_storage(status: &Status) -> bool {
    status.metadata().contains_key(STORAGE_MARKER)
}

/// Whether a status was made on this side of the wire, because the other side could not be reached or fell silent.
fn is_connection_trouble(status: &Status) -> bool {
    let made_here = ["Failed to connect", "Failed to create TLS config", "transport error", "h2 protocol error"];
    status.source().is_some() || made_here.iter().any(|words| status.message().contains(words))
}

fn is_full(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["no space left", "out of disk", "out of memory", "not enough disk"].iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tonic::metadata::MetadataMap;

    use super::*;

    fn classified(status: Status) -> Failure {
        classify("test", QdrantError::from(status))
    }

    fn exhausted(metadata: &[(&'static str, &'static str)]) -> Status {
        let mut map = MetadataMap::new();
        for (key, value) in metadata {
            map.insert(*key, value.parse().expect("a header"));
        }
        Status::with_metadata(Code::ResourceExhausted, "Rate limiting exceeded", map)
    }

    #[rstest]
    #[case(Code::Unauthenticated, "Invalid API key", ErrorKind::DestinationDenied)]
    #[case(Code::PermissionDenied, "Global access is required", ErrorKind::DestinationDenied)]
    #[case(Code::NotFound, "Not found: Collection `x` doesn't exist!", ErrorKind::NotFound)]
    #[case(Code::AlreadyExists, "Wrong input: Collection `x` already exists!", ErrorKind::Conflict)]
    #[case(Code::FailedPrecondition, "Storage locked", ErrorKind::Unavailable)]
    #[case(Code::DeadlineExceeded, "Timeout: Operation timed out", ErrorKind::Timeout)]
    #[case::the_clients_own_timeout(Code::Cancelled, "Timeout expired", ErrorKind::Timeout)]
    #[case::a_stream_that_was_reset(Code::Cancelled, "h2 protocol error: stream reset", ErrorKind::Unavailable)]
    #[case(Code::Unavailable, "Shard temporarily unavailable", ErrorKind::Unavailable)]
    #[case(Code::Unimplemented, "", ErrorKind::IncompatibleDestination)]
    #[case::refused(Code::Internal, "Failed to connect to http://q:6334/: transport error", ErrorKind::Unavailable)]
    #[case::plain_text_to_tls(Code::Unknown, "transport error", ErrorKind::Unavailable)]
    #[case::rest_port(Code::Internal, "h2 protocol error: http2 error", ErrorKind::Unavailable)]
    #[case::disk(Code::Internal, "Service internal error: No space left on device", ErrorKind::OutOfSpace)]
    #[case(Code::Internal, "Service internal error: task panicked", ErrorKind::Internal)]
    #[case(Code::Unknown, "grpc-status header missing", ErrorKind::Internal)]
    #[case(Code::DataLoss, "", ErrorKind::Internal)]
    fn codes_have_kinds(#[case] code: Code, #[case] message: &str, #[case] kind: ErrorKind) {
        let Failure::Failed(error) = classified(Status::new(code, message)) else { panic!("not a refusal") };
        assert_eq!(error.kind(), kind);
        assert!(error.message().starts_with("Qdrant could not test: "), "{error}");
    }

    #[rstest]
    #[case(r#"Limit exceeded 51 > 50 for "upsert limit""#, ErrorKind::IncompatibleDestination, "51 > 50")]
    #[case(
        r#"Bad request: Index required but not found for "tenant" of one of the following types: [keyword]"#,
        ErrorKind::IncompatibleDestination,
        "tenant"
    )]
    #[case("Bad request: Exact search disabled! Help: Set exact=false.", ErrorKind::IncompatibleDestination, "exact")]
    #[case("Bad request: Max vector storage size limit of 1MB reached!", ErrorKind::OutOfSpace, "1MB")]
    #[case("Wrong input: Vector dimension error: expected dim: 8, got 9", ErrorKind::IncompatibleDestination, "got 9")]
    #[case("Wrong input: Unable to parse UUID: hunter2", ErrorKind::Internal, "invalid")]
    fn refusals_are_told_apart(#[case] message: &str, #[case] kind: ErrorKind, #[case] words: &str) {
        let Failure::Refused(error) = classified(Status::invalid_argument(message)) else { panic!("a refusal") };
        assert_eq!(error.kind(), kind);
        assert!(error.message().contains(words), "{error}");
        assert!(!error.chain().contains("hunter2"), "only words about settings are repeated: {}", error.chain());
    }

    #[test]
    fn words_about_settings_are_repeated() {
        let error = |message| QdrantError::from(Status::invalid_argument(message));
        let refused = Error::from(classify_settings("create", error("Wrong input: 1000 collections are the most")));
        assert_eq!(refused.kind(), ErrorKind::IncompatibleDestination);
        assert!(refused.message().ends_with("1000 collections are the most"), "{refused}");
        let full = Error::from(classify_settings("create", error("Max vector storage size limit of 1MB reached!")));
        assert_eq!(full.kind(), ErrorKind::OutOfSpace);
        let long = Error::from(classify_settings("create", error(&"x".repeat(10_000))));
        assert!(long.message().len() < 400, "not without end");
    }

    #[test]
    fn an_exhausted_resource_has_three_meanings() {
        let Failure::Failed(wait) = classified(exhausted(&[("retry-after", "17")])) else { panic!("a wait helps") };
        assert_eq!((wait.kind(), wait.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(17))));
        let Failure::TooMany(split) = classified(exhausted(&[])) else { panic!("only splitting helps") };
        assert_eq!((split.kind(), split.retry_after()), (ErrorKind::TooLarge, None));
        for metadata in [&[(STORAGE_MARKER, "1")][..], &[(STORAGE_MARKER, "1"), ("retry-after", "1")]] {
            let Failure::Failed(full) = classified(exhausted(metadata)) else { panic!("somebody has to make space") };
            assert_eq!((full.kind(), full.retry_after()), (ErrorKind::OutOfSpace, None));
        }
    }
}
