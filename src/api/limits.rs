//! Bounds on what callers may use: requests per time, requests at a time, time per request, watchers. And what a panic says.

use std::any::Any;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::Api;
use super::problem::Problem;

/// How long a request may take. Longer than any wait that can be asked for.
const PATIENCE: Duration = Duration::from_secs(40);

/// Parties whose requests are counted before those that are quiet are forgotten.
const PARTIES: usize = 10_000;

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Party {
    /// A key, or the backend for one organisation.
    Caller(Uuid),
    /// Where requests come from that are nobody's.
    Peer(IpAddr),
}

/// The bounds, and how far they are used.
pub(super) struct Limits {
    rate: DefaultKeyedRateLimiter<Party>,
    requests: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
}

impl Limits {
    /// So many requests a second and party, `burst` of them at once; so many at a time; and so many that wait or watch.
    pub(super) fn new(per_second: NonZeroU32, burst: NonZeroU32, at_a_time: usize, watchers: usize) -> Self {
        Self {
            rate: DefaultKeyedRateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)),
            requests: Arc::new(Semaphore::new(at_a_time)),
            watchers: Arc::new(Semaphore::new(watchers)),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// 429, with when to try again.
    pub(super) fn admit(&self, party: Party) -> Result<(), Problem> {
        if self.rate.len() > PARTIES {
            self.rate.retain_recent();
        }
        self.rate.check_key(&party).map_err(|refusal| {
            let delay = refusal.wait_time_from(DefaultClock::default().now());
            Problem::new(ErrorKind::RateLimited, "too many requests; Retry-After says when to go on").retry_after(delay)
        })
    }

    /// A place among those that wait for an operation or watch it, when one is free.
    pub(super) fn watcher(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.watchers).try_acquire_owned().ok()
    }
}

/// Serves as many requests at a time as are allowed, each for as long as it may take.
pub(super) async fn bound(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = Arc::clone(&api.limits.requests).try_acquire_owned() else {
        return Problem::new(ErrorKind::Unavailable, "too many requests are being served; try again")
            .retry_after(Duration::from_secs(1))
            .into_response();
    };
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(ErrorKind::Timeout, "the request took too long; what it began goes on").into_response(),
    }
}

/// What a caller is told of a panic.
pub(super) fn panicked(_panic: Box<dyn Any + Send + 'static>) -> Response {
    // The panic hook has written where and why.
    Problem::new(ErrorKind::Internal, "something broke here; the log of the API says what").into_response()
}
