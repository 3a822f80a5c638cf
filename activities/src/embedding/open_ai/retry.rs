//! Waits out short troubles. Long ones are handed to the caller, who can wait without holding anything.

use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::time::Instant;

use super::OpenAiTiming;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::metrics;

/// Longest wait that is not asked for by the server.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Repeats `attempt` while it fails in a way that a wait mends and the budget lasts.
pub(super) async fn within_budget<T, F>(timing: OpenAiTiming, attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + timing.retry_budget;
    let delays = ExponentialBuilder::new()
        .with_min_delay(timing.first_delay)
        .with_max_delay(MAX_DELAY)
        .with_jitter()
        .without_max_times();
    attempt
        .retry(delays)
        .when(is_worth_a_wait)
        .adjust(|error, planned| {
            delay(error.retry_after(), planned, deadline.saturating_duration_since(Instant::now()))
        })
        .notify(|error, delay| {
            metrics().retry(error);
            tracing::debug!(error.kind = %error.kind(), delay_ms = delay.as_millis(), "embedding request is repeated");
        })
        .await
}

fn is_worth_a_wait(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Timeout)
}

/// How long to wait, or nothing when that is longer than what is left of the budget.
fn delay(asked: Option<Duration>, planned: Option<Duration>, left: Duration) -> Option<Duration> {
    let delay = asked.max(planned)?;
    (delay <= left && !left.is_zero()).then_some(delay)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[rstest]
    #[case::planned(None, Some(ms(5)), ms(100), Some(ms(5)))]
    #[case::asked_for_more(Some(ms(50)), Some(ms(5)), ms(100), Some(ms(50)))]
    #[case::asked_for_less(Some(ms(0)), Some(ms(5)), ms(100), Some(ms(5)))]
    #[case::asked_for_too_much(Some(ms(101)), Some(ms(5)), ms(100), None)]
    #[case::budget_spent(None, Some(ms(5)), ms(4), None)]
    #[case::no_budget(None, Some(ms(0)), ms(0), None)]
    #[case::given_up(None, None, ms(100), None)]
    fn waits_are_bounded(
        #[case] asked: Option<Duration>,
        #[case] planned: Option<Duration>,
        #[case] left: Duration,
        #[case] expected: Option<Duration>,
    ) {
        assert_eq!(delay(asked, planned, left), expected);
    }

    /// On a paused clock: takes no time.
    #[tokio::test(start_paused = true)]
    async fn the_budget_bounds_all_waits_together() {
        let timing = OpenAiTiming::default();
        let started = Instant::now();
        let mut attempts = 0;
        let result: Result<()> = within_budget(timing, || {
            attempts += 1;
            async { Err(Error::new(ErrorKind::Unavailable, "down")) }
        })
        .await;
        assert_eq!(result.expect_err("still down").kind(), ErrorKind::Unavailable);
        assert!(started.elapsed() <= timing.retry_budget);
        assert!(attempts > 4, "{attempts} attempts");
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_is_given_the_time_it_asks_for() {
        let started = Instant::now();
        let mut attempts = 0;
        let result = within_budget(OpenAiTiming::default(), || {
            attempts += 1;
            let answer = if attempts == 1 {
                Err(Error::new(ErrorKind::RateLimited, "slow down").with_retry_after(Duration::from_secs(7)))
            } else {
                Ok(attempts)
            };
            async move { answer }
        })
        .await;
        assert_eq!(result.expect("the second attempt works"), 2);
        assert_eq!(started.elapsed().as_secs(), 7);
    }

    #[tokio::test]
    async fn what_a_wait_does_not_mend_is_not_repeated() {
        let mut attempts = 0;
        let result: Result<()> = within_budget(OpenAiTiming::default(), || {
            attempts += 1;
            async { Err(Error::new(ErrorKind::InvalidInput, "wrong")) }
        })
        .await;
        assert!(result.is_err());
        assert_eq!(attempts, 1);
    }
}
