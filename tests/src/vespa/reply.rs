//! What is answered: the JSON bodies of `/document/v1`, in the order Vespa writes them, and refusals.

use hyper::body::Bytes;
use hyper::{HeaderMap, Response, header};
use serde::Serialize;
use serde_json::Value;

/// Header of a write that a `<document selection>` of the content cluster threw away.
pub const IGNORED_OPERATION: &str = "x-vespa-ignored-operation";
/// Header of a write whose unknown fields were dropped.
pub const IGNORED_FIELDS: &str = "x-vespa-ignored-fields";

/// An answer before it is bytes.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Beside `Content-Type`.
    pub headers: HeaderMap,
    content_type: &'static str,
    body: Bytes,
}

/// The JSON object of a `/document/v1` answer. What is absent is not written.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Body {
    /// The request's path as it was sent.
    #[serde(rename = "pathId")]
    pub path_id: String,
    /// Full document id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Of a document that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Value>,
    /// Of a visit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<Vec<Value>>,
    /// Of a visit and of the forms with a selection: how many in this answer.
    #[serde(rename = "documentCount", skip_serializing_if = "Option::is_none")]
    pub document_count: Option<usize>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continuation: Option<String>,
    /// With `tracelevel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Value>,
}

impl Reply {
    /// An answer of the document API.
    #[must_use]
    pub fn document(status: u16, body: &Body) -> Self {
        let text = serde_json::to_vec(body).expect("a body of strings and JSON values is JSON");
        Self::new(status, "application/json; charset=UTF-8", text)
    }

    /// JSON of any shape.
    #[must_use]
    pub fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json; charset=UTF-8", value.to_string())
    }

    /// Any bytes.
    #[must_use]
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: HeaderMap::new(), content_type, body: body.into() }
    }

    /// A page as the web server in front of the handlers, or a balancer, makes it.
    #[must_use]
    pub fn page(status: u16, title: &str) -> Self {
        let html = format!("<html><head><title>Error {status}</title></head><body><h2>{title}</h2></body></html>\n");
        Self::new(status, "text/html;charset=utf-8", html)
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, header::HeaderValue::from_static(value));
        self
    }

    /// The body, read back.
    #[cfg(test)]
    pub(super) fn body_json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// As hyper sends it.
    #[must_use]
    pub fn into_response(self) -> Response<http_body_util::Full<Bytes>> {
        let mut response = Response::new(http_body_util::Full::new(self.body));
        *response.status_mut() = hyper::StatusCode::from_u16(self.status).expect("only statuses of HTTP are made");
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(self.content_type));
        response
    }
}

/// A request that is not carried out.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// By a handler, as JSON with the path and, when the content cluster was asked, the document's id.
    Handler {
        /// HTTP status.
        status: u16,
        /// In words.
        message: String,
        /// Whether the answer names the document.
        with_id: bool,
    },
    /// By what stands in front of the handlers, as a page.
    Page {
        /// HTTP status.
        status: u16,
        /// In words.
        title: String,
    },
}

impl Refusal {
    /// A handler's refusal with any status.
    pub fn handler(status: u16, message: impl Into<String>) -> Self {
        Self::Handler { status, message: message.into(), with_id: false }
    }

    /// 400.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::handler(400, message)
    }

    /// From the content cluster, about one document.
    pub fn backend(status: u16, message: impl Into<String>) -> Self {
        Self::Handler { status, message: message.into(), with_id: true }
    }

    /// Vespa would do it, this server does not: said loudly, so that no test passes by a guess.
    #[must_use]
    pub fn not_modelled(what: &str) -> Self {
        Self::handler(501, format!("not supported by test server: {what}"))
    }

    /// A URL that `java.net.URI` refuses, in the words of the web server.
    #[must_use]
    pub fn not_a_uri(why: &str) -> Self {
        Self::Page { status: 400, title: format!("URL violates RFC 2396: {why}") }
    }

    /// In words.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Handler { message, .. } => message,
            Self::Page { title, .. } => title,
        }
    }

    /// The answer to a request for `path`, about the document `id`.
    #[must_use]
    pub fn into_reply(self, path: &str, id: Option<String>) -> Reply {
        match self {
            Self::Page { status, title } => Reply::page(status, &title),
            Self::Handler { status, message, with_id } => Reply::document(
                status,
                &Body {
                    path_id: path.to_owned(),
                    id: id.filter(|_| with_id),
                    message: Some(message),
                    ..Body::default()
                },
            ),
        }
    }
}
