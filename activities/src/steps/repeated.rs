//! One operation id is one operation, and it ends once: what a repetition is answered.

use serde::de::DeserializeOwned;

use crate::database::operations::{Operation, OperationState};
use crate::error::{Error, ErrorKind, Result};

/// The recorded answer of an operation that completed before; nothing when it is still to be done.
///
/// # Errors
///
/// What it failed with, when it failed; `Conflict` when it was cancelled.
pub(super) fn finished<T: DeserializeOwned>(recorded: Operation) -> Result<Option<T>> {
    match recorded.state {
        OperationState::Running | OperationState::Completed => {}
        OperationState::Failed => {
            let kind = recorded.error_kind.and_then(|kind| kind.parse().ok()).unwrap_or(ErrorKind::Internal);
            let message = recorded.error_message.unwrap_or_default();
            return Err(Error::new(
                kind,
                format!("this operation failed before: {message}; try again under a new operation id"),
            ));
        }
        OperationState::Cancelled => {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("operation {} was cancelled; try again under a new operation id", recorded.operation_id),
            ));
        }
    }
    let result = recorded.result.map(serde_json::from_value).transpose();
    result.map_err(|error| {
        Error::new(ErrorKind::Internal, "the operation's recorded result is not readable by this version")
            .with_source(error)
    })
}
