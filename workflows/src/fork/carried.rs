//! What a fork hands to its next execution when it continues as new.

use proto::v1::SlotRef;
use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use crate::catch_up::CatchUp;
use crate::input::InputError;

/// Everything known once the first plan is made. Fields may be added with a default; none may change its meaning,
/// because running forks carry it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Carried {
    pub slot: SlotRef,
    pub destination_kind: String,
    /// Whether this operation made the slot, and so takes it away again when it stops.
    pub created: bool,
    pub started_ms: u64,
    /// The plans: the first replay and the rounds after it.
    #[serde(flatten)]
    pub catch_up: CatchUp,
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
    use proto::v1::Gap;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut catch_up =
            CatchUp { round: 2, gaps: vec![Gap { what: "a".to_owned(), count: 3 }], ..CatchUp::default() };
        catch_up.plan.next_segment = 7;
        catch_up.tally.points = u64::MAX;
        let carried = Carried { catch_up, created: true, paused_since_ms: Some(1), ..Carried::default() };
        assert_eq!(carried.write().and_then(|payload| Carried::read(&payload)), Ok(carried));
    }

    #[test]
    fn the_state_of_an_earlier_release_is_read() {
        let mut carried = Carried::default();
        carried.catch_up.plan.plan_id = "p".to_owned();
        carried.catch_up.tally.points = 5;
        let mut state = serde_json::to_value(&carried).unwrap();
        for added in ["chunks_embedded", "chunks_reused", "round", "delete_segments", "entities_done", "deleted", "lag"]
        {
            state.as_object_mut().unwrap().remove(added).unwrap();
        }
        let payload = Payload { data: state.to_string().into_bytes(), ..Payload::default() };
        assert_eq!(Carried::read(&payload), Ok(carried));
    }
}
