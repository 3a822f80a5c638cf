//! The client against a small server on a free port.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::*;

const KEY: &str = "sk-very-secret";

/// What the server saw of one request.
#[derive(Clone)]
struct Seen {
    authorization: Option<String>,
    model: String,
    input: Vec<String>,
}

/// A server that answers the request of a number with what a function makes of it. Gone when dropped.
struct Server {
    base_url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// `answer` gets the number of the request, from 0, and its texts; no answer means silence.
    async fn start(answer: impl Fn(usize, &[String]) -> Option<Response> + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let handler = move |headers: HeaderMap, body: Bytes| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            async move {
                let body: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(body["encoding_format"], "float");
                let input: Vec<String> = serde_json::from_value(body["input"].clone()).expect("texts");
                let number = {
                    let mut log = log.lock().expect("no panic while held");
                    log.push(Seen {
                        authorization: headers.get("authorization").map(|v| v.to_str().expect("text").to_owned()),
                        model: body["model"].as_str().expect("a model").to_owned(),
                        input: input.clone(),
                    });
                    log.len() - 1
                };
                match answer(number, &input) {
                    Some(response) => response,
                    None => std::future::pending().await,
                }
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let app = Router::new().route("/v1/embeddings", post(handler));
        let task = tokio::spawn(async move { axum::serve(listener, app).await }).abort_handle();
        Self { base_url, seen, task }
    }

    fn settings(&self) -> OpenAiSettings {
        OpenAiSettings {
            base_url: self.base_url.parse().expect("a URL"),
            model: "model-x".to_owned(),
            dimensions: 3,
            max_batch_texts: 100,
            max_batch_tokens: 100_000,
            concurrency: 4,
            timing: OpenAiTiming {
                connect_timeout: Duration::from_secs(10),
                request_timeout: Duration::from_secs(30),
                first_delay: Duration::from_millis(1),
                retry_budget: Duration::from_secs(20),
            },
        }
    }

    fn client(&self) -> OpenAi {
        self.client_with(|_| ())
    }

    fn client_with(&self, change: impl FnOnce(&mut OpenAiSettings)) -> OpenAi {
        let mut settings = self.settings();
        change(&mut settings);
        OpenAi::new(settings, Some(KEY.into())).expect("valid settings")
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic while held").clone()
    }
}

/// A vector that tells which text it belongs to.
fn vector(text: &str) -> Vec<f32> {
    let sum: u16 = text.bytes().map(u16::from).sum();
    vec![1.0, f32::from(sum), -0.5]
}

fn items(input: &[String]) -> Vec<Value> {
    let item =
        |(index, text): (usize, &String)| json!({"object": "embedding", "index": index, "embedding": vector(text)});
    input.iter().enumerate().map(item).collect()
}

fn answer(data: &[Value]) -> Option<Response> {
    Some(json!({"object": "list", "data": data, "usage": {"total_tokens": 1}}).to_string().into_response())
}

fn status(code: u16) -> Option<Response> {
    // The body repeats what must not be repeated further.
    Some((StatusCode::from_u16(code).expect("a status"), "text number 3 is bad, key sk-very-secret").into_response())
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("text number {number}")).collect()
}

fn expected(texts: &[String]) -> Vec<EmbedOutcome> {
    texts.iter().map(|text| Ok(vector(text))).collect()
}

#[tokio::test]
async fn vectors_follow_the_index_and_not_the_order_of_the_answer() {
    let server = Server::start(|_, input| {
        let mut data = items(input);
        data.reverse();
        data.swap(0, 1);
        answer(&data)
    })
    .await;
    let texts = texts(5);
    assert_eq!(server.client().embed(&texts).await.expect("embedded"), expected(&texts));
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].authorization.as_deref(), Some("Bearer sk-very-secret"));
    assert_eq!(seen[0].model, "model-x");
    assert_eq!(seen[0].input, texts);
}

#[tokio::test]
async fn requests_keep_the_limits_and_outcomes_keep_the_order() {
    let server = Server::start(|_, input| answer(&items(input))).await;
    let texts = texts(25);
    let client = server.client_with(|settings| settings.max_batch_texts = 4);
    assert_eq!(client.embed(&texts).await.expect("embedded"), expected(&texts));
    let sizes: Vec<usize> = server.seen().iter().map(|seen| seen.input.len()).collect();
    assert_eq!((sizes.len(), sizes.iter().sum::<usize>(), sizes.iter().max()), (7, 25, Some(&4)));
}

#[tokio::test]
async fn nothing_to_embed_asks_nobody() {
    let server = Server::start(|_, _| status(500)).await;
    assert_eq!(server.client().embed(&[]).await.expect("embedded"), []);
    let blank = [String::new(), " ".to_owned()];
    assert_eq!(server.client().embed(&blank).await.expect("embedded"), vec![Err(EmbedFailure::Blank); 2]);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn no_key_sends_no_header() {
    let server = Server::start(|_, input| answer(&items(input))).await;
    let client = OpenAi::new(server.settings(), None).expect("valid settings");
    client.embed(&texts(1)).await.expect("embedded");
    assert_eq!(server.seen()[0].authorization, None);
}

#[tokio::test]
async fn a_rate_limit_is_waited_out_as_long_as_asked() {
    let server = Server::start(|number, input| match number {
        0 => Some((StatusCode::TOO_MANY_REQUESTS, [("retry-after-ms", "120")], "").into_response()),
        _ => answer(&items(input)),
    })
    .await;
    let started = Instant::now();
    assert_eq!(server.client().embed(&texts(2)).await.expect("embedded"), expected(&texts(2)));
    assert!(started.elapsed() >= Duration::from_millis(120));
    assert_eq!(server.seen().len(), 2);
}

#[rstest]
#[case(429)]
#[case(503)]
#[tokio::test]
async fn a_long_rate_limit_is_handed_to_the_caller(#[case] code: u16) {
    let server = Server::start(move |_, _| {
        Some((StatusCode::from_u16(code).expect("a status"), [("retry-after", "600")], "").into_response())
    })
    .await;
    let error = server.client().embed(&texts(2)).await.expect_err("not now");
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(600))));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_failing_server_is_asked_again() {
    let server = Server::start(|number, input| if number < 3 { status(500) } else { answer(&items(input)) }).await;
    assert_eq!(server.client().embed(&texts(2)).await.expect("embedded"), expected(&texts(2)));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_server_that_goes_on_failing_is_unavailable() {
    let server = Server::start(|_, _| status(502)).await;
    let client = server.client_with(|settings| settings.timing.retry_budget = Duration::from_millis(50));
    let error = client.embed(&texts(2)).await.expect_err("still failing");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(server.seen().len() > 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let server = Server::start(|_, _| None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let client = server.client_with(|settings| {
        settings.base_url = format!("http://{address}").parse().expect("a URL");
        settings.timing.retry_budget = Duration::ZERO;
    });
    assert_eq!(client.embed(&texts(1)).await.expect_err("nobody there").kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let server = Server::start(|_, _| None).await;
    let client = server.client_with(|settings| {
        settings.timing.request_timeout = Duration::from_millis(50);
        settings.timing.retry_budget = Duration::ZERO;
    });
    assert_eq!(client.embed(&texts(1)).await.expect_err("no answer").kind(), ErrorKind::Timeout);
}

#[rstest]
#[case(401, ErrorKind::DestinationDenied)]
#[case(404, ErrorKind::InvalidInput)]
#[tokio::test]
async fn what_no_repetition_mends_fails_at_once(#[case] code: u16, #[case] kind: ErrorKind) {
    let server = Server::start(move |_, _| status(code)).await;
    let error = server.client().embed(&texts(4)).await.expect_err("refused");
    assert_eq!(error.kind(), kind);
    assert!(!error.chain().contains("sk-very-secret") && !error.chain().contains("text number"), "{}", error.chain());
    assert_eq!(server.seen().len(), 1);
}

#[rstest]
#[case(400, EmbedFailure::Refused { status: 400 })]
#[case(413, EmbedFailure::TooLarge)]
#[case(422, EmbedFailure::Refused { status: 422 })]
#[tokio::test]
async fn one_poisoned_text_fails_alone(#[case] code: u16, #[case] failure: EmbedFailure) {
    let poisoned = |input: &[String]| input.iter().any(|text| text == "text number 37");
    let server =
        Server::start(move |_, input| if poisoned(input) { status(code) } else { answer(&items(input)) }).await;
    let texts = texts(50);
    let mut outcomes = expected(&texts);
    outcomes[37] = Err(failure);
    assert_eq!(server.client().embed(&texts).await.expect("embedded"), outcomes);
    assert!(server.seen().len() < 20, "{} requests", server.seen().len());
}

#[tokio::test]
async fn a_server_that_refuses_everything_is_no_matter_of_texts() {
    let server = Server::start(|_, _| status(400)).await;
    let error = server.client().embed(&texts(50)).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("harmless"), "{error}");
    assert_eq!(server.seen().len(), 2);
}

#[rstest]
#[case::zeros(json!([0.0, 0.0, 0.0]), EmbedFailure::ZeroVector)]
#[case::null(json!(null), EmbedFailure::NotFinite)]
#[case::null_value(json!([1.0, null, 2.0]), EmbedFailure::NotFinite)]
#[case::infinite(json!([1.0, 1e39, 2.0]), EmbedFailure::NotFinite)]
#[tokio::test]
async fn an_unusable_vector_fails_its_text_alone(#[case] bad: Value, #[case] failure: EmbedFailure) {
    let server = Server::start(move |_, input| {
        let mut data = items(input);
        data[1]["embedding"] = bad.clone();
        answer(&data)
    })
    .await;
    let texts = texts(3);
    let mut outcomes = expected(&texts);
    outcomes[1] = Err(failure);
    assert_eq!(server.client().embed(&texts).await.expect("embedded"), outcomes);
}

#[tokio::test]
async fn another_dimension_is_a_mistake_in_the_profile() {
    let server = Server::start(|_, input| answer(&items(input))).await;
    let client = server.client_with(|settings| settings.dimensions = 4);
    let error = client.embed(&texts(2)).await.expect_err("3 is not 4");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("3 dimensions"), "{error}");
}

#[rstest]
#[case::one_missing(|mut data: Vec<Value>| { data.pop(); data })]
#[case::one_more(|mut data: Vec<Value>| { data.push(data[0].clone()); data })]
#[case::twice(|mut data: Vec<Value>| { data[1]["index"] = json!(0); data })]
#[case::beyond(|mut data: Vec<Value>| { data[1]["index"] = json!(3); data })]
#[case::no_index(|mut data: Vec<Value>| { data[1] = json!({"embedding": [1.0, 2.0, 3.0]}); data })]
#[tokio::test]
async fn an_answer_that_does_not_fit_the_question_is_an_error(#[case] spoil: fn(Vec<Value>) -> Vec<Value>) {
    let server = Server::start(move |_, input| answer(&spoil(items(input)))).await;
    assert_eq!(server.client().embed(&texts(3)).await.expect_err("unexplained").kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let server = Server::start(|_, _| Some(" ".repeat(1 << 20).into_response())).await;
    let error = server.client().embed(&texts(1)).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.message().contains("larger than"), "{error}");
}

#[tokio::test]
async fn the_key_and_the_texts_are_not_printed() {
    let server = Server::start(|_, _| None).await;
    let printed = format!("{:?}", server.client());
    assert!(!printed.contains("secret"), "{printed}");
    let error = OpenAi::new(server.settings(), Some("secret\n".into())).expect_err("not a header");
    assert!(!error.chain().contains("secret"), "{}", error.chain());
}

#[tokio::test]
async fn the_identity_tells_servers_models_and_lengths_apart() {
    let server = Server::start(|_, _| None).await;
    let identity = format!("{}/embeddings#model-x#3", server.base_url);
    assert_eq!(server.client().model(), identity);
    assert_eq!(server.client().dimensions(), 3);
}
