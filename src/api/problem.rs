//! Refusals and failures as HTTP answers: `application/problem+json` (RFC 9457).
//!
//! The kind decides the status, by the one table in [`ErrorKind`]. What is said is what operators are told anywhere else:
//! what happened and what to do, without SQL, credentials or document text.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use workflows::domain::ErrorKind;

use crate::output::Failure;

/// The media type of [`Problem`].
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was refused or failed, as RFC 9457 describes it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Names the kind of problem.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:sync-multiplexer:problem:Conflict")]
    problem_type: Box<str>,
    /// What kind of problem it is, in words; the same for all of a kind.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened, and what to do.
    #[schema(value_type = String)]
    detail: Box<str>,
    /// Name of the error kind, as everywhere in this product.
    kind: &'static str,
    /// The fields of the request that are wrong.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<FieldError>)]
    errors: Box<[FieldError]>,
    /// The operation that failed, when one had begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<Uuid>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// A field of the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// Its name in the body, the path or the query.
    pub(super) field: String,
    /// What is wrong with it.
    pub(super) detail: String,
}

/// On an answer: an operation began, so the answer is this request's for good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began;

impl Problem {
    /// A problem of a kind, with the status that belongs to it.
    pub(super) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::with_status(kind, status, detail)
    }

    fn with_status(kind: ErrorKind, status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            problem_type: format!("urn:sync-multiplexer:problem:{kind}").into(),
            title: title(kind),
            status: status.as_u16(),
            detail: detail.into().into_boxed_str(),
            kind: kind.name(),
            errors: Box::default(),
            operation_id: None,
            retry_after: None,
        }
    }

    /// A request that reads and whose content is wrong: 422.
    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::with_status(ErrorKind::InvalidInput, StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// One field that is wrong: 422.
    pub(super) fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = FieldError { field: field.into(), detail: detail.into() };
        let said =
            if error.field.is_empty() { error.detail.clone() } else { format!("{}: {}", error.field, error.detail) };
        Self { errors: Box::new([error]), ..Self::unprocessable(said) }
    }

    /// A body of another media type than JSON: 415.
    pub(super) fn unsupported_media_type() -> Self {
        let detail = "send the body as application/json";
        Self::with_status(ErrorKind::InvalidInput, StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// A method that the route does not have: 405.
    pub(super) fn method_not_allowed() -> Self {
        let detail = "this route has no such method; /openapi.json lists all";
        Self::with_status(ErrorKind::InvalidInput, StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// When to try again.
    pub(super) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The operation that it is about.
    pub(super) fn of_operation(mut self, operation_id: Uuid) -> Self {
        self.operation_id = Some(operation_id);
        self
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure.kind() {
            Some(kind) => Self::new(kind, failure.message()),
            None => unexplained(&failure),
        }
    }
}

impl From<activities::error::Error> for Problem {
    fn from(error: activities::error::Error) -> Self {
        if error.kind() == ErrorKind::Internal {
            tracing::error!(error = error.chain(), "a request failed");
        } else {
            tracing::debug!(error = error.chain(), "a request failed");
        }
        let problem = Self::new(error.kind(), error.message());
        match error.retry_after() {
            Some(delay) => problem.retry_after(delay),
            None => problem,
        }
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        unexplained(&error)
    }
}

/// What nobody classified is for the log, not for the caller.
fn unexplained(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a request failed for a reason that has no kind");
    Problem::new(ErrorKind::Internal, "something broke here; the log of the API says what")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if let Some(delay) = self.retry_after {
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.operation_id.is_some() {
            response.extensions_mut().insert(Began);
        }
        response
    }
}

/// The words for a kind.
const fn title(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "The request is wrong",
        ErrorKind::Unauthorized => "Who asks is not known",
        ErrorKind::Forbidden => "This is not allowed",
        ErrorKind::NotFound => "There is no such thing",
        ErrorKind::Conflict => "The present state does not allow it",
        ErrorKind::RawStoreInvalid => "The raw store is not usable",
        ErrorKind::IncompatibleDestination => "The destination is built in another way",
        ErrorKind::DestinationDenied => "The destination refused our credentials",
        ErrorKind::RejectedDocuments => "Too many entities were rejected",
        ErrorKind::VerificationFailed => "The verification found differences",
        ErrorKind::RateLimited => "Too many requests",
        ErrorKind::OutOfSpace => "There is no space left",
        ErrorKind::Unavailable => "Something is away; try again",
        ErrorKind::Timeout => "It took too long",
        ErrorKind::TooLarge => "The request is too large",
        ErrorKind::Internal => "A bug, until shown otherwise",
    }
}
