//! Switch: promote a ready slot; the active one becomes deprecated. Of one sync, or of all syncs of a collection at once.
//!
//! ```text
//! check_switch -> catch up, while everybody goes on
//!              -> raise_fence, after the jobs of the platform that run
//!                 -> plan_replay -> replay_segment -> verify_delta    the last difference, with nobody else writing
//!                 -> flip_roles                                       one transaction
//!              -> lower_fence -> announce_switch -> end_operation
//! ```
//!
//! `journey` is that line, `approach` what comes before the fence, `fence` what happens behind it. Behind the fence one time
//! limit holds. Past it, on a failure and on a cancellation the fence is lowered and nothing has changed: the roles change in
//! a single transaction at the very end, which compares what the caller expects with what is there. Repeating a finished
//! switch answers with the result it had.
//!
//! A rollback is a switch whose target is a deprecated slot; the last catch-up is what makes it lossless. It may leave the
//! target open; `check_switch` says what that means, once, and the flip is asked for exactly that.
//!
//! The roles are what counts. Announcing repeats them to a destination that has a name of its own for its readers; when
//! that fails the switch stands, its result says so, and repeating it announces again.

#![allow(missing_docs, reason = "the macro generates undocumented constants for runs, signals, updates and queries")]

mod approach;
mod end;
mod fence;
mod journey;
mod limits;
mod members;

use proto::v1::{Progress, SwitchResult, Throttle};
use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    SyncWorkflowContext, WorkflowCancellationToken, WorkflowContext, WorkflowContextView, WorkflowResult,
};

use crate::controls::{Controlled, Controls};
use crate::gate::Pausable;
use crate::stop::Stop;
use crate::{controls, operator, progress};

/// The switch workflow. Id: [`crate::switch_workflow_id`] or [`crate::collection_switch_workflow_id`]. Input: a
/// [`SwitchRequest`](proto::v1::SwitchRequest). Result: a [`SwitchResult`].
#[workflow]
pub struct SwitchWorkflow {
    input: RawValue,
    controls: Controls,
}

#[workflow_methods]
impl SwitchWorkflow {
    /// Keeps the payloads; decoding waits until a bad one can be answered.
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        Self { input, controls: Controls::new("switch", LANES) }
    }

    /// Runs the switch.
    #[run(name = "SwitchWorkflow")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<SwitchResult> {
        journey::run(ctx).await.map_err(Stop::into_termination)
    }

    /// Stops before the next step or segment. Behind the fence the time limit goes on. Arguments are ignored, so that a
    /// mistyped call does no harm.
    #[signal]
    pub fn pause(&mut self, ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.controls.pause(progress::millis(ctx.workflow_time()));
    }

    /// Goes on after a pause.
    #[signal]
    pub fn resume(&mut self, ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.controls.resume(progress::millis(ctx.workflow_time()));
    }

    /// Changes how many segments of a slot are worked on at a time, and how fast. A bad argument is ignored; the update
    /// `throttle` answers it.
    #[signal]
    pub async fn throttle(ctx: &mut WorkflowContext<Self>, argument: RawValue) {
        controls::throttle_by_signal(ctx, &argument).await;
    }

    #[update_validator(set_throttle)]
    fn validate_set_throttle(
        &self,
        _ctx: &WorkflowContextView,
        throttle: &Throttle,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        operator::lanes(throttle).map(|_| ()).map_err(Into::into)
    }

    /// As the signal, and answers with what is in force, once it is.
    #[update(name = "throttle")]
    pub async fn set_throttle(
        ctx: &mut WorkflowContext<Self>,
        throttle: Throttle,
    ) -> Result<Throttle, Box<dyn std::error::Error + Send + Sync>> {
        controls::throttle(ctx, throttle).await.map_err(Into::into)
    }

    /// Where the switch is.
    #[query]
    pub fn progress(&self, _ctx: &WorkflowContextView) -> Progress {
        self.controls.progress.clone()
    }
}

/// Segments of a slot worked on at a time.
const LANES: u32 = 4;

impl Pausable for SwitchWorkflow {
    fn is_paused(&self) -> bool {
        self.controls.is_paused()
    }

    fn scope(&self) -> Option<WorkflowCancellationToken> {
        self.controls.scope.clone()
    }
}

impl Controlled for SwitchWorkflow {
    fn controls(&self) -> &Controls {
        &self.controls
    }

    fn controls_mut(&mut self) -> &mut Controls {
        &mut self.controls
    }
}
