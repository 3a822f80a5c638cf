//! What handlers take from a request, each with refusals of our own form.

use axum::RequestExt as _;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::fields;
use super::problem::Problem;

/// Largest body that is read, in bytes. Requests are small references; the largest holds a profile.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// The ids in the path.
pub(super) struct Ids<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Ids<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self(ids)),
            Err(rejection) => Err(Problem::field("path", rejection.body_text())),
        }
    }
}

/// The query.
pub(super) struct Filters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Filters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(filters)) => Ok(Self(filters)),
            Err(rejection) => Err(Problem::field("query", rejection.body_text())),
        }
    }
}

/// The body: a JSON object. No body at all is an empty object.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = bytes(request).await?;
        let object = if bytes.is_empty() {
            Map::new()
        } else if !is_json {
            return Err(Problem::unsupported_media_type());
        } else {
            match serde_json::from_slice(&bytes) {
                Ok(Value::Object(object)) => object,
                Ok(_) => return Err(Problem::field("", "the body is no JSON object")),
                Err(error) => {
                    return Err(Problem::new(ErrorKind::InvalidInput, format!("the body is no JSON: {error}")));
                }
            }
        };
        fields::read(object).map(Self).map_err(|error| Problem::field(error.field, error.detail))
    }
}

/// The whole body, as far as the limit allows.
pub(super) async fn bytes(request: Request) -> Result<Bytes, Problem> {
    request.extract::<Bytes, _>().await.map_err(|rejection: BytesRejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::new(ErrorKind::TooLarge, format!("the body has more than {MAX_BODY_BYTES} bytes"))
        } else {
            Problem::new(ErrorKind::InvalidInput, "the body could not be read to its end")
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
}

/// The id of the operation that a request begins: chosen for its idempotency key, or just now.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewOperation(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for NewOperation {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_else(|| Self(Uuid::now_v7())))
    }
}

/// Longest text of a field, in characters.
pub(super) const MAX_TEXT_CHARS: usize = 1000;

/// A text of the request, as the database can hold it.
///
/// # Errors
///
/// 422 when it is too long or holds control characters.
pub(super) fn text(field: &str, text: Option<String>) -> Result<String, Problem> {
    let text = text.unwrap_or_default();
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(Problem::field(field, format!("has more than {MAX_TEXT_CHARS} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::field(field, "holds control characters"));
    }
    Ok(text)
}
