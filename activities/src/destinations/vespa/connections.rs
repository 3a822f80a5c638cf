//! Connections to one Vespa: several HTTP/2 connections, each request on the least busy one.
//!
//! A client of `reqwest` keeps one HTTP/2 connection to a host, so there is a client per connection. In front of Vespa
//! Cloud is a balancer that recycles connections; a client is therefore replaced before it is that old, while its
//! requests go on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method};

use super::body::Body;
use super::endpoint::VespaEndpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::trace_context;

/// A connection without requests is closed after this long; Vespa Cloud closes it soon after.
const IDLE: Duration = Duration::from_secs(25);

/// A connection takes no new requests after this long; Vespa Cloud recycles it soon after.
const TTL: Duration = Duration::from_secs(40);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is read of an answer that is only looked at for its status and message.
pub(super) const SMALL_ANSWER_BYTES: usize = 1 << 20;

/// A request to Vespa.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Path and query, encoded.
    pub(super) target: String,
    pub(super) body: Option<Body>,
    /// How long the whole exchange may take.
    pub(super) timeout: Duration,
    /// How much of an answer is read.
    pub(super) answer_bytes: usize,
}

/// An answer of Vespa, or of something between it and us.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Vespa took the write and threw it away.
    pub(super) ignored_operation: bool,
    /// Vespa took the write and left fields out.
    pub(super) ignored_fields: bool,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Whether the request was carried out is not known.
    #[error("no answer in time")]
    Timeout(#[source] reqwest::Error),
    /// Refused, reset or closed; whether the request was carried out is not known.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
    /// The answer is longer than anything Vespa would say.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// The connections.
#[derive(Debug)]
pub(super) struct Connections {
    endpoint: VespaEndpoint,
    all: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    client: Mutex<(Client, Instant)>,
    in_flight: AtomicUsize,
}

/// Counts a request for as long as it lives.
struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    /// Connects when used.
    pub(super) fn new(endpoint: &VespaEndpoint, count: usize) -> Result<Self> {
        let connect = |_| {
            let client = Mutex::new((client(endpoint)?, Instant::now()));
            Ok(Connection { client, in_flight: AtomicUsize::new(0) })
        };
        Ok(Self { endpoint: endpoint.clone(), all: (0..count.max(1)).map(connect).collect::<Result<_>>()? })
    }

    /// Sends a request and reads its answer, whatever that says.
    pub(super) async fn send(&self, request: &Request) -> Result<Reply, WireError> {
        // Two at once may pick the same connection; it is a balance and no rule.
        let load = |at: &usize| self.all[*at].in_flight.load(Ordering::Relaxed);
        let connection = &self.all[(0..self.all.len()).min_by_key(load).unwrap_or(0)];
        connection.in_flight.fetch_add(1, Ordering::Relaxed);
        let _busy = Busy(&connection.in_flight);

        let url = format!("{}{}", self.endpoint.origin(), request.target);
        let mut builder = self
            .client(connection)
            .request(request.method.clone(), url)
            .headers(trace_context::http_headers())
            .timeout(request.timeout);
        if let Some(body) = &request.body {
            builder = builder.header(CONTENT_TYPE, "application/json; charset=utf-8").body(body.bytes.clone());
            if body.is_compressed {
                builder = builder.header(CONTENT_ENCODING, "gzip");
            }
        }
        let mut response = builder.send().await.map_err(failed)?;
        let flag = |headers: &HeaderMap, name| headers.get(name).is_some_and(|it| it.as_bytes() == b"true");
        let mut reply = Reply {
            status: response.status().as_u16(),
            ignored_operation: flag(response.headers(), "x-vespa-ignored-operation"),
            ignored_fields: flag(response.headers(), "x-vespa-ignored-fields"),
            body: Bytes::new(),
        };
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if body.len() + part.len() > request.answer_bytes {
                return Err(WireError::TooLong(request.answer_bytes));
            }
            body.extend_from_slice(&part);
        }
        reply.body = body.freeze();
        Ok(reply)
    }

    /// The client of a connection, replaced when it is too old. One that cannot be replaced stays.
    fn client(&self, connection: &Connection) -> Client {
        let mut current = connection.client.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() > TTL
            && let Ok(fresh) = client(&self.endpoint)
        {
            *current = (fresh, Instant::now());
        }
        current.0.clone()
    }
}

fn client(endpoint: &VespaEndpoint) -> Result<Client> {
    let mut builder = endpoint
        .identify(ClientBuilder::new())?
        .user_agent(concat!("sync-multiplexer/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE);
    if !endpoint.is_tls() {
        builder = builder.http2_prior_knowledge();
    }
    builder.build().map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "no connection to Vespa can be set up with these credentials")
            .with_source(error.without_url())
    })
}

fn failed(error: reqwest::Error) -> WireError {
    // The URL holds a document's id.
    let error = error.without_url();
    if error.is_timeout() { WireError::Timeout(error) } else { WireError::Connection(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_at_the_port_is_a_failed_connection() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let endpoint = VespaEndpoint::new(&origin.into(), super::super::VespaCredentials::None).unwrap();
        let connections = Connections::new(&endpoint, 2).unwrap();
        let request = Request {
            method: Method::GET,
            target: "/document/v1/secret".into(),
            body: None,
            timeout: Duration::from_secs(5),
            answer_bytes: SMALL_ANSWER_BYTES,
        };
        let error = connections.send(&request).await.unwrap_err();
        assert!(matches!(error, WireError::Connection(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert!(connections.all.iter().all(|it| it.in_flight.load(Ordering::Relaxed) == 0));
    }
}
