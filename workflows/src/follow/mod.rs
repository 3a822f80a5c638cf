//! Follow: keep every slot of a sync that is not active caught up with the raw store.
//!
//! ```text
//! begin_follow -> rounds, until no slot is left to follow:
//!     followed_slots
//!     for each slot: plan_replay -> replay_segment (a bounded window) -> close_replay -> verify_delta -> record_follow
//!     wait for the interval, or for the signal "now"
//! ```
//!
//! `journey` is that line, `round` what is done for one slot, `carried` what survives a continue-as-new. A fork starts it when
//! its slot is ready, and a switch for the slot it leaves (`keep`); it ends by itself.
//!
//! What fails in one slot does not stop the others: it is shown, with since when, and tried again in the next round. A slot
//! whose plan was replaced by somebody else's, or that may not be planned for now, is somebody else's for the moment: that is
//! no failure.

#![allow(missing_docs, reason = "the macro generates undocumented constants for runs, signals, updates and queries")]

mod carried;
mod journey;
mod keep;
mod round;
mod standing;

use std::collections::BTreeMap;

use proto::v1::{ConfirmDrop, FollowRequest, FollowResult, Progress, Throttle};
use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult};

use crate::controls::{Controlled, Controls};
use crate::gate::Pausable;
use crate::input::decode;
use crate::{controls, operator, progress};

use carried::Carried;
pub(crate) use keep::keep;
use standing::Standing;

/// Segments worked on at a time when the request says nothing.
const DEFAULT_LANES: u32 = 4;

/// The follow workflow. Id: [`crate::follow_workflow_id`]. Input: a [`FollowRequest`]. Result: a [`FollowResult`].
#[workflow]
pub struct FollowWorkflow {
    /// The payloads it was started with: the request, and after a continue-as-new what was carried over.
    input: RawValue,
    controls: Controls,
    /// How the followed slots stand.
    slots: Vec<Standing>,
    /// How many entities of a slot are meant to be gone, by slot, until a plan was made with it.
    confirmed: BTreeMap<String, u64>,
    /// Somebody does not want to wait for the interval.
    now: bool,
    /// Somebody made a slot that may not have been seen yet.
    look_again: bool,
}

#[workflow_methods]
impl FollowWorkflow {
    /// Keeps the payloads; decoding waits until a bad one can be answered.
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        let controls = Controls::new("follow", DEFAULT_LANES);
        Self { input, controls, slots: Vec::new(), confirmed: BTreeMap::new(), now: false, look_again: false }
    }

    /// Follows until no slot is left, or until it is cancelled.
    #[run(name = "FollowWorkflow")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<FollowResult> {
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

    /// Begins the next round at once.
    #[signal]
    pub fn now(&mut self, _ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.now = true;
    }

    /// Says that there is a slot to follow. It need not be at once, but the follow must not end before it has looked.
    #[signal]
    pub fn look_again(&mut self, _ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.look_again = true;
    }

    /// Says that entities of a slot are meant to be gone from the raw store, and begins the next round at once. A bad argument
    /// is ignored; the update `confirm_drop` answers it.
    #[signal]
    pub fn confirm_drop(&mut self, ctx: &mut SyncWorkflowContext<Self>, argument: RawValue) {
        let confirmed = decode::<ConfirmDrop>(&argument.payloads).map_err(|error| error.to_string());
        if let Err(reason) = confirmed.and_then(|confirmed| self.confirm(&confirmed))
            && !ctx.is_replaying()
        {
            tracing::warn!(%reason, "ignored a confirm_drop signal");
        }
    }

    #[update_validator(set_confirm_drop)]
    fn validate_set_confirm_drop(
        &self,
        _ctx: &WorkflowContextView,
        confirmed: &ConfirmDrop,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.check(confirmed).map_err(Into::into)
    }

    /// As the signal, and answers with what is in force.
    #[update(name = "confirm_drop")]
    pub fn set_confirm_drop(&mut self, _ctx: &mut SyncWorkflowContext<Self>, confirmed: ConfirmDrop) -> ConfirmDrop {
        // Validated already.
        let _ = self.confirm(&confirmed);
        confirmed
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

    /// Where the follow is, and how each slot stands.
    #[query]
    pub fn progress(&self, _ctx: &WorkflowContextView) -> Progress {
        let followed = self.slots.iter().map(|slot| slot.shown.clone()).collect();
        Progress { followed, ..self.controls.progress.clone() }
    }
}

impl Pausable for FollowWorkflow {
    fn is_paused(&self) -> bool {
        self.controls.is_paused()
    }
}

impl Controlled for FollowWorkflow {
    fn controls(&self) -> &Controls {
        &self.controls
    }

    fn controls_mut(&mut self) -> &mut Controls {
        &mut self.controls
    }
}

impl FollowWorkflow {
    /// The request, and what an earlier execution of this follow carried over.
    fn read_input(&self) -> Result<(FollowRequest, Option<Carried>), crate::InputError> {
        match self.input.payloads.as_slice() {
            [request, carried] => Ok((decode(std::slice::from_ref(request))?, Some(Carried::read(carried)?))),
            other => Ok((decode(other)?, None)),
        }
    }

    /// Only of a slot that is followed: what is confirmed for another one would wait for ever.
    fn check(&self, confirmed: &ConfirmDrop) -> Result<(), String> {
        if self.slots.iter().any(|slot| slot.shown.slot_id == confirmed.slot_id) {
            Ok(())
        } else {
            Err(format!("slot {:?} is not followed", confirmed.slot_id))
        }
    }

    fn confirm(&mut self, confirmed: &ConfirmDrop) -> Result<(), String> {
        self.check(confirmed)?;
        self.confirmed.insert(confirmed.slot_id.clone(), confirmed.entities);
        self.now = true;
        Ok(())
    }

    /// How a slot stands; a slot that is new is added.
    fn standing(&mut self, slot_id: &str) -> &mut Standing {
        let known = self.slots.iter().position(|slot| slot.shown.slot_id == slot_id);
        let position = known.unwrap_or_else(|| {
            self.slots.push(Standing::new(slot_id));
            self.slots.len() - 1
        });
        &mut self.slots[position]
    }
}
