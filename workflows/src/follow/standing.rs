//! How one followed slot stands.

use proto::v1::{FollowedSlot, Lag};
use serde::{Deserialize, Serialize};

use crate::domain::ErrorKind;

/// A followed slot. Survives a continue-as-new.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Standing {
    /// What is shown of it.
    pub shown: FollowedSlot,
}

impl Standing {
    pub(super) fn new(slot_id: &str) -> Self {
        Self { shown: FollowedSlot { slot_id: slot_id.to_owned(), ..FollowedSlot::default() } }
    }

    /// It was compared with the raw store.
    pub(super) fn compared(&mut self, lag: Lag, at_ms: u64) {
        self.shown.lag = Some(lag);
        self.shown.compared_at_ms = at_ms;
    }

    /// It has everything that was there at that time.
    pub(super) fn caught_up(&mut self, at_ms: u64) {
        self.shown.caught_up_at_ms = at_ms;
        self.went_well();
    }

    /// A round did not fail, whether it came to its end or not.
    pub(super) fn went_well(&mut self) {
        self.shown.failing_since_ms = 0;
        self.shown.error_kind.clear();
        self.shown.error_message.clear();
    }

    /// A round failed.
    pub(super) fn failed(&mut self, kind: ErrorKind, message: &str, at_ms: u64) {
        if self.shown.failing_since_ms == 0 {
            self.shown.failing_since_ms = at_ms;
        }
        kind.name().clone_into(&mut self.shown.error_kind);
        self.shown.error_message = message.chars().take(MAX_MESSAGE_CHARS).collect();
    }

    /// A row for operators.
    pub(super) fn row(&self, now_ms: u64) -> String {
        let FollowedSlot { slot_id, lag, caught_up_at_ms, failing_since_ms, error_kind, error_message, .. } =
            &self.shown;
        let behind = lag.map_or_else(|| "unknown".to_owned(), |lag| lag.entities.to_string());
        let ago = |at_ms: u64| match at_ms {
            0 => "never".to_owned(),
            at_ms => format!("{} s ago", now_ms.saturating_sub(at_ms) / 1000),
        };
        let state = if *failing_since_ms == 0 {
            "well".to_owned()
        } else {
            // A message with a bar or a line break would end the row.
            let message = error_message.replace(['|', '\n'], " ");
            format!("failing since {}: {error_kind}: {message}", ago(*failing_since_ms))
        };
        format!("| `{slot_id}` | {behind} | {} | {state} |\n", ago(*caught_up_at_ms))
    }
}

/// Longest message kept, in characters: what is carried from execution to execution stays small.
const MAX_MESSAGE_CHARS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_fails_since_the_first_of_the_rounds_that_failed() {
        let mut slot = Standing::new("s");
        slot.compared(Lag { entities: 3, oldest_change_ms: 5 }, 10);
        slot.failed(ErrorKind::Unavailable, "away", 20);
        slot.failed(ErrorKind::OutOfSpace, "full | or\nso", 30);
        assert_eq!((slot.shown.failing_since_ms, slot.shown.error_kind.as_str()), (20, "OutOfSpace"));
        assert_eq!(slot.shown.caught_up_at_ms, 0, "it lacks something");
        let row = slot.row(5_020);
        assert_eq!(row, "| `s` | 3 | never | failing since 5 s ago: OutOfSpace: full   or so |\n");
        slot.caught_up(4_020);
        assert_eq!(slot.row(5_020), "| `s` | 3 | 1 s ago | well |\n");
    }
}
