//! Tells Temporal about a failure: type name, retryability and delay come from the one table of error kinds.

use temporalio_sdk::activities::ActivityError;
use temporalio_sdk::error::ApplicationErrorCategory;
use temporalio_sdk::{ApplicationFailure, activities::ActivityContext};

use crate::error::{Error, ErrorKind};
use crate::metrics::metrics;

/// Attempts after which an `Internal` failure is no longer retried: what we cannot explain does not heal for ever.
const INTERNAL_ATTEMPTS: u32 = 5;

/// Converts a classified failure, and logs its causes once, here, where it leaves the process.
pub(crate) fn report(error: Error, ctx: &ActivityContext) -> ActivityError {
    if error.is_interruption() {
        return interrupted();
    }
    let kind = error.kind();
    let attempt = ctx.info().attempt;
    let retryable = kind.is_retryable() && !(kind == ErrorKind::Internal && attempt >= INTERNAL_ATTEMPTS);
    let activity = ctx.info().activity_type.as_str();
    if retryable {
        metrics().retry(&error);
    }
    let span = tracing::Span::current();
    span.record("otel.status_code", "error");
    span.record("error_kind", kind.name());
    if kind.is_benign() {
        tracing::info!(activity, attempt, kind = kind.name(), error = error.chain(), "answered with a refusal");
    } else {
        tracing::warn!(activity, attempt, kind = kind.name(), retryable, error = error.chain(), "attempt failed");
    }
    let category =
        if kind.is_benign() { ApplicationErrorCategory::Benign } else { ApplicationErrorCategory::Unspecified };
    let delay = error.retry_after();
    // Only the message travels: causes may hold statements, addresses or text, and histories are kept for long.
    let failure = ApplicationFailure::builder(std::io::Error::other(error.message().to_owned()))
        .type_name(kind.name().to_owned())
        .non_retryable(!retryable)
        .category(category)
        .maybe_next_retry_delay(delay)
        .build();
    ActivityError::application(failure)
}

/// The answer of an attempt that was told to stop: by a cancellation, a pause, a reset or a shutdown.
///
/// The SDK does not say which of them it was, and answering "cancelled" to a pause would wedge the activity. A retryable
/// failure is right for all: the server does not retry it when a cancellation was asked for.
pub(crate) fn interrupted() -> ActivityError {
    ActivityError::application(
        ApplicationFailure::builder(std::io::Error::other("interrupted; the next attempt goes on from the checkpoint"))
            .type_name("Interrupted".to_owned())
            .category(ApplicationErrorCategory::Benign)
            .build(),
    )
}
