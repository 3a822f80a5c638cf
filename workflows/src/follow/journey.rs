//! Round after round.

use std::time::Duration;

use proto::v1::{
    BeginFollowInput, EndOperationInput, FollowRequest, FollowResult, FollowedSlotsInput, Progress, SlotRef,
};
use temporalio_common::data_converters::RawValue;
use temporalio_workflow::{
    ContinueAsNewOptions, TimerOptions, WaitConditionOptions, WorkflowCancellationToken, WorkflowContext,
    WorkflowResult, select,
};

use super::carried::{Carried, Unfinished};
use super::round::{self, Served};
use super::{DEFAULT_LANES, FollowWorkflow};
use crate::controls::set_phase;
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::stop::Stop;
use crate::{gate, progress, search_attributes, step};

type Context = WorkflowContext<FollowWorkflow>;

/// Time between two rounds when the request says nothing, and the longest that can be asked for.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const LONGEST_INTERVAL_SECONDS: u32 = 86_400;

/// Rounds of one execution: at some 20 events a round and slot in which nothing changed, the history stays short.
const ROUNDS_PER_EXECUTION: u32 = 20;

/// Follows to the end; on a stop, closes the operation's record.
pub(super) async fn run(ctx: &Context) -> WorkflowResult<FollowResult> {
    let mut opened = None;
    match travel(ctx, &mut opened).await {
        Ok(result) => Ok(result),
        Err(stop @ Stop::ContinueAsNew(_)) => Err(stop.into_termination()),
        Err(stop) => {
            if let Some((request, operation_id)) = opened
                && let Err(error) = close_record(ctx, &request, &operation_id, Err(&stop)).await
                && !ctx.is_replaying()
            {
                tracing::warn!(?error, "the operation's record could not be closed");
            }
            set_phase(ctx, if matches!(stop, Stop::Cancelled) { "cancelled" } else { "failed" });
            Err(stop.into_termination())
        }
    }
}

/// `opened` is the operation whose record is there to be closed, also when this fails.
async fn travel(ctx: &Context, opened: &mut Option<(FollowRequest, String)>) -> Result<FollowResult, Stop> {
    let (request, carried) = ctx.state(FollowWorkflow::read_input)?;
    let options = request.options.unwrap_or_default();
    let settings = round::settings(&options)?;
    let interval = interval(&request)?;
    let Carried { operation_id, mut rounds, mut unfinished, .. } = match carried {
        Some(carried) => resume(ctx, &request, carried),
        None => {
            let begun = begin(ctx, &request).await?;
            *opened = Some((request.clone(), begun.operation_id.clone()));
            if request.wait_first {
                wait(ctx, interval).await?;
            }
            begun
        }
    };
    *opened = Some((request.clone(), operation_id.clone()));
    let mut rounds_here = 0;
    loop {
        if let Some(Unfinished { slot, .. }) = &unfinished {
            let slot = slot.clone();
            if let Served::RollOver(again) = round::serve(ctx, &slot, &settings, unfinished.take()).await? {
                return Err(continue_as_new(ctx, &operation_id, rounds, Some(*again)).await);
            }
        }
        let slots = followed(ctx, &request, &operation_id).await?;
        if slots.is_empty() {
            // Whoever signals may just have made a slot.
            if ctx.state(|state| state.now || state.look_again) {
                continue;
            }
            let result = FollowResult { operation_id: operation_id.clone(), sync_id: request.sync_id.clone(), rounds };
            close_record(ctx, &request, &operation_id, Ok(&result)).await?;
            set_phase(ctx, "done");
            return Ok(result);
        }
        for slot in slots {
            rounds += 1;
            if let Served::RollOver(again) = round::serve(ctx, &slot, &settings, None).await? {
                return Err(continue_as_new(ctx, &operation_id, rounds, Some(*again)).await);
            }
            show(ctx);
        }
        rounds_here += 1;
        wait(ctx, interval).await?;
        if rounds_here >= ROUNDS_PER_EXECUTION || ctx.continue_as_new_suggested() {
            return Err(continue_as_new(ctx, &operation_id, rounds, None).await);
        }
    }
}

fn interval(request: &FollowRequest) -> Result<Duration, Stop> {
    match request.interval_seconds {
        0 => Ok(DEFAULT_INTERVAL),
        seconds if seconds <= LONGEST_INTERVAL_SECONDS => Ok(Duration::from_secs(seconds.into())),
        seconds => Err(Stop::failed(
            ErrorKind::InvalidInput,
            format!("interval_seconds must be at most {LONGEST_INTERVAL_SECONDS}, got {seconds}"),
        )),
    }
}

/// Validates the request and opens the record.
async fn begin(ctx: &Context, request: &FollowRequest) -> Result<Carried, Stop> {
    let operation_id =
        if request.operation_id.is_empty() { ctx.run_id().to_owned() } else { request.operation_id.clone() };
    let lanes = request.options.map_or(0, |options| options.lanes);
    ctx.state_mut(|state| {
        state.controls.begin_with_lanes(if lanes == 0 { DEFAULT_LANES } else { lanes });
        state.controls.progress.operation_id.clone_from(&operation_id);
    });
    gate::pass(ctx).await?;
    set_phase(ctx, "begin");
    let input = BeginFollowInput {
        request: Some(request.clone()),
        operation_id: operation_id.clone(),
        workflow_id: ctx.workflow_id().to_owned(),
        run_id: ctx.run_id().to_owned(),
    };
    ctx.execute_activity(Steps::begin_follow, input, step::short("validate the request")).await?;
    ctx.state_mut(|state| state.controls.opened(&request.organization_id, &operation_id));
    ctx.upsert_search_attributes([
        search_attributes::SYNC_ID.value_set(request.sync_id.clone()),
        search_attributes::ORGANIZATION_ID.value_set(request.organization_id.clone()),
        search_attributes::OPERATION.value_set("follow".to_owned()),
    ]);
    Ok(Carried { operation_id, ..Carried::default() })
}

/// Takes up the state of an earlier execution.
fn resume(ctx: &Context, request: &FollowRequest, carried: Carried) -> Carried {
    ctx.state_mut(|state| {
        state.controls.begin_with_lanes(carried.lanes);
        state.controls.opened(&request.organization_id, &carried.operation_id);
        // A signal that came with the first task of this execution knows better than what was carried.
        state.controls.begin_with_pause(carried.paused_since_ms);
        let shown: &mut Progress = &mut state.controls.progress;
        shown.operation_id.clone_from(&carried.operation_id);
        state.slots.clone_from(&carried.slots);
        for (slot, entities) in &carried.confirmed {
            state.confirmed.entry(slot.clone()).or_insert(*entities);
        }
    });
    carried
}

/// The slots to follow now. What was known of others is forgotten.
async fn followed(ctx: &Context, request: &FollowRequest, operation_id: &str) -> Result<Vec<SlotRef>, Stop> {
    gate::pass(ctx).await?;
    set_phase(ctx, "look");
    // Before it is looked: who says it from here on has something to show that may not be seen any more.
    ctx.state_mut(|state| {
        state.now = false;
        state.look_again = false;
    });
    let input = FollowedSlotsInput {
        organization_id: request.organization_id.clone(),
        sync_id: request.sync_id.clone(),
        operation_id: operation_id.to_owned(),
    };
    let slots = ctx.execute_activity(Steps::followed_slots, input, step::short("which slots to follow")).await?.slots;
    ctx.state_mut(|state| {
        let is_followed = |slot_id: &str| slots.iter().any(|slot| slot.slot_id == slot_id);
        state.slots.retain(|slot| is_followed(&slot.shown.slot_id));
        state.confirmed.retain(|slot_id, _| is_followed(slot_id));
        for slot in &slots {
            state.standing(&slot.slot_id);
        }
    });
    Ok(slots)
}

/// Waits until the next round is due, or wanted.
async fn wait(ctx: &Context, interval: Duration) -> Result<(), Stop> {
    gate::pass(ctx).await?;
    set_phase(ctx, "wait");
    show(ctx);
    // The workflow's cancellation reaches the timer through this; woken earlier, the timer is taken back.
    let scope = ctx.cancellation_token().child_token();
    let timer = TimerOptions::builder(interval)
        .cancellation_token(scope.clone())
        .summary("until the next round".to_owned())
        .build();
    let mut due = Box::pin(ctx.timer(timer));
    let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
    let mut wanted = Box::pin(ctx.wait_condition_with_options(|state: &FollowWorkflow| state.now, detached));
    select! {
        _ = due => {}
        _ = wanted => scope.cancel_with_reason("the next round is wanted now"),
    }
    gate::pass(ctx).await
}

/// Shows how the slots stand in the UI.
fn show(ctx: &Context) {
    let now_ms = progress::millis(ctx.workflow_time());
    let details = ctx.state(|state| {
        let shown = &state.controls.progress;
        let paused = if shown.paused { " (paused)" } else { "" };
        let rows: String = state.slots.iter().map(|slot| slot.row(now_ms)).collect();
        format!(
            "### follow {}{paused}\n\n| slot | behind | has everything of | |\n|---|---|---|---|\n{rows}{}",
            shown.phase,
            progress::held_back_line(shown)
        )
    });
    ctx.set_current_details(details);
}

async fn close_record(
    ctx: &Context,
    request: &FollowRequest,
    operation_id: &str,
    outcome: Result<&FollowResult, &Stop>,
) -> Result<(), Stop> {
    let mut input = EndOperationInput {
        organization_id: request.organization_id.clone(),
        operation_id: operation_id.to_owned(),
        ..EndOperationInput::default()
    };
    match outcome {
        Ok(result) => {
            "completed".clone_into(&mut input.outcome);
            input.result_json =
                serde_json::to_string(result).map_err(|error| Stop::failed(ErrorKind::Internal, error.to_string()))?;
        }
        Err(Stop::Failed { kind, message }) => {
            "failed".clone_into(&mut input.outcome);
            kind.name().clone_into(&mut input.error_kind);
            input.error_message.clone_from(message);
        }
        Err(Stop::Cancelled | Stop::ContinueAsNew(_)) => "cancelled".clone_into(&mut input.outcome),
    }
    ctx.execute_activity(Steps::end_operation, input, step::detached("close the record")).await?;
    Ok(())
}

async fn continue_as_new(ctx: &Context, operation_id: &str, rounds: u64, unfinished: Option<Unfinished>) -> Stop {
    let handlers = ctx.clone();
    if ctx.wait_condition(move |_| handlers.all_handlers_finished()).await.is_err() {
        return Stop::Cancelled;
    }
    let next = ctx.state(|state| Carried {
        operation_id: operation_id.to_owned(),
        rounds,
        slots: state.slots.clone(),
        confirmed: state.confirmed.clone(),
        unfinished,
        lanes: state.controls.lanes,
        paused_since_ms: state.controls.paused_since_ms,
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
