//! One attempt to deliver an event.

use std::time::Duration;

use chrono::Utc;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::json;

use super::address::{Address, Resolver};
use super::secret::SigningSecret;
use crate::database::outbox::Event;
use crate::error::{Error, ErrorKind, Result};
use crate::trace_context;

/// How long a receiver may take, from connecting to the end of its answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// How long an event is taken for before somebody else may send it. Well above [`TIMEOUT`].
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is read of an answer, so that the connection can be used again. What it says is not looked at.
const ANSWER_BYTES: usize = 64 * 1024;

/// What a receiver said.
#[derive(Debug)]
pub(super) enum Answer {
    /// It has the event.
    Acknowledged,
    /// It has not, or that is not known.
    NotAcknowledged(Failure),
}

/// Why an event may not have arrived.
#[derive(Debug)]
pub(super) struct Failure {
    /// Status or kind of failure.
    pub(super) why: String,
    /// How long the receiver asked to wait.
    pub(super) retry_after: Option<Duration>,
    /// The receiver does not want this address to be used any more.
    pub(super) is_final: bool,
}

/// The receiver, and what requests to it are signed with.
#[derive(Debug)]
pub(super) struct Receiver {
    client: Client,
    address: Address,
    secrets: Vec<SigningSecret>,
}

impl Receiver {
    pub(super) fn new(address: Address, secrets: Vec<SigningSecret>) -> Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("sync-multiplexer/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // A redirect would carry events to a place that nobody named.
            .redirect(Policy::none())
            .dns_resolver(std::sync::Arc::new(Resolver))
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "the client for webhooks cannot start").with_source(error)
            })?;
        Ok(Self { client, address, secrets })
    }

    /// Sends an event once.
    pub(super) async fn send(&self, event: &Event) -> Answer {
        let span = tracing::info_span!(
            "webhook",
            otel.name = "webhook",
            otel.kind = "client",
            event_type = event.event_type,
            attempt = event.attempts,
        );
        trace_context::within(span, self.attempt(event)).await
    }

    async fn attempt(&self, event: &Event) -> Answer {
        let (id, timestamp, body) = (format!("evt_{}", event.event_id.simple()), Utc::now().timestamp(), body(event));
        let signatures: Vec<_> = self.secrets.iter().map(|secret| secret.sign(&id, timestamp, &body)).collect();
        let sent = self
            .client
            .post(self.address.url())
            .headers(trace_context::http_headers())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(body)
            .send()
            .await;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return lost(&error),
        };
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let mut read = 0;
        while read < ANSWER_BYTES {
            match response.chunk().await {
                Ok(Some(part)) => read += part.len(),
                // The status is the answer, whatever becomes of the rest.
                Ok(None) | Err(_) => break,
            }
        }
        if status.is_success() {
            return Answer::Acknowledged;
        }
        Answer::NotAcknowledged(Failure {
            why: format!("status {}", status.as_u16()),
            retry_after,
            is_final: status == StatusCode::GONE,
        })
    }
}

/// The same bytes at every attempt.
fn body(event: &Event) -> Vec<u8> {
    let body = json!({
        "type": event.event_type,
        "timestamp": event.occurred_at,
        "sequence": event.sequence,
        "data": event.data,
    });
    body.to_string().into_bytes()
}

/// The cause is left out: it names the address, in which there may be a token.
fn lost(error: &reqwest::Error) -> Answer {
    let why = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection failed"
    };
    Answer::NotAcknowledged(Failure { why: why.to_owned(), retry_after: None, is_final: false })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
