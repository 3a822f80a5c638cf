//! Resync: make the platform pull everything from the source again, so that the raw store is complete, and bring the
//! slots that are kept fresh up to it.
//!
//! ```text
//! begin_resync -> trigger_resync -> watch_resync, again and again, until the job has ended
//!                  ⇄ cancel_resync
//!              -> validate_raw_store -> followed_slots
//!              -> per slot: plan_replay -> replay_segment -> close_replay, as a fork catches up
//! ```
//!
//! `journey` is that line, `job` judges how the platform's job ended, `slots` is the part below, `carried` what
//! survives a continue-as-new.
//!
//! The job is the platform's, and starting it twice would be two jobs: `trigger_resync` finds out whether there is one
//! before it asks for another. A resync that is cancelled takes its job along, as far as the platform lets it. Until
//! the job has ended well nothing of ours changes, and a job that ended well without having seen anything did not end
//! well. A pause stops the resync and not the job.

#![allow(missing_docs, reason = "the macro generates undocumented constants for runs, signals, updates and queries")]

mod carried;
mod job;
mod journey;
mod slots;

use proto::v1::{Progress, ResyncRequest, ResyncResult, Throttle};
use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult};

use crate::controls::{Controlled, Controls};
use crate::gate::Pausable;
use crate::input::decode;
use crate::{controls, operator, progress};

use carried::Carried;

/// The resync workflow. Id: [`crate::resync_workflow_id`]. Input: a [`ResyncRequest`]. Result: a [`ResyncResult`].
#[workflow]
pub struct ResyncWorkflow {
    /// The payloads it was started with: the request, and after a continue-as-new what was carried over.
    input: RawValue,
    controls: Controls,
}

#[workflow_methods]
impl ResyncWorkflow {
    /// Keeps the payloads; decoding waits until a bad one can be answered.
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        Self { input, controls: Controls::new("resync", LANES) }
    }

    /// Runs the resync to its end, its failure or its cancellation.
    #[run(name = "ResyncWorkflow")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<ResyncResult> {
        journey::run(ctx).await
    }

    /// Stops before the next step, look or segment; the platform's job goes on. Arguments are ignored, so that a
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

    /// Where the resync is.
    #[query]
    pub fn progress(&self, _ctx: &WorkflowContextView) -> Progress {
        self.controls.progress.clone()
    }
}

/// Segments worked on at a time when slots catch up.
const LANES: u32 = 4;

impl Pausable for ResyncWorkflow {
    fn is_paused(&self) -> bool {
        self.controls.is_paused()
    }
}

impl Controlled for ResyncWorkflow {
    fn controls(&self) -> &Controls {
        &self.controls
    }

    fn controls_mut(&mut self) -> &mut Controls {
        &mut self.controls
    }
}

impl ResyncWorkflow {
    /// The request, and what an earlier execution of this resync carried over.
    fn read_input(&self) -> Result<(ResyncRequest, Option<Carried>), crate::InputError> {
        match self.input.payloads.as_slice() {
            [request, carried] => Ok((decode(std::slice::from_ref(request))?, Some(Carried::read(carried)?))),
            other => Ok((decode(other)?, None)),
        }
    }
}
