//! The progress of an operation as server-sent events.
//!
//! An event `progress` whenever something of the operation changed, and an event `ended` with its end, after which the stream
//! is over. Every event holds the whole operation, so one that was missed is no loss.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::ToSchema;
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::Api;
use super::caller::Caller;
use super::extract::Ids;
use super::operations::{LOOK, Operation, OperationPath};
use super::problem::Problem;
use crate::operations::Operations;

/// How long a stream lasts. Who watches longer connects again, and is asked again who they are.
const LONGEST: Duration = Duration::from_secs(300);

/// Between two lines that keep the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Watch an operation: events `progress` and, in the end, `ended`, each with the whole operation. A stream lasts five minutes
/// at most; connect again to go on.
#[utoipa::path(get, path = "/{operation_id}/events", tag = "operations", params(OperationPath),
    responses((status = 200, description = "A stream of server-sent events", content_type = "text/event-stream",
               body = ServerSentEvent)))]
pub(super) async fn watch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<OperationPath>,
) -> Result<Response, Problem> {
    let operations = api.operations().await?;
    let view = operations.get(caller.organization_id, path.operation_id).await?;
    let Some(place) = api.limits.watcher() else {
        let words = "too many operations are being watched; try again, or ask for the operation itself";
        return Err(Problem::new(ErrorKind::Unavailable, words).retry_after(Duration::from_secs(5)));
    };
    let watched = Watched {
        operations,
        organization_id: caller.organization_id,
        operation_id: path.operation_id,
        next: Some(Operation::new(view)?),
        said: Vec::new(),
        until: Instant::now() + LONGEST,
        stopping: api.stopping.clone(),
        _place: place,
    };
    let stream = Sse::new(events(watched)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // A proxy that collects an answer before it passes it on would make the stream useless.
    Ok(([(CACHE_CONTROL, "no-cache"), (X_ACCEL_BUFFERING, "no")], stream).into_response())
}

const X_ACCEL_BUFFERING: axum::http::HeaderName = axum::http::HeaderName::from_static("x-accel-buffering");

/// One event of a stream.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what is written as text")]
pub(super) struct ServerSentEvent {
    /// `progress`, or `ended` for the last one.
    #[schema(example = "progress")]
    event: String,
    /// The whole operation, as JSON.
    data: String,
}

struct Watched {
    operations: Operations,
    organization_id: Uuid,
    operation_id: Uuid,
    /// What is to be said first.
    next: Option<Operation>,
    /// What was said last.
    said: Vec<u8>,
    until: Instant,
    stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

fn events(watched: Watched) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(Some(watched), async |watched| {
        let mut watched = watched?;
        let (operation, text) = watched.change().await?;
        let name = if operation.is_running() { "progress" } else { "ended" };
        let event = Event::default().event(name).data(text);
        let rest = operation.is_running().then_some(watched);
        Some((Ok(event), rest))
    })
}

impl Watched {
    /// Waits until there is something new to say; nothing when the stream is to end.
    async fn change(&mut self) -> Option<(Operation, String)> {
        loop {
            let operation = match self.next.take() {
                Some(operation) => operation,
                None => {
                    let stopped =
                        tokio::time::timeout(LOOK, self.stopping.wait_for(|stopping| *stopping)).await.is_ok();
                    if stopped || Instant::now() >= self.until {
                        return None;
                    }
                    match self.operations.get(self.organization_id, self.operation_id).await {
                        Ok(view) => Operation::new(view).ok()?,
                        // Something is away: the client connects again, and is told then.
                        Err(_) => return None,
                    }
                }
            };
            let text = serde_json::to_string(&operation).ok()?;
            if text.as_bytes() != self.said {
                self.said = text.clone().into_bytes();
                return Some((operation, text));
            }
        }
    }
}
