//! Keeps a Vespa that is in trouble from being asked by everybody at once.
//!
//! Nothing succeeded for the grace time: requests go one at a time, the others wait. Nothing succeeded for longer still:
//! the others fail at once, so that whoever retries can wait without holding anything. Any answer that is no trouble of
//! the server ends it. 429 and 507 are no trouble in this sense.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::limits::VespaLimits;
use crate::error::{Error, ErrorKind, Result};

/// Time between two requests while requests go one at a time.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Knows since when nothing has succeeded.
#[derive(Debug)]
pub(super) struct Breaker {
    grace: Duration,
    doom: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failing_since: Option<Instant>,
    probed_at: Option<Instant>,
}

/// Whether a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Go,
    Wait(Duration),
    Refuse(Duration),
}

impl Breaker {
    pub(super) fn new(limits: &VespaLimits) -> Self {
        Self { grace: limits.grace, doom: limits.doom, state: Mutex::default() }
    }

    /// Returns when a request may go.
    ///
    /// # Errors
    /// `Unavailable` when nothing has succeeded for long.
    pub(super) async fn admit(&self) -> Result<()> {
        loop {
            match self.admission(Instant::now()) {
                Admission::Go => return Ok(()),
                Admission::Wait(delay) => tokio::time::sleep(delay).await,
                Admission::Refuse(failing) => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("Vespa has answered nothing usable for {} seconds", failing.as_secs()),
                    ));
                }
            }
        }
    }

    /// Something was answered that shows the server at work.
    pub(super) fn succeeded(&self) {
        *self.lock() = State::default();
    }

    /// No answer, or one that shows the server in trouble.
    pub(super) fn failed(&self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(&self, now: Instant) {
        self.lock().failing_since.get_or_insert(now);
    }

    fn admission(&self, now: Instant) -> Admission {
        let mut state = self.lock();
        let failing = state.failing_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if failing < self.grace || state.failing_since.is_none() {
            return Admission::Go;
        }
        let wait = state.probed_at.map_or(Duration::ZERO, |at| (at + PROBE_EVERY).saturating_duration_since(now));
        if wait.is_zero() {
            state.probed_at = Some(now);
            Admission::Go
        } else if failing < self.doom {
            Admission::Wait(wait)
        } else {
            Admission::Refuse(failing)
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(&VespaLimits::default()), Instant::now())
    }

    #[test]
    fn a_few_failures_stop_nobody() {
        let (breaker, now) = breaker();
        breaker.failed_at(now);
        breaker.failed_at(now + 9 * SECOND);
        assert_eq!(breaker.admission(now + 9 * SECOND), Admission::Go);
        assert_eq!(breaker.admission(now + 9 * SECOND), Admission::Go);
    }

    #[test]
    fn after_the_grace_requests_go_one_at_a_time_and_later_not_at_all() {
        let (breaker, now) = breaker();
        breaker.failed_at(now);
        let late = now + 10 * SECOND;
        assert_eq!(breaker.admission(late), Admission::Go, "the one");
        assert_eq!(breaker.admission(late), Admission::Wait(SECOND));
        assert_eq!(breaker.admission(late + SECOND), Admission::Go, "the next one");
        let doomed = now + 60 * SECOND;
        assert_eq!(breaker.admission(doomed), Admission::Go, "somebody has to try");
        assert_eq!(breaker.admission(doomed), Admission::Refuse(60 * SECOND));
    }

    #[test]
    fn one_success_ends_it() {
        let (breaker, now) = breaker();
        breaker.failed_at(now);
        assert_eq!(breaker.admission(now + 70 * SECOND), Admission::Go);
        breaker.succeeded();
        for _ in 0..3 {
            assert_eq!(breaker.admission(now + 70 * SECOND), Admission::Go);
        }
        breaker.failed_at(now + 70 * SECOND);
        assert_eq!(breaker.admission(now + 75 * SECOND), Admission::Go, "counted from the first failure after it");
    }
}
