//! What operators steer in a workflow that replays, and what they see of it.

use proto::v1::{Progress, Throttle};
use temporalio_common::data_converters::RawValue;
use temporalio_workflow::{WorkflowCancellationToken, WorkflowContext};

use crate::gate::Pausable;
use crate::input::decode;
use crate::{operator, progress, search_attributes};

/// The part of a workflow's state that pause, resume, throttle and progress are about.
#[derive(Debug)]
pub(crate) struct Controls {
    pub(crate) progress: Progress,
    /// Segments worked on at a time.
    pub(crate) lanes: u32,
    /// Whether an operator said how many that are, in this execution.
    is_throttled: bool,
    /// When work on the present plan began.
    pub(crate) replay_since_ms: Option<u64>,
    /// Milliseconds spent paused since then, and when the present pause began.
    pub(crate) paused_ms: u64,
    pub(crate) paused_since_ms: Option<u64>,
    /// What the present part is cancelled by, when it has a scope of its own.
    pub(crate) scope: Option<WorkflowCancellationToken>,
}

/// A workflow with controls.
pub(crate) trait Controlled: Pausable + 'static {
    fn controls(&self) -> &Controls;
    fn controls_mut(&mut self) -> &mut Controls;
}

impl Controls {
    pub(crate) fn new(operation: &str, lanes: u32) -> Self {
        Self {
            progress: Progress { operation: operation.to_owned(), phase: "start".to_owned(), ..Progress::default() },
            lanes,
            is_throttled: false,
            replay_since_ms: None,
            paused_ms: 0,
            paused_since_ms: None,
            scope: None,
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_since_ms.is_some()
    }

    pub(crate) fn pause(&mut self, now_ms: u64) {
        if self.paused_since_ms.is_none() {
            self.paused_since_ms = Some(now_ms);
            self.progress.paused = true;
        }
    }

    pub(crate) fn resume(&mut self, now_ms: u64) {
        if let Some(since) = self.paused_since_ms.take() {
            self.paused_ms += now_ms.saturating_sub(since);
            self.progress.paused = false;
        }
    }

    /// Takes the lanes that a signal asks for; answers why not.
    pub(crate) fn throttle(&mut self, argument: &RawValue) -> Result<(), String> {
        let throttle = decode::<Throttle>(&argument.payloads).map_err(|error| error.to_string())?;
        self.set_lanes(operator::lanes(&throttle)?);
        Ok(())
    }

    /// Takes the lanes that an operator asks for.
    pub(crate) fn set_lanes(&mut self, lanes: u32) {
        self.lanes = lanes;
        self.is_throttled = true;
    }

    /// Takes the lanes of the request, or of the execution before. An operator who spoke before the first task knows better.
    pub(crate) fn begin_with_lanes(&mut self, lanes: u32) {
        if !self.is_throttled {
            self.lanes = lanes;
        }
    }

    /// Starts the clock of a plan.
    pub(crate) fn begin_replay(&mut self, now_ms: u64) {
        self.replay_since_ms = Some(now_ms);
        self.paused_ms = 0;
        // A pause that lasts is counted from now on.
        self.paused_since_ms = self.paused_since_ms.map(|_| now_ms);
    }

    /// Milliseconds of work on the present plan, without pauses.
    pub(crate) fn replaying_ms(&self, now_ms: u64) -> u64 {
        let paused_now = self.paused_since_ms.map_or(0, |since| now_ms.saturating_sub(since));
        self.replay_since_ms.map_or(0, |since| now_ms.saturating_sub(since + self.paused_ms + paused_now))
    }
}

/// Shows a phase in the search attributes, the progress query and the UI.
pub(crate) fn set_phase<W: Controlled>(ctx: &WorkflowContext<W>, phase: &str) {
    ctx.state_mut(|state| phase.clone_into(&mut state.controls_mut().progress.phase));
    ctx.upsert_search_attributes([search_attributes::PHASE.value_set(phase.to_owned())]);
    publish(ctx);
}

/// Shows the progress in the UI.
pub(crate) fn publish<W: Controlled>(ctx: &WorkflowContext<W>) {
    ctx.set_current_details(ctx.state(|state| progress::table(&state.controls().progress)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_not_work() {
        let mut controls = Controls::new("fork", 1);
        assert_eq!(controls.replaying_ms(50), 0, "nothing has begun");
        controls.begin_replay(100);
        controls.pause(150);
        controls.pause(170);
        assert_eq!(controls.replaying_ms(300), 50);
        controls.resume(400);
        controls.resume(500);
        assert_eq!(controls.replaying_ms(500), 150);
        // The next plan begins in a pause.
        controls.pause(600);
        controls.begin_replay(700);
        assert_eq!(controls.replaying_ms(900), 0);
        controls.resume(1000);
        assert_eq!((controls.replaying_ms(1010), controls.is_paused()), (10, false));
    }
}
