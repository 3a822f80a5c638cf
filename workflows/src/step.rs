//! How patiently each class of step is run: time limits, heartbeats, retries.

use std::time::Duration;

use temporalio_common::RetryPolicy;
use temporalio_workflow::{ActivityCancellationType, ActivityOptions, WorkflowCancellationToken};

use crate::domain::ErrorKind;

/// How long a step that heals by itself is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until it heals: an outage of hours pauses a migration, it does not end it.
    Endless,
    /// A few times: whoever asked has other things to do meanwhile, and asks again later.
    Short,
}

/// Attempts of a step with short patience: some ten seconds, beside what the attempts themselves take.
const SHORT_ATTEMPTS: u32 = 5;

impl Patience {
    /// The same step, tried as long as this says.
    pub(crate) fn with(self, mut options: ActivityOptions) -> ActivityOptions {
        if self == Self::Short
            && let Some(policy) = options.retry_policy.as_mut()
        {
            policy.set_maximum_attempts(SHORT_ATTEMPTS);
        }
        options
    }
}

/// A few statements against Postgres.
pub(crate) fn short(summary: &str) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(Duration::from_secs(60))
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .retry_policy(retries())
        .summary(summary.to_owned())
        .build()
}

/// Work that grows with the store and reports by heartbeat that it is alive.
///
/// After a hard kill the next attempt starts one heartbeat timeout later.
pub(crate) fn long(summary: String) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(Duration::from_secs(12 * 3600))
        .heartbeat_timeout(HEARTBEAT_TIMEOUT)
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .retry_policy(retries())
        .summary(summary)
        .build()
}

/// Book-keeping that must also run after a cancellation: a detached token.
pub(crate) fn detached(summary: &str) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(Duration::from_secs(60))
        .cancellation_token(WorkflowCancellationToken::new())
        .retry_policy(retries())
        .summary(summary.to_owned())
        .build()
}

/// Taking something back: detached too, but bounded. Whoever cancels because a destination is away must not have to wait
/// until it is back.
pub(crate) fn undo(summary: &str, limit: Duration) -> ActivityOptions {
    ActivityOptions::with_schedule_to_close_timeout(limit)
        .heartbeat_timeout(HEARTBEAT_TIMEOUT)
        .cancellation_token(WorkflowCancellationToken::new())
        .retry_policy(retries())
        .summary(summary.to_owned())
        .build()
}

/// A few statements against Postgres that somebody holds a fence for. An attempt whose worker died is soon tried again.
pub(crate) fn fenced(summary: &str, scope: WorkflowCancellationToken) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(Duration::from_secs(10))
        // The fence is taken down at once, so nobody waits for what was cancelled.
        .cancellation_type(ActivityCancellationType::TryCancel)
        .cancellation_token(scope)
        .retry_policy(retries())
        .summary(summary.to_owned())
        .build()
}

/// What follows a change that stands: bounded, because whoever waits for the change must not have to wait for ever, and a
/// cancellation ends it.
pub(crate) fn afterwards(summary: &str, limit: Duration) -> ActivityOptions {
    ActivityOptions::with_schedule_to_close_timeout(limit)
        .heartbeat_timeout(HEARTBEAT_TIMEOUT)
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .retry_policy(retries())
        .summary(summary.to_owned())
        .build()
}

const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);

/// Retries without end for what heals by itself: an outage of hours pauses a migration, it does not end it.
/// Failures of a kind that cannot heal are named once, here. `Internal` is stopped by the activity itself after a few
/// attempts.
fn retries() -> RetryPolicy {
    let hopeless = ErrorKind::ALL.into_iter().filter(|kind| !kind.is_retryable()).map(ErrorKind::name);
    RetryPolicy::builder()
        .initial_interval(Duration::from_millis(500))
        .backoff_coefficient(2.0)
        .maximum_interval(Duration::from_secs(30))
        .maximum_attempts(0)
        .non_retryable_error_types(hopeless)
        .build()
}
