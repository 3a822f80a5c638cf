//! The replay: segments through a bounded window.

use proto::v1::{ForkRequest, ReplaySegmentInput, ReplaySegmentOutput};
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::ActivityExecutionError;
use temporalio_workflow::{
    ContinueAsNewOptions, WaitConditionOptions, WorkflowCancellationToken, WorkflowContext, select,
};

use super::ForkWorkflow;
use super::carried::Carried;
use crate::definitions::Steps;
use crate::stop::Stop;
use crate::window::Window;
use crate::{gate, progress, step};

type Context = WorkflowContext<ForkWorkflow>;

/// Segments of one execution, after which the fork continues as new: at 5 to 7 events a segment the history stays
/// well below the 4,096 events at which the server suggests it.
const SEGMENTS_PER_EXECUTION: u32 = 200;

/// Works until every segment is done.
pub(super) async fn run(ctx: &Context, request: &ForkRequest, carried: &mut Carried) -> Result<(), Stop> {
    let batch_entities = request.options.as_ref().map_or(0, |options| options.batch_entities);
    // A failed segment stops its siblings through this scope; the workflow's own cancellation reaches them through it.
    let scope = ctx.cancellation_token().child_token();
    let mut window: Window<'_, u32, Result<ReplaySegmentOutput, ActivityExecutionError>> = Window::new();
    let mut started_here = 0_u32;
    let mut failure: Option<Stop> = None;

    loop {
        let roll_over = started_here >= SEGMENTS_PER_EXECUTION || ctx.continue_as_new_suggested();
        let stopping = failure.is_some() || ctx.cancellation_token().is_cancelled();
        let may_start = !roll_over && !stopping;

        let mut left_here = SEGMENTS_PER_EXECUTION.saturating_sub(started_here);
        while may_start
            && left_here > 0
            && carried.next_segment < carried.segments
            && ctx.state(|state| state.paused_since_ms.is_none() && window.len() < lanes(state))
        {
            let segment_no = carried.next_segment;
            let input = ReplaySegmentInput {
                slot: Some(carried.slot.clone()),
                plan_id: carried.plan_id.clone(),
                segment_no,
                batch_entities,
            };
            let mut options = step::long(format!("segment {} of {}", segment_no + 1, carried.segments));
            options.cancellation_token = Some(scope.clone());
            window.push(segment_no, ctx.execute_activity(Steps::replay_segment, input, options));
            carried.next_segment += 1;
            started_here += 1;
            left_here -= 1;
        }
        show(ctx, carried, window.len());

        if window.is_empty() {
            if let Some(failure) = failure {
                return Err(failure);
            }
            gate::pass(ctx).await?;
            if carried.next_segment >= carried.segments {
                return Ok(());
            }
            if roll_over {
                return Err(continue_as_new(ctx, carried).await);
            }
            continue;
        }

        let in_flight = window.len();
        let wants_more = may_start && left_here > 0 && carried.next_segment < carried.segments;
        // Detached: a wait that inherits a cancelled token is ready for ever, and this loop would spin.
        let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        let mut room = Box::pin(ctx.wait_condition_with_options(
            move |state| wants_more && state.paused_since_ms.is_none() && in_flight < lanes(state),
            detached,
        ));
        select! {
            (_, outcome) = window.next() => match outcome {
                Ok(output) => count(carried, output),
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

/// Starts the clock of a new replay.
pub(super) fn begin(ctx: &Context, carried: &Carried) {
    ctx.state_mut(|state| {
        state.replay_since_ms = Some(carried.replay_since_ms);
        state.paused_ms = 0;
    });
    show(ctx, carried, 0);
}

/// Takes up the state of an earlier execution.
pub(super) fn resume(ctx: &Context, carried: &Carried) {
    ctx.state_mut(|state| {
        state.lanes = carried.lanes;
        state.replay_since_ms = Some(carried.replay_since_ms);
        state.paused_ms = carried.paused_ms;
        // A signal that came with the first task of this execution knows better than what was carried.
        state.paused_since_ms = state.paused_since_ms.or(carried.paused_since_ms);
        state.progress.paused = state.paused_since_ms.is_some();
        state.progress.operation_id.clone_from(&carried.slot.operation_id);
        state.progress.slot_id.clone_from(&carried.slot.slot_id);
    });
    show(ctx, carried, 0);
}

/// Shows the progress in the UI.
pub(super) fn publish(ctx: &Context) {
    ctx.set_current_details(ctx.state(|state| progress::table(&state.progress)));
}

fn lanes(state: &ForkWorkflow) -> usize {
    state.lanes as usize
}

fn count(carried: &mut Carried, output: ReplaySegmentOutput) {
    carried.segments_done += 1;
    carried.entities += output.entities;
    carried.points += output.points;
    carried.textless += output.textless;
    carried.chunks_embedded += output.chunks_embedded;
    carried.chunks_reused += output.chunks_reused;
    carried.dead_letters += output.dead_letters;
    carried.gone += output.vanished;
}

fn show(ctx: &Context, carried: &Carried, in_flight: usize) {
    let now_ms = progress::millis(ctx.workflow_time());
    let done = carried.entities + carried.dead_letters + carried.gone;
    ctx.state_mut(|state| {
        let (rate, eta) = progress::rate_and_eta(done, carried.entities_total, state.replaying_ms(now_ms));
        let shown = &mut state.progress;
        shown.segments_total = carried.segments;
        shown.segments_done = carried.segments_done;
        shown.segments_in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        shown.entities_total = carried.entities_total;
        shown.entities_done = done;
        shown.points = carried.points;
        shown.chunks_embedded = carried.chunks_embedded;
        shown.chunks_reused = carried.chunks_reused;
        shown.dead_letters = carried.dead_letters;
        shown.entities_per_second = rate;
        shown.eta_seconds = eta;
    });
    publish(ctx);
}

async fn continue_as_new(ctx: &Context, carried: &Carried) -> Stop {
    let handlers = ctx.clone();
    if ctx.wait_condition(move |_| handlers.all_handlers_finished()).await.is_err() {
        return Stop::Cancelled;
    }
    let next = ctx.state(|state| Carried {
        lanes: state.lanes,
        paused_ms: state.paused_ms,
        paused_since_ms: state.paused_since_ms,
        ..carried.clone()
    });
    let request = ctx.state(|state| state.input.payloads.first().cloned().unwrap_or_default());
    let input = match next.write() {
        Ok(state) => RawValue::new(vec![request, state]),
        Err(error) => return error.into(),
    };
    match ctx.continue_as_new(input, ContinueAsNewOptions::default()) {
        Err(termination) => Stop::ContinueAsNew(termination),
        Ok(never) => match never {},
    }
}
