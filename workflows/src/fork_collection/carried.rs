//! What the fork of a collection hands to its next execution when it continues as new.

use proto::v1::SyncFork;
use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use crate::input::InputError;

/// Everything known once the syncs are listed. Fields may be added with a default; none may change its meaning, because
/// running forks carry it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Carried {
    pub operation_id: String,
    pub started_ms: u64,
    /// Every sync, in the order in which they are begun, with what became of it.
    pub syncs: Vec<SyncFork>,
    /// The first that was not begun.
    pub next: usize,
    /// Forks that really ran, here or in an earlier execution.
    pub begun: u32,
    pub concurrency: u32,
    pub paused: bool,
}

impl Carried {
    pub(super) fn read(payload: &Payload) -> Result<Self, InputError> {
        serde_json::from_slice(&payload.data)
            .map_err(|error| InputError::new(format!("the state of the earlier execution does not decode: {error}")))
    }

    pub(super) fn write(&self) -> Result<Payload, InputError> {
        let data = serde_json::to_vec(self)
            .map_err(|error| InputError::new(format!("the state for the next execution does not encode: {error}")))?;
        Ok(Payload { metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(), data, ..Payload::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_stays_small() {
        let id = "0b3c9a4e-7e0f-4f4e-9a60-3f1f2b8f6c11".to_owned();
        let failed = SyncFork {
            sync_id: id.clone(),
            state: "failed".to_owned(),
            error_kind: "IncompatibleDestination".to_owned(),
            error_message: "x".repeat(super::super::forks::LONGEST_MESSAGE),
            operation_id: id.clone(),
            ..SyncFork::default()
        };
        let carried = Carried {
            operation_id: id,
            syncs: vec![failed; 128],
            next: 7,
            begun: 3,
            paused: true,
            ..Carried::default()
        };
        let payload = carried.write().unwrap();
        assert!(payload.data.len() < 64 * 1024, "{} bytes", payload.data.len());
        assert_eq!(Carried::read(&payload), Ok(carried));
    }
}
