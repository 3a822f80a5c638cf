//! Bodies of requests: read whole, inflated, and taken apart as JSON with the words of Vespa's parser.

use std::io::Read;

use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, header};
use serde_json::{Map, Value};

use super::reply::Refusal;

/// The most this server reads, inflated. Far above every limit that a test sets.
const LARGEST: u64 = 1 << 30;

/// A body that was read.
#[derive(Debug)]
pub struct Content {
    /// Its bytes, inflated.
    pub bytes: Bytes,
    /// Whether they were compressed.
    pub compressed: bool,
}

/// Reads a body.
///
/// # Errors
/// When the client breaks off (nothing can be answered), or 400 when it is not what its headers say.
pub async fn read(headers: &HeaderMap, body: Incoming) -> Result<Result<Content, Refusal>, hyper::Error> {
    let bytes = body.collect().await?.to_bytes();
    let form = header_is(headers, &header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if form {
        return Ok(Err(Refusal::not_modelled("a body sent as a form")));
    }
    if !header_is(headers, &header::CONTENT_ENCODING, "gzip") {
        return Ok(Ok(Content { bytes, compressed: false }));
    }
    let mut inflated = Vec::new();
    let read = GzDecoder::new(bytes.as_ref()).take(LARGEST).read_to_end(&mut inflated);
    Ok(match read {
        Ok(_) => Ok(Content { bytes: inflated.into(), compressed: true }),
        Err(_) => Err(Refusal::Page { status: 400, title: "Bad Request: the body is not gzip".into() }),
    })
}

fn header_is(headers: &HeaderMap, name: &header::HeaderName, value: &str) -> bool {
    let found = headers.get(name).and_then(|found| found.to_str().ok()).unwrap_or_default();
    found.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(value)
}

/// What a put or an update says.
#[derive(Debug)]
pub struct WriteBody {
    /// Values or operations by field.
    pub fields: Map<String, Value>,
    /// Condition, unless the URL has one.
    pub condition: Option<String>,
    /// Whether a missing document is made, unless the URL says so.
    pub create: Option<bool>,
}

/// Takes the body of a put or an update apart. Other keys, such as `put` and `id`, are skipped.
///
/// # Errors
/// 400 when it is no JSON object with fields.
pub fn parse_write(bytes: &[u8]) -> Result<WriteBody, Refusal> {
    let mut root = object(bytes)?;
    let fields = match root.remove("fields") {
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(Refusal::bad("failed parsing document: 'fields' must be an object")),
        None => return Err(Refusal::bad("document is missing the required \"fields\" field")),
    };
    let condition = match root.remove("condition") {
        None | Some(Value::Null) => None,
        Some(Value::String(condition)) => Some(condition),
        Some(_) => return Err(Refusal::bad("failed parsing document: 'condition' must be a string")),
    };
    let create = match root.remove("create") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(create)) => Some(create),
        Some(_) => return Err(Refusal::bad("failed parsing document: 'create' must be true or false")),
    };
    Ok(WriteBody { fields, condition, create })
}

/// Reads one JSON object and nothing behind it.
///
/// # Errors
/// 400 in the words of Vespa's parser.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::bad("expected start of root object, got null"));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(root)) => Ok(root),
        Ok(_) => Err(Refusal::bad("expected start of root object, got another value")),
        Err(error) => {
            let what = if error.is_eof() { "Unexpected end-of-input" } else { "Unexpected character" };
            Err(Refusal::bad(format!(
                "failed parsing document: {what} at line {}, column {}",
                error.line(),
                error.column()
            )))
        }
    }
}
