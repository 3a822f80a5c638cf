//! A server that knows nobody and tells everybody: each answer refuses, and repeats the request with all its headers.
//!
//! It answers as an HTTP API with JSON, and as gRPC, so it stands for a destination, an embeddings server or a proxy
//! whose error messages hold what they were sent.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// The server. Gone when dropped.
pub(super) struct Indiscreet {
    port: u16,
    task: AbortHandle,
}

impl Indiscreet {
    /// Starts it on a free port; every answer has this status.
    pub(super) async fn start(status: StatusCode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let app = Router::new().fallback(async move |request: Request| refuse(status, &request));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(app.clone());
                tokio::spawn(async move {
                    // Whoever hangs up has seen enough.
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, task: task.abort_handle() }
    }

    /// Its port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Indiscreet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn refuse(status: StatusCode, request: &Request) -> Response<Body> {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let said = format!("{} {} is not for you with {}", request.method(), request.uri(), headers.join(", "));
    let response = Response::builder();
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let response = if kind.is_some_and(|kind| kind.starts_with("application/grpc")) {
        let code = if status == StatusCode::UNAUTHORIZED { "16" } else { "3" };
        response
            .header(header::CONTENT_TYPE, "application/grpc")
            .header("grpc-status", code)
            .header("grpc-message", utf8_percent_encode(&said, NON_ALPHANUMERIC).to_string())
            .body(Body::empty())
    } else {
        let body = json!({ "message": said, "error": { "message": said, "code": "invalid_api_key" }, "detail": said });
        response.status(status).header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()))
    };
    response.expect("a response can be made")
}
