//! `Idempotency-Key`: a request that is sent again is one request.
//!
//! The key is kept per organisation with a hash of the request, and the operation that was chosen for it. A repetition gets the
//! answer that was given; while there is none, a conflict; and when whoever worked on it died, it goes on with that same
//! operation, which Temporal and its record know how to tell from a second one. A refusal that began nothing frees the key.

use std::sync::Arc;
use std::time::Duration;

use activities::database::idempotency::{self, Answer, Claim, KeyedRequest};
use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::Api;
use super::caller::Caller;
use super::extract::{self, NewOperation};
use super::problem::{Began, Problem};

const KEY: &str = "idempotency-key";

/// Says on an answer that it was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Largest answer that is kept, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Makes a `POST` with a key happen once.
pub(super) async fn once(State(api): State<Arc<Api>>, caller: Caller, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    match key(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => {
            keyed(&api, &caller, key, request, next).await.unwrap_or_else(|problem| problem.into_response())
        }
        Err(problem) => problem.into_response(),
    }
}

async fn keyed(api: &Api, caller: &Caller, key: String, request: Request, next: Next) -> Result<Response, Problem> {
    let uri = request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().clone(), |it| it.0.clone());
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(CONTENT_TYPE).cloned();
    let bytes = extract::bytes(Request::from_parts(parts.clone(), body)).await?;
    let mut hash = Sha256::new();
    let asked = uri.path_and_query().map_or("/", |it| it.as_str());
    for part in [parts.method.as_str().as_bytes(), asked.as_bytes(), bytes.as_ref()] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let keyed = KeyedRequest { organization_id: caller.organization_id, key, request_hash: hash.finalize().into() };
    let (claim, operation_id) = match idempotency::claim(&api.database, &keyed).await? {
        Claim::Yours { claim, operation_id } => (claim, operation_id),
        Claim::Answered(answer) => return Ok(replay(answer)),
        Claim::InProgress => {
            return Err(Problem::new(ErrorKind::Conflict, "a request with this Idempotency-Key is being worked on")
                .retry_after(Duration::from_secs(1)));
        }
        Claim::OfAnotherRequest => {
            return Err(Problem::field("Idempotency-Key", "came with another request before: choose a new one"));
        }
    };
    let mut request = Request::from_parts(parts, Body::from(bytes));
    if let Some(content_type) = content_type {
        request.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    request.extensions_mut().insert(NewOperation(operation_id));
    settle(api, &keyed, claim, next.run(request).await).await
}

/// Keeps the answer of a request that did something, and frees the key of one that did not.
async fn settle(api: &Api, keyed: &KeyedRequest, claim: Uuid, response: Response) -> Result<Response, Problem> {
    let began = response.status().is_success() || response.extensions().get::<Began>().is_some();
    if !began {
        idempotency::give_up(&api.database, keyed, claim).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAX_ANSWER_BYTES).await.map_err(|error| {
        tracing::error!(%error, "an answer is too long to be kept");
        Problem::new(ErrorKind::Internal, "the answer is too long to be kept; the operation goes on")
    })?;
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = Answer {
        status: parts.status.as_u16(),
        content_type: header(CONTENT_TYPE).unwrap_or_default(),
        location: header(LOCATION),
        body: body.to_vec(),
    };
    // The operation runs. When its answer cannot be kept, a repetition finds the operation itself.
    if let Err(error) = idempotency::answer(&api.database, keyed, claim, &answer).await {
        tracing::warn!(error = error.chain(), "the answer of an idempotency key was not kept");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    for (name, value) in [(CONTENT_TYPE, Some(answer.content_type)), (LOCATION, answer.location)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// The key, with or without the quotes of a structured header.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let wrong = || Problem::field("Idempotency-Key", "must have 1 to 255 visible ASCII characters, and come once");
    let mut given = headers.get_all(KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| wrong())?.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_right = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if is_right && given.next().is_none() { Ok(Some(text.to_owned())) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_be_quoted_and_must_be_printable() {
        let of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(KEY, HeaderValue::from_bytes(value).unwrap());
            }
            key(&headers).map_err(|_| ())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(of(&[b"\"abc\""]), Ok(Some("abc".to_owned())));
        for wrong in [&[&b""[..]][..], &[b"\"\""], &[b"\xff"], &[b"a\tb"], &[&[b'x'; 256]], &[b"a", b"b"]] {
            assert_eq!(of(wrong), Err(()), "{wrong:?}");
        }
    }
}
