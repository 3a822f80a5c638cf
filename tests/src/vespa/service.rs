//! A request from its arrival to its answer: who may ask, what was asked, which fault befalls it.

use std::future::pending;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, header};

use super::body::{self, Content};
use super::cluster::Cluster;
use super::connection::Connection;
use super::documents::Exchange;
use super::faults::{Fault, Kind};
use super::journal;
use super::pages;
use super::reply::{Body, Refusal, Reply};
use super::search;
use super::target::Target;

/// The stream ends without an answer: a reset in HTTP/2, a closed connection in HTTP/1.1.
#[derive(Debug)]
pub struct NoAnswer;

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the stream is reset on purpose")
    }
}

impl std::error::Error for NoAnswer {}

/// Answers one request.
///
/// # Errors
/// When there is to be no answer.
pub async fn answer(
    cluster: Arc<Cluster>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, NoAnswer> {
    let (head, incoming) = request.into_parts();
    let content = body::read(&head.headers, incoming).await.map_err(|_| NoAnswer)?;
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().map(str::to_owned));
    if !is_let_in(&cluster, &head.headers) {
        return Ok(Reply::page(401, "401 Unauthorized").into_response());
    }
    let (target, content) = match (Target::parse(&path, query.as_deref()), content) {
        (Ok(target), Ok(content)) => (target, content),
        (Err(refusal), _) | (_, Err(refusal)) => return Ok(refusal.into_reply(&path, None).into_response()),
    };
    let accept = head.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let asked = match Asked::new(&head.method, &target, &content, accept) {
        Ok(asked) => asked,
        Err(reply) => return Ok(reply.into_response()),
    };
    let (kind, id, document) = match &asked {
        Asked::Document(exchange) => (exchange.kind(), exchange.id().map(ToString::to_string), exchange.id()),
        Asked::Search => (Kind::Search, None, None),
        Asked::Page => (Kind::Other, None, None),
    };
    let line = cluster.journal.open(journal::Request {
        connection: connection.number,
        version: head.version,
        method: head.method.to_string(),
        path: path.clone(),
        query: query.unwrap_or_default(),
        id: id.clone(),
        traceparent: head.headers.get("traceparent").and_then(|it| it.to_str().ok()).map(str::to_owned),
        compressed: content.compressed,
        bytes: content.bytes.len(),
        status: None,
    });

    let passes = matches!(&asked, Asked::Document(exchange) if exchange.passes_no_space(&cluster));
    let fault = if kind == Kind::Other { None } else { cluster.faults.strike(kind, document, passes) };
    match &fault {
        Some(Fault::Hang) => return pending().await,
        Some(Fault::ResetStream) => return Err(NoAnswer),
        Some(Fault::ResetConnection) => {
            connection.reset();
            return pending().await;
        }
        _ => {}
    }
    let reply = match (&fault, &asked) {
        (Some(Fault::IgnoredOperation), _) => {
            let body = Body { path_id: path.clone(), id: id.clone(), ..Body::default() };
            Ok(Fault::mark_ignored(Reply::document(200, &body)))
        }
        (Some(fault), Asked::Document(exchange)) if kind == Kind::Visit && *fault == Fault::InternalError => {
            exchange.answer(&cluster, fault.refusal()).await
        }
        (Some(fault), _) if fault.refusal().is_some() => Err(fault.refusal().expect("just looked")),
        (_, Asked::Document(exchange)) => exchange.answer(&cluster, None).await,
        (fault, Asked::Search) => {
            let degraded = *fault == Some(Fault::DegradedCoverage);
            search::search(&cluster, &head.method, &target, &content.bytes, degraded)
        }
        (_, Asked::Page) => Ok(pages::page(&path)),
    };
    let reply = match fault {
        Some(Fault::LoseAnswer) => {
            connection.reset();
            return pending().await;
        }
        Some(Fault::TimeoutInBackend) => Err(Fault::backend_timeout()),
        Some(Fault::GoAway) => {
            connection.go_away();
            reply
        }
        _ => reply,
    };
    let reply = reply.unwrap_or_else(|refusal| refusal.into_reply(&path, id));
    line.close(reply.status);
    Ok(reply.into_response())
}

enum Asked<'a> {
    Document(Exchange<'a>),
    Search,
    Page,
}

impl<'a> Asked<'a> {
    fn new(
        method: &hyper::Method,
        target: &'a Target,
        content: &'a Content,
        accept: Option<&'a str>,
    ) -> Result<Self, Box<Reply>> {
        match target.segments.first().map(String::as_str) {
            Some("document") => match Exchange::new(method, target, &content.bytes, accept) {
                Ok(Ok(exchange)) => Ok(Self::Document(exchange)),
                Ok(Err(reply)) => Err(Box::new(reply)),
                Err(refusal) => Err(Box::new(refusal.into_reply(&target.path, None))),
            },
            Some("search") if target.segments.len() == 1 => Ok(Self::Search),
            _ if *method == hyper::Method::GET => Ok(Self::Page),
            _ => {
                let refusal = Refusal::handler(405, format!("{method} is not allowed here"));
                Err(Box::new(refusal.into_reply(&target.path, None)))
            }
        }
    }
}

fn is_let_in(cluster: &Cluster, headers: &HeaderMap) -> bool {
    let Some(token) = cluster.options.security.token() else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    given.and_then(|given| given.strip_prefix("Bearer ")) == Some(token)
}
