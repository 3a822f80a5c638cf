//! Working through a plan: segments through a bounded window.
//!
//! For every workflow with [`Controls`](crate::controls::Controls): pause, throttle and cancellation hold at every segment.

use proto::v1::{PlanReplayOutput, ReplaySegmentInput, ReplaySegmentOutput, SlotRef};
use serde::{Deserialize, Serialize};
use temporalio_common::error::ActivityExecutionError;
use temporalio_workflow::{WaitConditionOptions, WorkflowCancellationToken, WorkflowContext, select};

use crate::controls::{Controlled, publish};
use crate::definitions::Steps;
use crate::step::Patience;
use crate::stop::Stop;
use crate::window::Window;
use crate::{gate, progress, step};

/// Segments of one execution, after which the workflow continues as new: at 5 to 7 events a segment the history stays
/// well below the 4,096 events at which the server suggests it.
const SEGMENTS_PER_EXECUTION: u32 = 200;

/// A plan, and how far it is. Survives a continue-as-new.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    pub plan_id: String,
    pub segments: u32,
    /// The last of the segments, which are begun when all others are done.
    pub delete_segments: u32,
    /// Entities to write or delete.
    pub entities_total: u64,
    pub next_segment: u32,
    pub segments_done: u32,
    /// Segments that were begun and ended before they were done, to tell what holds them back.
    pub unfinished: Vec<u32>,
    /// Entities of the segments that are done, whatever became of them.
    pub entities_done: u64,
    /// Segments that this execution began, of this plan and others.
    #[serde(skip)]
    pub begun_here: u32,
}

/// What segments came to, of all plans of an operation. Survives a continue-as-new.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tally {
    pub entities: u64,
    pub points: u64,
    pub textless: u64,
    pub chunks_embedded: u64,
    pub chunks_reused: u64,
    pub dead_letters: u64,
    /// Gone between listing and reading.
    pub gone: u64,
    /// Deleted from the slot.
    pub deleted: u64,
}

/// How working through a plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worked {
    /// Every segment is done.
    Through,
    /// The history is long enough: go on in a new execution. Nothing is in flight.
    UntilRollOver,
}

impl Plan {
    /// A plan that was just made, in the same execution as the one before it.
    pub(crate) fn replace(&mut self, plan_id: String, made: &PlanReplayOutput) {
        *self = Self {
            plan_id,
            segments: made.segments,
            delete_segments: made.delete_segments,
            entities_total: made.entities + made.vanished,
            begun_here: self.begun_here,
            ..Self::default()
        };
    }

    fn is_begun(&self) -> bool {
        self.next_segment >= self.segments && self.unfinished.is_empty()
    }

    /// The segment to begin: one that is to be gone on with, or the next.
    fn begin(&mut self) -> u32 {
        self.begun_here += 1;
        if self.unfinished.is_empty() {
            self.next_segment += 1;
            self.next_segment - 1
        } else {
            self.unfinished.remove(0)
        }
    }

    /// Whether the next segment may be begun beside `in_flight` others. The first one that deletes may not: an object that
    /// was renamed is written first, or what carries its entity would be taken for gone.
    fn may_begin_beside(&self, in_flight: usize) -> bool {
        let begins_deletions = self.unfinished.is_empty() && self.next_segment == self.segments - self.delete_segments;
        !self.is_begun() && (in_flight == 0 || !begins_deletions)
    }
}

impl Tally {
    fn count(&mut self, output: &ReplaySegmentOutput) {
        self.entities += output.entities;
        self.points += output.points;
        self.textless += output.textless;
        self.chunks_embedded += output.chunks_embedded;
        self.chunks_reused += output.chunks_reused;
        self.dead_letters += output.dead_letters;
        self.gone += output.vanished;
        self.deleted += output.deleted;
    }
}

/// Works until every segment of the plan is done, or this execution has done its share.
pub(crate) async fn run<W: Controlled>(
    ctx: &WorkflowContext<W>,
    slot: &SlotRef,
    batch_entities: u32,
    patience: Patience,
    plan: &mut Plan,
    tally: &mut Tally,
) -> Result<Worked, Stop> {
    // A failed segment stops its siblings through this scope; a cancellation from outside reaches them through it.
    let outside = gate::token(ctx);
    let scope = outside.child_token();
    let mut window: Window<'_, u32, Result<ReplaySegmentOutput, ActivityExecutionError>> = Window::new();
    let mut failure: Option<Stop> = None;

    loop {
        let roll_over = plan.begun_here >= SEGMENTS_PER_EXECUTION || ctx.continue_as_new_suggested();
        let stopping = failure.is_some() || outside.is_cancelled();
        let may_start = !roll_over && !stopping;

        while may_start
            && plan.begun_here < SEGMENTS_PER_EXECUTION
            && plan.may_begin_beside(window.len())
            && ctx.state(|state| has_room(state, window.len()))
        {
            let segment_no = plan.begin();
            let input = ReplaySegmentInput {
                slot: Some(slot.clone()),
                plan_id: plan.plan_id.clone(),
                segment_no,
                batch_entities,
                shown: ctx.state(|state| state.controls().held_back()),
            };
            let mut options = patience.with(step::long(format!("segment {} of {}", segment_no + 1, plan.segments)));
            options.cancellation_token = Some(scope.clone());
            window.push(segment_no, ctx.execute_activity(Steps::replay_segment, input, options));
        }
        show(ctx, plan, tally, window.len());

        if window.is_empty() {
            if let Some(failure) = failure {
                return Err(failure);
            }
            gate::pass(ctx).await?;
            if plan.is_begun() {
                ctx.state_mut(|state| state.controls_mut().set_held_back(None));
                publish(ctx);
                return Ok(Worked::Through);
            }
            if roll_over {
                return Ok(Worked::UntilRollOver);
            }
            continue;
        }

        let in_flight = window.len();
        let wants_more = may_start && plan.begun_here < SEGMENTS_PER_EXECUTION && plan.may_begin_beside(in_flight);
        // Detached: a wait that inherits a cancelled token is ready for ever, and this loop would spin.
        let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        let mut room =
            Box::pin(ctx.wait_condition_with_options(move |state| wants_more && has_room(state, in_flight), detached));
        select! {
            (segment_no, outcome) = window.next() => match outcome {
                Ok(output) if output.unfinished => {
                    plan.unfinished.push(segment_no);
                    ctx.state_mut(|state| state.controls_mut().set_held_back(output.throttle));
                }
                Ok(output) => {
                    ctx.state_mut(|state| state.controls_mut().set_held_back(output.throttle.clone()));
                    plan.segments_done += 1;
                    plan.entities_done += output.entities + output.dead_letters + output.vanished + output.deleted;
                    tally.count(&output);
                }
                Err(error) => {
                    let stop = Stop::from(error);
                    if failure.is_none() && !matches!(stop, Stop::Cancelled) {
                        scope.cancel_with_reason("another segment failed");
                        failure = Some(stop);
                    }
                }
            },
            _ = room => {}
        }
    }
}

fn has_room<W: Controlled>(state: &W, in_flight: usize) -> bool {
    !state.is_paused() && in_flight < state.controls().lanes as usize
}

/// Shows how far a plan is. One that had nothing to do leaves what was shown of the one before.
pub(crate) fn show<W: Controlled>(ctx: &WorkflowContext<W>, plan: &Plan, tally: &Tally, in_flight: usize) {
    if plan.segments == 0 {
        return publish(ctx);
    }
    let now_ms = progress::millis(ctx.workflow_time());
    ctx.state_mut(|state| {
        let controls = state.controls_mut();
        let elapsed_ms = controls.replaying_ms(now_ms);
        let (rate, eta) = progress::rate_and_eta(plan.entities_done, plan.entities_total, elapsed_ms);
        let shown = &mut controls.progress;
        shown.segments_total = plan.segments;
        shown.segments_done = plan.segments_done;
        shown.segments_in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        shown.entities_total = plan.entities_total;
        shown.entities_done = plan.entities_done;
        shown.points = tally.points;
        shown.chunks_embedded = tally.chunks_embedded;
        shown.chunks_reused = tally.chunks_reused;
        shown.dead_letters = tally.dead_letters;
        shown.deleted = tally.deleted;
        shown.entities_per_second = rate;
        shown.eta_seconds = eta;
    });
    publish(ctx);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_that_delete_wait_for_all_others() {
        let made = PlanReplayOutput { segments: 4, delete_segments: 2, ..PlanReplayOutput::default() };
        let mut plan = Plan { begun_here: 7, ..Plan::default() };
        plan.replace("p".to_owned(), &made);
        assert_eq!((plan.plan_id.as_str(), plan.begun_here), ("p", 7));
        // Segment, others in flight, may it be begun.
        for (next_segment, in_flight, begins) in
            [(0, 0, true), (1, 3, true), (2, 0, true), (2, 1, false), (3, 1, true), (4, 0, false)]
        {
            plan.next_segment = next_segment;
            assert_eq!(plan.may_begin_beside(in_flight), begins, "{next_segment} beside {in_flight}");
        }
        let made = PlanReplayOutput { segments: 1, delete_segments: 1, ..PlanReplayOutput::default() };
        plan.replace("q".to_owned(), &made);
        assert!(plan.may_begin_beside(0) && !plan.may_begin_beside(1));
        plan.replace("r".to_owned(), &PlanReplayOutput::default());
        assert!(plan.is_begun(), "a plan without segments is done");
    }

    #[test]
    fn segments_that_ended_early_are_gone_on_with_before_others() {
        let made = PlanReplayOutput { segments: 4, delete_segments: 1, ..PlanReplayOutput::default() };
        let mut plan = Plan::default();
        plan.replace("p".to_owned(), &made);
        assert_eq!([plan.begin(), plan.begin(), plan.begin()], [0, 1, 2]);
        plan.unfinished.extend([2, 0]);
        assert!(plan.may_begin_beside(1), "they are no deletions");
        assert_eq!([plan.begin(), plan.begin()], [2, 0]);
        assert!(plan.may_begin_beside(0) && !plan.may_begin_beside(2), "deletions wait for them");
        assert_eq!((plan.begin(), plan.is_begun(), plan.begun_here), (3, true, 6));
        plan.unfinished.push(3);
        assert!(!plan.is_begun() && plan.may_begin_beside(2));
    }
}
