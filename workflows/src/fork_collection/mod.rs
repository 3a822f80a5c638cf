//! Fork a collection: one fork for each of its syncs, to the same connection, a bounded number at a time.
//!
//! ```text
//! begin_fork_collection -> ForkWorkflow (a child per sync, a bounded window) -> end_operation
//! ```
//!
//! Each sync's fork is an ordinary [`ForkWorkflow`](crate::fork::ForkWorkflow) under its ordinary id, so it can be looked
//! at, paused, throttled and cancelled by itself, and terminating the collection's fork leaves it running. A fork that runs
//! already for a sync and the connection is not taken over, because it may have been asked for with another profile: that
//! sync is a failure of kind `Conflict`, and forking the collection again when it has ended continues what it made.
//!
//! Partial success is a value. A sync that fails takes back what it made and stops none of the others; the whole fails only
//! when not one fork could be begun. A cancellation goes to all forks, and their ends are waited for: nothing is ready then,
//! and the whole is cancelled, or some were ready before, which is told as the result it is.
//!
//! Several syncs in one connection do not meet: points carry their sync, and a slot has its place to itself within its
//! sync. Where the platform's own ids carry none, as on Vespa, syncs with equal entity ids need `ids = "IDS_SCOPED"`.
//!
//! `journey` is the line; `forks` the window; `carried` what survives a continue-as-new, which comes when this execution has
//! begun its share and all of those have ended.

#![allow(missing_docs, reason = "the macro generates undocumented constants for runs, signals, updates and queries")]

mod carried;
mod forks;
mod journey;

use std::collections::BTreeMap;

use proto::v1::{ForkCollectionRequest, ForkCollectionResult, Progress, Throttle};
use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult};

use crate::gate::Pausable;
use crate::input::decode;
use crate::operator;

use carried::Carried;

/// The workflow. Id: [`crate::fork_collection_workflow_id`]. Input: a [`ForkCollectionRequest`]. Result: a
/// [`ForkCollectionResult`].
#[workflow]
pub struct ForkCollectionWorkflow {
    /// The payloads it was started with: the request, and after a continue-as-new what was carried over.
    input: RawValue,
    progress: Progress,
    /// Syncs forked at a time, once somebody said so: an operator, the request, or an earlier execution.
    concurrency: Option<u32>,
    /// Whether somebody said pause or resume in this execution.
    pause_was_said: bool,
    /// Forks that run, by their place in the list, and whether they were told last that they are paused.
    running: BTreeMap<usize, bool>,
}

#[workflow_methods]
impl ForkCollectionWorkflow {
    /// Keeps the payloads; decoding waits until a bad one can be answered.
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        let progress =
            Progress { operation: "fork-collection".to_owned(), phase: "start".to_owned(), ..Progress::default() };
        Self { input, progress, concurrency: None, pause_was_said: false, running: BTreeMap::new() }
    }

    /// Runs the forks to their ends.
    #[run(name = "ForkCollectionWorkflow")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<ForkCollectionResult> {
        journey::run(ctx).await
    }

    /// Begins no more forks and pauses those that run. Arguments are ignored, so that a mistyped call does no harm.
    #[signal]
    pub fn pause(&mut self, _ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.progress.paused = true;
        self.pause_was_said = true;
    }

    /// Goes on after a pause, with all forks.
    #[signal]
    pub fn resume(&mut self, _ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.progress.paused = false;
        self.pause_was_said = true;
    }

    /// Changes how many syncs are forked at a time. A bad argument is ignored; the update `throttle` answers it.
    #[signal]
    pub fn throttle(&mut self, ctx: &mut SyncWorkflowContext<Self>, argument: RawValue) {
        let asked = decode::<Throttle>(&argument.payloads).map_err(|error| error.to_string());
        match asked.and_then(|throttle| operator::concurrency(&throttle)) {
            Ok(concurrency) => self.concurrency = Some(concurrency),
            Err(reason) if !ctx.is_replaying() => tracing::warn!(%reason, "ignored a throttle signal"),
            Err(_) => {}
        }
    }

    #[update_validator(set_throttle)]
    fn validate_set_throttle(
        &self,
        _ctx: &WorkflowContextView,
        throttle: &Throttle,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        operator::concurrency(throttle).map(|_| ()).map_err(Into::into)
    }

    /// Changes how many syncs are forked at a time, and answers with what is in force.
    #[update(name = "throttle")]
    pub fn set_throttle(&mut self, _ctx: &mut SyncWorkflowContext<Self>, throttle: Throttle) -> Throttle {
        if let Ok(concurrency) = operator::concurrency(&throttle) {
            self.concurrency = Some(concurrency);
        }
        Throttle { lanes: self.concurrency(), ..Throttle::default() }
    }

    /// Where each sync is.
    #[query]
    pub fn progress(&self, _ctx: &WorkflowContextView) -> Progress {
        Progress { lanes: self.concurrency(), ..self.progress.clone() }
    }
}

/// Syncs forked at a time when the request says nothing.
const DEFAULT_CONCURRENCY: u32 = 2;

impl Pausable for ForkCollectionWorkflow {
    fn is_paused(&self) -> bool {
        self.progress.paused
    }
}

impl ForkCollectionWorkflow {
    /// Syncs forked at a time.
    fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or(DEFAULT_CONCURRENCY)
    }

    /// The request, and what an earlier execution carried over.
    fn read_input(&self) -> Result<(ForkCollectionRequest, Option<Carried>), crate::InputError> {
        match self.input.payloads.as_slice() {
            [request, carried] => Ok((decode(std::slice::from_ref(request))?, Some(Carried::read(carried)?))),
            other => Ok((decode(other)?, None)),
        }
    }
}
