//! What each failure means: answers and broken connections become a kind, once, here.
//!
//! Messages of Vespa are not passed on as they are, because some quote documents. What they say about fields, types and
//! sizes is picked out; the rest is for logs.

use serde::Deserialize;

use super::connections::{Reply, WireError};
use super::status::Verdict;
use crate::error::{Error, ErrorKind};

/// What is read of any answer of `/document/v1`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Envelope {
    /// The document's id in full.
    pub(super) id: Option<String>,
    /// Why it failed.
    pub(super) message: Option<String>,
}

impl Envelope {
    /// Reads an answer; one that is not Vespa's JSON says nothing.
    pub(super) fn of(reply: &Reply) -> Self {
        serde_json::from_slice(&reply.body).unwrap_or_default()
    }
}

/// Whom a refusal concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This document alone, for the reason in words.
    Document(String),
    /// The deployment: no document of this slot would be taken. In words.
    Deployment(String),
}

/// Reads the message of a 400 or 413.
pub(super) fn refusal(status: u16, message: &str) -> Refusal {
    if status == 413 {
        return Refusal::Document("its document is larger than this Vespa takes (413)".to_owned());
    }
    if let Some(name) = between(message, "Document type ", " does not exist") {
        return Refusal::Deployment(format!("the document type {name} is not deployed"));
    }
    if let Some(field) = between(message, "Field '", "' is not defined in document type '") {
        let document_type = between(message, "is not defined in document type '", "'").unwrap_or_default();
        return Refusal::Deployment(no_field(document_type, field));
    }
    if let Some(field) = between(message, "No field named ", " ") {
        return Refusal::Deployment(format!("the deployed document type has no field {field}"));
    }
    if let Some((deployed, fed)) = tensor_sizes(message) {
        return Refusal::Deployment(format!(
            "the deployed tensor has {deployed} values and the profile's vectors have {fed}"
        ));
    }
    if let Some(cluster) = between(message, "has no content cluster '", "'") {
        return Refusal::Deployment(format!("there is no content cluster {cluster}"));
    }
    let place = match (between(message, "field '", "'"), between(message, " of type ", ":")) {
        (Some(field), Some(kind)) if is_short(field) && is_short(kind) => format!(" at field {field} of type {kind}"),
        (Some(field), _) if is_short(field) => format!(" at field {field}"),
        _ => String::new(),
    };
    Refusal::Document(format!("Vespa refuses its document{place} ({status})"))
}

/// A field that is not there, in words.
pub(super) fn no_field(document_type: &str, field: &str) -> String {
    format!("the deployed document type {document_type} has no field {field}")
}

/// The sizes in `Expected 8 values, but got 3`.
fn tensor_sizes(message: &str) -> Option<(u64, u64)> {
    let deployed = between(message, "Expected ", " values, but got ")?;
    let (_, rest) = message.split_once(" values, but got ")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    Some((deployed.parse().ok()?, rest[..digits].parse().ok()?))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found).filter(|found| is_short(found))
}

/// Whether it can be a name out of a schema rather than a document's text.
fn is_short(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|it| it.is_ascii_graphic())
}

/// An answer that `doing`, such as "visit", cannot do anything with.
pub(super) fn unexpected(doing: &str, reply: &Reply) -> Error {
    let message = Envelope::of(reply).message.unwrap_or_default();
    let (kind, problem) = match Verdict::of(reply.status) {
        Verdict::Refused => match refusal(reply.status, &message) {
            Refusal::Deployment(problem) => (ErrorKind::IncompatibleDestination, problem),
            Refusal::Document(_) => (ErrorKind::Internal, format!("it refuses the request ({})", reply.status)),
        },
        Verdict::Denied => {
            let problem = "it refuses the credentials; a write needs a token or certificate that may write";
            (ErrorKind::DestinationDenied, format!("{problem} ({})", reply.status))
        }
        Verdict::NotTheApi => {
            let problem = "this is no Vespa with <document-api/>; check the url and services.xml";
            (ErrorKind::InvalidInput, format!("{problem} ({})", reply.status))
        }
        Verdict::Throttled => (ErrorKind::RateLimited, "it takes no more requests (429)".to_owned()),
        Verdict::NoSpace => (ErrorKind::OutOfSpace, "a content node has no space (507)".to_owned()),
        Verdict::Uncertain if reply.status == 504 => (ErrorKind::Timeout, "it did not finish in time (504)".to_owned()),
        Verdict::Uncertain if reply.status == 500 => (ErrorKind::Internal, "it failed (500)".to_owned()),
        Verdict::Uncertain => (ErrorKind::Unavailable, format!("it is not available ({})", reply.status)),
        Verdict::Done | Verdict::ConditionNotMet => {
            (ErrorKind::Internal, format!("its answer is not what was asked for ({})", reply.status))
        }
    };
    said(kind, doing, &problem, message)
}

/// A refusal of the deployment.
pub(super) fn not_deployed(problem: &str) -> Error {
    Error::new(
        ErrorKind::IncompatibleDestination,
        format!(
            "the Vespa application is not what the profile asks for: {problem}; deploy one that is, or change the profile"
        ),
    )
}

/// Vespa threw a write away and called that a success.
pub(super) const IGNORED_OPERATION: &str = "Vespa threw its document away (X-Vespa-Ignored-Operation): the selection of \
     its document type in services.xml leaves it out";

/// Vespa dropped fields of a document and called that a success.
pub(super) const FIELDS_IGNORED: &str =
    "it left fields out of a document (X-Vespa-Ignored-Fields), because it has no such fields";

/// An answer that breaks its own contract.
pub(super) fn broken(doing: &str, problem: &str) -> Error {
    said(ErrorKind::Internal, doing, problem, String::new())
}

/// No answer.
pub(super) fn unanswered(doing: &str, error: WireError) -> Error {
    let (kind, problem) = match &error {
        WireError::Timeout(_) => (ErrorKind::Timeout, "no answer in time"),
        WireError::Connection(cause) if is_tls_refusal(cause) => (
            ErrorKind::DestinationDenied,
            "one side refuses the other's certificate; check certificate, key and authority",
        ),
        WireError::Connection(_) => (ErrorKind::Unavailable, "the connection failed"),
        WireError::TooLong(_) => (ErrorKind::Internal, "its answer is longer than any it should give"),
    };
    Error::new(kind, format!("Vespa could not {doing}: {problem}")).with_source(error)
}

/// Whether the handshake failed over certificates. The cause is nested in types that are not ours to name, so its words
/// tell: those of `rustls` for alerts about certificates and for certificates it does not trust.
fn is_tls_refusal(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let words = error.to_string();
        if words.contains("invalid peer certificate")
            || (words.contains("received fatal alert") && (words.contains("ertificate") || words.contains("CA")))
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn said(kind: ErrorKind, doing: &str, problem: &str, detail: String) -> Error {
    let error = Error::new(kind, format!("Vespa could not {doing}: {problem}"));
    if detail.is_empty() { error } else { error.with_source(Detail) }
}

/// Says that Vespa said more. What it said may hold text of a document, which no log may.
#[derive(Debug, thiserror::Error)]
#[error("Vespa gave a reason that is not repeated here, because it may quote a document")]
struct Detail;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rstest::rstest;

    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, ignored_operation: false, ignored_fields: false, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[rstest]
    #[case("Document type house does not exist", "the document type house is not deployed")]
    #[case(
        "Field 'habla' is not defined in document type 'banana'. Defined fields…",
        "the deployed document type banana has no field habla"
    )]
    #[case(
        "In document 'id:a:b::c': Could not parse field 'dense_embedding' of type tensor<bfloat16>(x[8]): Expected 8 values, but got 9",
        "the deployed tensor has 8 values and the profile's vectors have 9"
    )]
    #[case("Your Vespa deployment has no content cluster 'x', only 'airweave'", "there is no content cluster x")]
    fn the_deployment_is_at_fault(#[case] message: &str, #[case] problem: &str) {
        assert_eq!(refusal(400, message), Refusal::Deployment(problem.to_owned()));
    }

    #[rstest]
    #[case(
        400,
        "In document 'id:a:b::c': Could not parse field 'name' of type string: The string field value contains illegal code point 0x8",
        "Vespa refuses its document at field name of type string (400)"
    )]
    #[case(400, "failed parsing document: Unexpected character: secret words", "Vespa refuses its document (400)")]
    #[case(400, "field 'a secret that is long enough to be text' …", "Vespa refuses its document (400)")]
    #[case(400, "", "Vespa refuses its document (400)")]
    #[case(
        413,
        "Document operation request size 2000026 bytes …",
        "its document is larger than this Vespa takes (413)"
    )]
    fn the_document_is_at_fault(#[case] status: u16, #[case] message: &str, #[case] reason: &str) {
        assert_eq!(refusal(status, message), Refusal::Document(reason.to_owned()));
    }

    #[rstest]
    #[case(400, r#"{"message":"Document type house does not exist"}"#, ErrorKind::IncompatibleDestination)]
    #[case(400, "<html>", ErrorKind::Internal)]
    #[case(401, "", ErrorKind::DestinationDenied)]
    #[case(403, "{}", ErrorKind::DestinationDenied)]
    #[case(404, "{}", ErrorKind::InvalidInput)]
    #[case(405, "{}", ErrorKind::InvalidInput)]
    #[case(429, "{}", ErrorKind::RateLimited)]
    #[case(500, "{}", ErrorKind::Internal)]
    #[case(502, "<html>", ErrorKind::Unavailable)]
    #[case(503, "", ErrorKind::Unavailable)]
    #[case(504, "{}", ErrorKind::Timeout)]
    #[case(507, "{}", ErrorKind::OutOfSpace)]
    fn statuses_have_a_kind(#[case] status: u16, #[case] body: &str, #[case] kind: ErrorKind) {
        assert_eq!(unexpected("visit", &reply(status, body)).kind(), kind);
    }

    #[test]
    fn what_vespa_quotes_is_not_passed_on() {
        let error = unexpected("visit", &reply(400, r#"{"message":"cannot parse 'secret'"}"#));
        assert!(!error.chain().contains("secret"), "{}", error.chain());
        assert_eq!(Envelope::of(&reply(503, "<html>")).message, None);
    }
}
