//! A server of the shape of OpenAI's `POST /embeddings`, whose vectors follow from model and text, and which notes what it
//! is asked.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use proto::v1::embedder::Kind;
use proto::v1::{Embedder, OpenAiCompatible};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use uuid::Uuid;

/// Length of every vector.
const DIMENSIONS: u32 = 8;

/// What the server was asked.
#[derive(Debug, Default)]
struct Asked {
    requests: usize,
    texts: Vec<String>,
    traceparents: BTreeSet<String>,
}

/// The server. Gone when dropped.
#[derive(Debug)]
pub struct EmbeddingsServer {
    base_url: String,
    asked: Arc<Mutex<Asked>>,
    task: AbortHandle,
}

impl EmbeddingsServer {
    /// Starts it on a free port of this machine.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start() -> Self {
        let asked: Arc<Mutex<Asked>> = Arc::default();
        let log = Arc::clone(&asked);
        let handler = move |headers: HeaderMap, Json(body): Json<Value>| async move {
            if let Some(traceparent) = headers.get("traceparent").and_then(|it| it.to_str().ok()) {
                log.lock().expect("no request panicked").traceparents.insert(traceparent.to_owned());
            }
            answer(&body, &log)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("a bound socket has an address"));
        let app = Router::new().route("/v1/embeddings", post(handler));
        let task = tokio::spawn(async move { axum::serve(listener, app).await }).abort_handle();
        Self { base_url, asked, task }
    }

    /// The part of a profile that names this server and one of its models; it has every model.
    #[must_use]
    pub fn embedder(&self, model: &str) -> Embedder {
        Embedder {
            kind: Some(Kind::OpenAi(OpenAiCompatible {
                base_url: self.base_url.clone(),
                model: model.to_owned(),
                dimensions: DIMENSIONS,
                ..OpenAiCompatible::default()
            })),
        }
    }

    /// Every `traceparent` that came with a request since the last call of [`Self::take_asked`].
    ///
    /// # Panics
    ///
    /// When a request panicked.
    #[must_use]
    pub fn traceparents(&self) -> BTreeSet<String> {
        self.asked.lock().expect("no request panicked").traceparents.clone()
    }

    /// The vector that `model` has for `text`; of any length.
    #[must_use]
    pub fn vector(model: &str, text: &str) -> Vec<f32> {
        let bytes = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{model}\n{text}").as_bytes()).into_bytes();
        bytes.iter().take(DIMENSIONS as usize).map(|byte| (f32::from(*byte) - 127.5) / 32.0).collect()
    }

    /// How many requests came since the last call, and the texts in them, sorted.
    ///
    /// # Panics
    ///
    /// When a request panicked.
    #[must_use]
    pub fn take_asked(&self) -> (usize, Vec<String>) {
        let Asked { requests, mut texts, .. } = std::mem::take(&mut *self.asked.lock().expect("no request panicked"));
        texts.sort();
        (requests, texts)
    }
}

impl Drop for EmbeddingsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(body: &Value, asked: &Mutex<Asked>) -> (StatusCode, Json<Value>) {
    let texts: Option<Vec<String>> = serde_json::from_value(body["input"].clone()).ok();
    let (Some(model), Some(texts)) = (body["model"].as_str(), texts) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": { "message": "model and input are missing" } })));
    };
    let items = texts.iter().enumerate().map(|(index, text)| {
        json!({ "object": "embedding", "index": index, "embedding": EmbeddingsServer::vector(model, text) })
    });
    let answer = json!({ "object": "list", "data": items.collect::<Vec<_>>(), "model": model });
    let mut asked = asked.lock().expect("no request panicked");
    asked.requests += 1;
    asked.texts.extend(texts);
    (StatusCode::OK, Json(answer))
}
