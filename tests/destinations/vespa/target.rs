//! Whom a test talks to: a server of its own, or the Vespa of `VESPA_URL`.

use harness::vespa::{VespaServer, VespaServerOptions};
use reqwest::{Client, Method};
use serde_json::Value;
use uuid::Uuid;

use super::place::Place;

/// A Vespa with a namespace that no other test has.
pub(super) struct Target {
    place: Place,
    namespace: String,
    client: Client,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) ignored_operation: bool,
    pub(super) ignored_fields: bool,
    pub(super) allow: String,
    pub(super) text: String,
    /// Null when the body is no JSON.
    pub(super) json: Value,
}

impl Target {
    /// The Vespa of `VESPA_URL`, or else a server of its own.
    pub(super) async fn any() -> Self {
        Self::new(Place::real_or(VespaServerOptions::default()).await)
    }

    /// A server of its own.
    pub(super) async fn server(options: VespaServerOptions) -> Self {
        Self::new(Place::server(options).await)
    }

    fn new(place: Place) -> Self {
        let client = place.client();
        Self { place, namespace: format!("test{}", Uuid::new_v4().simple()), client }
    }

    /// The server, when it is not a real one.
    pub(super) fn own(&self) -> Option<&VespaServer> {
        self.place.server.as_ref()
    }

    /// Sends a request. `NS` and `CLUSTER` in the target stand for this test's.
    pub(super) async fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        self.send_with(method, target, body, &[]).await
    }

    /// Sends a request with headers.
    pub(super) async fn send_with(&self, method: &str, target: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let url = format!("{}{}", self.place.url, self.fill(target));
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let response = request.send().await.expect("an answer");
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (content_type, allow) = (header("content-type"), header("allow"));
        let flag = |name: &str| header(name) == "true";
        let (ignored_operation, ignored_fields) = (flag("x-vespa-ignored-operation"), flag("x-vespa-ignored-fields"));
        let status = response.status().as_u16();
        let text = response.text().await.expect("a whole answer");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, content_type, ignored_operation, ignored_fields, allow, text, json }
    }

    /// Puts the names of this test into a text.
    pub(super) fn fill(&self, text: &str) -> String {
        text.replace("NS", &self.namespace).replace("CLUSTER", &self.place.cluster)
    }

    /// Follows a request that gives continuations to its end: every answer, and the documents of all.
    pub(super) async fn follow(&self, method: &str, target: &str, body: &str) -> (Vec<Answer>, Vec<Value>) {
        let (mut answers, mut documents) = (Vec::new(), Vec::new());
        let mut continuation = String::new();
        loop {
            let answer = self.send(method, &format!("{target}{continuation}"), body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            documents.extend(answer.json["documents"].as_array().cloned().unwrap_or_default());
            let token = answer.json["continuation"].as_str().map(str::to_owned);
            answers.push(answer);
            assert!(answers.len() < 10_000, "the continuation of {target} never ends");
            match token {
                None => return (answers, documents),
                Some(token) => continuation = format!("&continuation={}", token.replace('=', "%3D")),
            }
        }
    }

    /// Removes what was written.
    pub(super) async fn clean_up(&self) {
        for document_type in ["base_entity", "web_entity"] {
            let target = format!("/document/v1/NS/{document_type}/docid?selection=true&cluster=CLUSTER");
            self.follow("DELETE", &target, "").await;
        }
    }
}
