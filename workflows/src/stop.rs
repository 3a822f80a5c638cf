//! Why a journey ended before its end, and how that is told to Temporal.

use temporalio_common::error::{
    ActivityExecutionError, ApplicationErrorCategory, ApplicationFailure, IncomingError, RetryState,
};
use temporalio_workflow::WorkflowTermination;

use crate::domain::ErrorKind;
use crate::input::InputError;

/// A journey that did not reach its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something failed for good.
    Failed { kind: ErrorKind, message: String },
    /// Somebody cancelled the workflow.
    Cancelled,
    /// The history is long enough: go on in a new execution. Not an end; nothing is undone.
    ContinueAsNew(WorkflowTermination),
}

impl Stop {
    pub(crate) fn failed(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Failed { kind, message: message.into() }
    }

    /// What Temporal is told after the undo.
    pub(crate) fn into_termination(self) -> WorkflowTermination {
        match self {
            Self::Failed { kind, message } => {
                let category = if kind.is_benign() {
                    ApplicationErrorCategory::Benign
                } else {
                    ApplicationErrorCategory::Unspecified
                };
                ApplicationFailure::builder(std::io::Error::other(message))
                    .type_name(kind.name().to_owned())
                    .non_retryable(true)
                    .category(category)
                    .build()
                    .into()
            }
            Self::Cancelled => WorkflowTermination::cancelled(),
            Self::ContinueAsNew(termination) => termination,
        }
    }
}

impl From<InputError> for Stop {
    fn from(error: InputError) -> Self {
        Self::failed(ErrorKind::InvalidInput, error.to_string())
    }
}

impl From<ActivityExecutionError> for Stop {
    fn from(error: ActivityExecutionError) -> Self {
        let failed = match error {
            ActivityExecutionError::Cancelled(_) => return Self::Cancelled,
            ActivityExecutionError::Failed(failed) => failed,
            other => {
                return Self::failed(ErrorKind::Internal, format!("an activity's answer could not be read: {other}"));
            }
        };
        // An interrupted attempt is a retryable failure; the server turns it into this state when the workflow is being
        // cancelled.
        if failed.retry_state() == RetryState::CancelRequested {
            return Self::Cancelled;
        }
        match failed.cause() {
            Some(IncomingError::Application(cause)) => {
                let kind = cause.type_name().and_then(|name| name.parse().ok()).unwrap_or(ErrorKind::Internal);
                let message = cause.failure().map_or_else(|| cause.to_string(), |failure| failure.message.clone());
                Self::failed(kind, message)
            }
            Some(IncomingError::Timeout(timeout)) => {
                Self::failed(ErrorKind::Timeout, format!("a step ran out of time ({:?})", timeout.timeout_type()))
            }
            Some(cause) => Self::failed(ErrorKind::Internal, cause.to_string()),
            None => Self::failed(ErrorKind::Internal, failed.to_string()),
        }
    }
}
