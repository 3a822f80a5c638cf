//! Fork: add a shadow destination to a sync and fill it from the raw store.
//!
//! ```text
//! begin -> validate_raw_store -> create_shadow -> prepare_destination -> plan_replay
//!       -> replay_segment (a bounded window) -> close_replay
//!       -> plan_replay -> replay_segment -> close_replay, as long as much changed meanwhile
//!       -> finish_destination -> verify_slot -> mark_ready
//! ```
//!
//! `journey` is that line; plans and rounds are in `catch_up`, the window in `replay`; `carried` is what
//! survives a continue-as-new. A workflow that is reset, terminated or started again loses nothing: what a slot holds is
//! recorded in Postgres, and planning skips it.

#![allow(missing_docs, reason = "the macro generates undocumented constants for runs, signals, updates and queries")]

mod carried;
mod journey;

use proto::v1::{ForkRequest, ForkResult, Progress, Throttle};
use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult};

use crate::controls::{Controlled, Controls};
use crate::gate::Pausable;
use crate::input::decode;
use crate::{controls, operator, progress};

use carried::Carried;

/// The fork workflow. Id: [`crate::fork_workflow_id`]. Input: a [`ForkRequest`]. Result: a [`ForkResult`].
#[workflow]
pub struct ForkWorkflow {
    /// The payloads it was started with: the request, and after a continue-as-new what was carried over.
    input: RawValue,
    controls: Controls,
}

#[workflow_methods]
impl ForkWorkflow {
    /// Keeps the payloads; decoding waits until a bad one can be answered.
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        Self { input, controls: Controls::new("fork", DEFAULT_LANES) }
    }

    /// Runs the journey to its end, its failure or its cancellation.
    #[run(name = "ForkWorkflow")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<ForkResult> {
        journey::run(ctx).await
    }

    /// Stops before the next step or segment. Arguments are ignored, so that a mistyped call does no harm.
    #[signal]
    pub fn pause(&mut self, ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.controls.pause(progress::millis(ctx.workflow_time()));
    }

    /// Goes on after a pause.
    #[signal]
    pub fn resume(&mut self, ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.controls.resume(progress::millis(ctx.workflow_time()));
    }

    /// Changes how many segments are worked on at a time, and how fast. A bad argument is ignored; the update `throttle`
    /// answers it.
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

    /// Where the fork is.
    #[query]
    pub fn progress(&self, _ctx: &WorkflowContextView) -> Progress {
        self.controls.progress.clone()
    }
}

/// Segments worked on at a time when the request says nothing.
const DEFAULT_LANES: u32 = 4;

impl Pausable for ForkWorkflow {
    fn is_paused(&self) -> bool {
        self.controls.is_paused()
    }
}

impl Controlled for ForkWorkflow {
    fn controls(&self) -> &Controls {
        &self.controls
    }

    fn controls_mut(&mut self) -> &mut Controls {
        &mut self.controls
    }
}

impl ForkWorkflow {
    /// The request, and what an earlier execution of this fork carried over.
    fn read_input(&self) -> Result<(ForkRequest, Option<Carried>), crate::InputError> {
        match self.input.payloads.as_slice() {
            [request, carried] => Ok((decode(std::slice::from_ref(request))?, Some(Carried::read(carried)?))),
            other => Ok((decode(other)?, None)),
        }
    }
}
