//! What a resync hands to its next execution when it continues as new. By then the job has ended, and slots catch up.

use proto::v1::{Lag, ResyncResult, SlotRef};
use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use crate::catch_up::CatchUp;
use crate::input::InputError;

/// Everything known once the job has ended. Fields may be added with a default; none may change its meaning, because
/// running resyncs carry it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Carried {
    /// The operation on the sync as a whole: the slot id is empty.
    pub operation: SlotRef,
    pub started_ms: u64,
    /// The result as far as it is known.
    pub result: ResyncResult,
    /// Slots that have not caught up; the first of them is being worked on.
    pub slots: Vec<SlotRef>,
    /// The plans of that first slot; absent before there is one.
    pub catch_up: Option<CatchUp>,
    /// How far that slot was behind at first.
    pub behind: Lag,
    /// How often its plan was replaced by somebody else's.
    pub replaced: u32,
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
    use proto::v1::{PlatformJob, SlotCaughtUp};

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let slot = |id: &str| SlotRef { slot_id: id.to_owned(), ..SlotRef::default() };
        let result = ResyncResult {
            entities_before: u64::MAX,
            job: Some(PlatformJob { status: "completed".to_owned(), ..PlatformJob::default() }),
            slots: vec![SlotCaughtUp { slot_id: "done".to_owned(), written: 7, ..SlotCaughtUp::default() }],
            ..ResyncResult::default()
        };
        let carried = Carried {
            operation: slot(""),
            result,
            slots: vec![slot("a"), slot("b")],
            catch_up: Some(CatchUp { round: 2, ..CatchUp::default() }),
            behind: Lag { entities: 9, oldest_change_ms: 5 },
            paused_since_ms: Some(1),
            ..Carried::default()
        };
        assert_eq!(carried.write().and_then(|payload| Carried::read(&payload)), Ok(carried));
    }
}
