//! Requests that read: sent again when there is no usable answer, a few times.

use std::time::{Duration, Instant};

use super::breaker::Breaker;
use super::classify;
use super::connections::{Connections, Reply, Request};
use super::limits::VespaLimits;
use super::status::Verdict;
use crate::error::Result;
use crate::metrics::metrics;

/// How much longer than Vespa itself the connection waits for an answer.
pub(super) fn wire_timeout(server: Duration) -> Duration {
    server.mul_f64(1.1) + Duration::from_secs(1)
}

/// Sends requests that may be repeated.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) connections: Connections,
    pub(super) breaker: Breaker,
    pub(super) limits: VespaLimits,
}

impl Calls {
    /// The answer, whatever it says, as long as it is the server's last word: 429 and 5xx are repeated here. `doing` is
    /// for messages, such as "visit".
    ///
    /// # Errors
    /// What the last attempt ended with.
    pub(super) async fn call(&self, doing: &str, request: &Request) -> Result<Reply> {
        let started = Instant::now();
        let (mut failures, mut throttled) = (0, 0);
        loop {
            self.breaker.admit().await?;
            let error = match self.connections.send(request).await {
                Ok(reply) => {
                    let verdict = Verdict::of(reply.status);
                    if verdict.is_trouble() {
                        self.breaker.failed()
                    } else {
                        self.breaker.succeeded()
                    }
                    match verdict {
                        Verdict::Uncertain | Verdict::Throttled => classify::unexpected(doing, &reply),
                        _ => return Ok(reply),
                    }
                }
                Err(error) => {
                    self.breaker.failed();
                    classify::unanswered(doing, error)
                }
            };
            let delay = if error.kind() == crate::error::ErrorKind::RateLimited {
                if started.elapsed() >= self.limits.stall {
                    return Err(error);
                }
                throttled += 1;
                self.limits.delay(throttled)
            } else {
                failures += 1;
                // A refused certificate and an answer without end are not mended by a repetition.
                if failures >= self.limits.attempts || !error.kind().is_retryable() {
                    return Err(error);
                }
                self.limits.delay(failures)
            };
            metrics().retry(&error);
            tokio::time::sleep(delay).await;
        }
    }
}
