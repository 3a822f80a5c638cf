//! What a follow hands to its next execution when it continues as new.

use std::collections::BTreeMap;

use proto::v1::SlotRef;
use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use super::standing::Standing;
use crate::catch_up::CatchUp;
use crate::input::InputError;

/// Everything known. Fields may be added with a default; none may change its meaning, because running follows carry it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Carried {
    pub operation_id: String,
    pub rounds: u64,
    pub slots: Vec<Standing>,
    pub confirmed: BTreeMap<String, u64>,
    /// A round that is in the middle of its plan.
    pub unfinished: Option<Unfinished>,
    pub lanes: u32,
    pub paused_since_ms: Option<u64>,
}

/// The round of a slot whose plan is larger than one execution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Unfinished {
    pub slot: SlotRef,
    /// When it was asked how far the slot is behind.
    pub compared_at_ms: u64,
    pub catch_up: CatchUp,
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
    use proto::v1::Lag;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut standing = Standing::new("s");
        standing.compared(Lag { entities: u64::MAX, oldest_change_ms: 2 }, 3);
        let mut unfinished = Unfinished { compared_at_ms: 7, ..Unfinished::default() };
        unfinished.catch_up.plan.next_segment = 200;
        let carried = Carried {
            operation_id: "o".to_owned(),
            rounds: 20,
            slots: vec![standing],
            confirmed: [("s".to_owned(), 5)].into(),
            unfinished: Some(unfinished),
            lanes: 3,
            paused_since_ms: Some(1),
        };
        assert_eq!(carried.write().and_then(|payload| Carried::read(&payload)), Ok(carried));
    }

    #[test]
    fn fields_of_a_later_release_have_a_default() {
        let payload = Payload { data: b"{}".to_vec(), ..Payload::default() };
        assert_eq!(Carried::read(&payload), Ok(Carried::default()));
    }
}
