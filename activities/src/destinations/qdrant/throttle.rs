//! How long a request is repeated before its failure is handed on.
//!
//! Waiting here is cheaper than failing: what fails is carried again from the embedding on. So a rate limit is waited
//! out, exactly as long as the server says, and a server that restarts is given a moment. What would take longer goes
//! to the caller, who can wait without holding anything.
//!
//! Every request of this folder may be sent twice: the client does so itself when a connection breaks.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::classify::Failure;
use crate::error::ErrorKind;
use crate::metrics::metrics;

/// Longest wait for a rate limit, all waits of one request together. A bucket of tokens fills up within a minute; the
/// rest is for other writers who take from it.
const RATE_LIMIT_BUDGET: Duration = Duration::from_secs(150);

/// Shortest wait for a rate limit, should the server ask for none.
const MIN_WAIT: Duration = Duration::from_millis(100);

/// Waits before a request is repeated that found the server away. A restart of an empty Qdrant takes half a second.
const AWAY_DELAYS: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];

/// Whose turn it is to wait for a rate limit. Requests that were refused go one by one: side by side they would take
/// each other's tokens, and none would get through for long.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    turn: Mutex<()>,
    /// Answers that asked for less.
    limited: AtomicU64,
}

impl Throttle {
    /// How often the server has asked for less.
    pub(super) fn limited(&self) -> u64 {
        self.limited.load(Ordering::Relaxed)
    }

    /// Sends until it works, fails in a way that waiting does not mend, or patience ends. Then the failure is the last
    /// one; of a rate limit it says how long to wait.
    pub(super) async fn send<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut away = AWAY_DELAYS.into_iter();
        let mut turn = None;
        loop {
            let failure = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Failure::Failed(error) = &failure else { return Err(failure) };
            let answered = Instant::now();
            if error.kind() == ErrorKind::RateLimited {
                self.limited.fetch_add(1, Ordering::Relaxed);
            }
            let again = match (error.kind(), error.retry_after()) {
                (ErrorKind::RateLimited, Some(asked)) => {
                    let (_, deadline) = match &turn {
                        Some(turn) => turn,
                        None => turn.insert((self.turn.lock().await, Instant::now() + RATE_LIMIT_BUDGET)),
                    };
                    Some(answered + asked.max(MIN_WAIT)).filter(|again| again <= deadline)
                }
                (ErrorKind::Unavailable, _) => away.next().map(|delay| answered + delay),
                _ => None,
            };
            let Some(again) = again else { return Err(failure) };
            tracing::debug!(kind = error.kind().name(), "a request to Qdrant is repeated");
            metrics().retry(error);
            sleep_until(again).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::error::Error;

    fn limited(seconds: u64) -> Failure {
        Failure::Failed(Error::new(ErrorKind::RateLimited, "slow down").with_retry_after(Duration::from_secs(seconds)))
    }

    /// All on a paused clock: takes no time.
    #[tokio::test(start_paused = true)]
    async fn the_server_is_given_the_time_it_asks_for() {
        let (started, attempts) = (Instant::now(), AtomicU32::new(0));
        let answer = Throttle::default()
            .send(|| async {
                if attempts.fetch_add(1, Ordering::Relaxed) < 2 { Err(limited(7)) } else { Ok("stored") }
            })
            .await;
        assert_eq!(answer.expect("the third attempt works"), "stored");
        assert_eq!(started.elapsed(), Duration::from_secs(14));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded_and_the_caller_learns_how_long() {
        let started = Instant::now();
        let failure =
            Throttle::default().send(|| async { Err::<(), _>(limited(40)) }).await.expect_err("still limited");
        assert_eq!(started.elapsed(), Duration::from_secs(120), "a fourth wait would exceed the budget");
        let error = Error::from(failure);
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(40))));
        let started = Instant::now();
        Throttle::default().send(|| async { Err::<(), _>(limited(3_600)) }).await.expect_err("an hour is too long");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_compete_for_tokens_all_get_through() {
        // A token falls every 50 s, and each of four requests needs one.
        let (throttle, started, taken) = (Throttle::default(), Instant::now(), AtomicU32::new(0));
        let send = || async {
            throttle
                .send(|| async {
                    let due = 50 * u64::from(taken.load(Ordering::Relaxed) + 1);
                    match Duration::from_secs(due).checked_sub(started.elapsed()) {
                        None | Some(Duration::ZERO) => Ok(taken.fetch_add(1, Ordering::Relaxed)),
                        Some(rest) => Err(limited(rest.as_secs())),
                    }
                })
                .await
        };
        let answers = futures::future::join_all([send(), send(), send(), send()]).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(started.elapsed(), Duration::from_secs(200));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_is_given_a_moment() {
        let (started, attempts) = (Instant::now(), AtomicU32::new(0));
        let failure = Throttle::default()
            .send(|| async {
                attempts.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(Failure::Failed(Error::new(ErrorKind::Unavailable, "away")))
            })
            .await
            .expect_err("still away");
        assert_eq!(Error::from(failure).kind(), ErrorKind::Unavailable);
        assert_eq!(attempts.into_inner(), 4);
        assert_eq!(started.elapsed(), AWAY_DELAYS.iter().sum());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_does_not_mend_is_not_repeated() {
        let error = || Error::new(ErrorKind::Internal, "no");
        for failure in [Failure::Refused, Failure::TooMany, Failure::Failed] {
            let attempts = AtomicU32::new(0);
            let answer = Throttle::default()
                .send(|| async {
                    attempts.fetch_add(1, Ordering::Relaxed);
                    Err::<(), _>(failure(error()))
                })
                .await;
            assert!(answer.is_err());
            assert_eq!(attempts.into_inner(), 1);
        }
    }
}
