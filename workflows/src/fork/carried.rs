//! What a fork hands to its next execution when it continues as new.

use proto::v1::{Gap, SlotRef};
use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use crate::input::InputError;

/// Everything known once the replay is planned. Fields may be added with a default; none may change its meaning,
/// because running forks carry it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Carried {
    pub slot: SlotRef,
    pub destination_kind: String,
    /// Whether this operation made the slot, and so takes it away again when it stops.
    pub created: bool,
    pub plan_id: String,
    pub started_ms: u64,
    pub gaps: Vec<Gap>,
    pub listed: u64,
    pub unchanged: u64,
    pub segments: u32,
    pub entities_total: u64,
    pub next_segment: u32,
    pub segments_done: u32,
    pub entities: u64,
    pub points: u64,
    pub textless: u64,
    /// Not there in the state of an execution that an earlier release began.
    #[serde(default)]
    pub chunks_embedded: u64,
    #[serde(default)]
    pub chunks_reused: u64,
    pub dead_letters: u64,
    /// Gone between listing and reading.
    pub gone: u64,
    /// In the slot, but not in the raw store any more.
    pub vanished: u64,
    pub lanes: u32,
    pub replay_since_ms: u64,
    pub paused_ms: u64,
    pub paused_since_ms: Option<u64>,
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
    fn what_is_written_is_read_back() {
        let carried = Carried { plan_id: "p".to_owned(), created: true, next_segment: 7, ..Carried::default() };
        assert_eq!(carried.write().and_then(|payload| Carried::read(&payload)), Ok(carried));
    }

    #[test]
    fn the_state_of_an_earlier_release_is_read() {
        let carried = Carried { plan_id: "p".to_owned(), points: 5, ..Carried::default() };
        let mut state = serde_json::to_value(&carried).unwrap();
        for added in ["chunks_embedded", "chunks_reused"] {
            state.as_object_mut().unwrap().remove(added).unwrap();
        }
        let payload = Payload { data: state.to_string().into_bytes(), ..Payload::default() };
        assert_eq!(Carried::read(&payload), Ok(carried));
    }
}
