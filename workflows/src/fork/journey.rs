//! The line of steps, with undo beside do.

use std::time::Duration;

use proto::v1::{
    BeginForkInput, CloseReplayOutput, CreateShadowInput, EndOperationInput, FinishDestinationInput, ForkRequest,
    ForkResult, MarkReadyInput, PrepareDestinationInput, SlotRef, ValidateRawStoreInput, VerifySlotInput,
};
use temporalio_common::data_converters::RawValue;
use temporalio_workflow::{ContinueAsNewOptions, WorkflowContext, WorkflowResult};

use super::carried::Carried;
use super::{DEFAULT_LANES, ForkWorkflow};
use crate::catch_up::{self, CatchUp, Outcome, Settings};
use crate::controls::set_phase;
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::stop::Stop;
use crate::undo::{Leftover, Undo, unwind};
use crate::{follow, gate, operator, progress, search_attributes, step};

type Context = WorkflowContext<ForkWorkflow>;

/// How long taking back one step may last when the request says nothing.
const DEFAULT_UNDO_LIMIT: Duration = Duration::from_secs(600);

/// Runs the journey; on a stop, takes back what this operation made and closes its record.
pub(super) async fn run(ctx: &Context) -> WorkflowResult<ForkResult> {
    let mut undo = Vec::new();
    let mut slot = SlotRef::default();
    match travel(ctx, &mut slot, &mut undo).await {
        Ok(result) => Ok(result),
        Err(stop @ Stop::ContinueAsNew(_)) => Err(stop.into_termination()),
        Err(stop) => {
            set_phase(ctx, "undo");
            let stop = with_leftover(stop, unwind(ctx, &slot, undo, undo_limit(ctx)).await);
            if !slot.operation_id.is_empty() {
                close_record(ctx, &slot, &stop).await;
            }
            set_phase(ctx, if matches!(stop, Stop::Cancelled) { "cancelled" } else { "failed" });
            Err(stop.into_termination())
        }
    }
}

async fn travel(ctx: &Context, slot: &mut SlotRef, undo: &mut Vec<Undo>) -> Result<ForkResult, Stop> {
    let (request, carried) = ctx.state(ForkWorkflow::read_input)?;
    let mut carried = match carried {
        Some(carried) => {
            *slot = carried.slot.clone();
            if carried.created {
                undo.extend([Undo::DropShadow, Undo::ClearScope, Undo::DropPlan]);
            }
            resume(ctx, &carried);
            carried
        }
        None => match prepare(ctx, &request, slot, undo).await? {
            Prepared::ToReplay(carried) => *carried,
            Prepared::LeftEmpty(result) => return complete(ctx, slot, *result).await,
            Prepared::Finished(result) => return Ok(*result),
        },
    };

    let settings = Settings::of(&request.options.unwrap_or_default())?;
    match catch_up::run(ctx, slot, &settings, &mut carried.catch_up).await? {
        Outcome::CaughtUp(closed) => {
            let result = finish(ctx, &request, carried, closed).await?;
            complete(ctx, slot, result).await
        }
        Outcome::RollOver => Err(continue_as_new(ctx, &carried).await),
    }
}

enum Prepared {
    ToReplay(Box<Carried>),
    LeftEmpty(Box<ForkResult>),
    /// The operation was repeated after its end: the answer it had.
    Finished(Box<ForkResult>),
}

/// Everything up to the plan.
async fn prepare(
    ctx: &Context,
    request: &ForkRequest,
    slot: &mut SlotRef,
    undo: &mut Vec<Undo>,
) -> Result<Prepared, Stop> {
    let options = request.options.unwrap_or_default();
    if options.lanes > operator::MAX_LANES {
        return Err(Stop::failed(
            ErrorKind::InvalidInput,
            format!("options.lanes must be at most {}, got {}", operator::MAX_LANES, options.lanes),
        ));
    }
    let settings = Settings::of(&options)?;
    let started_ms = progress::millis(ctx.workflow_time());
    let operation_id =
        if request.operation_id.is_empty() { ctx.run_id().to_owned() } else { request.operation_id.clone() };
    ctx.state_mut(|state| {
        state.controls.begin_with_lanes(if options.lanes == 0 { DEFAULT_LANES } else { options.lanes });
        state.controls.progress.operation_id.clone_from(&operation_id);
    });

    gate::pass(ctx).await?;
    set_phase(ctx, "begin");
    let begun = ctx
        .execute_activity(
            Steps::begin_fork,
            BeginForkInput {
                request: Some(request.clone()),
                operation_id,
                new_slot_id: ctx.uuid4(),
                workflow_id: ctx.workflow_id().to_owned(),
                run_id: ctx.run_id().to_owned(),
            },
            step::short("validate the request"),
        )
        .await?;
    *slot = begun.slot.ok_or_else(|| Stop::failed(ErrorKind::Internal, "begin_fork answered without a slot"))?;
    ctx.state_mut(|state| {
        state.controls.opened(&slot.organization_id, &slot.operation_id);
        state.controls.progress.slot_id.clone_from(&slot.slot_id);
    });
    ctx.upsert_search_attributes([
        search_attributes::SYNC_ID.value_set(slot.sync_id.clone()),
        search_attributes::ORGANIZATION_ID.value_set(slot.organization_id.clone()),
        search_attributes::OPERATION.value_set("fork".to_owned()),
        search_attributes::DESTINATION_KIND.value_set(begun.destination_kind.clone()),
    ]);

    if let Some(finished) = begun.finished {
        set_phase(ctx, "done");
        return Ok(Prepared::Finished(Box::new(finished)));
    }

    let mut gaps = Vec::new();
    if !options.without_replay {
        gate::pass(ctx).await?;
        set_phase(ctx, "validate");
        let input = ValidateRawStoreInput { slot: Some(slot.clone()), allow_incomplete: options.allow_incomplete };
        let options = step::long("list the raw store and compare it with the platform".to_owned());
        gaps = ctx.execute_activity(Steps::validate_raw_store, input, options).await?.gaps;
    }

    gate::pass(ctx).await?;
    set_phase(ctx, "create");
    // Removes only a slot that this operation made, so it is safe to register before knowing which case this is.
    undo.push(Undo::DropShadow);
    let answer = ctx
        .execute_activity(
            Steps::create_shadow,
            CreateShadowInput {
                slot: Some(slot.clone()),
                destination_connection_id: request.destination_connection_id.clone(),
                profile: request.profile.clone(),
            },
            // Long, because it asks the destination whether the place is free.
            step::long("add the slot as a shadow, in a place of its own".to_owned()),
        )
        .await?;
    let created = answer.created;
    *slot = answer.slot.ok_or_else(|| Stop::failed(ErrorKind::Internal, "create_shadow answered without a slot"))?;
    ctx.state_mut(|state| state.controls.progress.slot_id.clone_from(&slot.slot_id));
    if !created {
        // Continuing somebody's slot: what it holds is not ours to take away.
        undo.clear();
    }

    gate::pass(ctx).await?;
    set_phase(ctx, "prepare");
    if created {
        undo.push(Undo::ClearScope);
    }
    let input = PrepareDestinationInput { slot: Some(slot.clone()) };
    ctx.execute_activity(
        Steps::prepare_destination,
        input,
        step::long("make the destination match the profile".to_owned()),
    )
    .await?;

    if options.without_replay {
        let result = ForkResult {
            operation_id: slot.operation_id.clone(),
            slot_id: slot.slot_id.clone(),
            destination_connection_id: request.destination_connection_id.clone(),
            state: "empty".to_owned(),
            continued: !created,
            duration_ms: progress::millis(ctx.workflow_time()).saturating_sub(started_ms),
            ..ForkResult::default()
        };
        return Ok(Prepared::LeftEmpty(Box::new(result)));
    }

    gate::pass(ctx).await?;
    set_phase(ctx, "plan");
    if created {
        undo.push(Undo::DropPlan);
    }
    let mut catch_up = CatchUp { gaps, ..CatchUp::default() };
    catch_up::plan(ctx, slot, &settings, &mut catch_up).await?;
    Ok(Prepared::ToReplay(Box::new(Carried {
        slot: slot.clone(),
        destination_kind: begun.destination_kind,
        created,
        started_ms,
        catch_up,
        ..Carried::default()
    })))
}

/// Everything after the plans; `closed` is what the last one ended with.
async fn finish(
    ctx: &Context,
    request: &ForkRequest,
    carried: Carried,
    closed: CloseReplayOutput,
) -> Result<ForkResult, Stop> {
    let options = request.options.unwrap_or_default();
    let Carried { slot, created, started_ms, catch_up, .. } = carried;
    let plan_id = catch_up.plan.plan_id.clone();

    gate::pass(ctx).await?;
    set_phase(ctx, "finish");
    let input = FinishDestinationInput { slot: Some(slot.clone()) };
    ctx.execute_activity(Steps::finish_destination, input, step::long("wait until everything is indexed".to_owned()))
        .await?;

    gate::pass(ctx).await?;
    set_phase(ctx, "verify");
    let input = VerifySlotInput {
        slot: Some(slot.clone()),
        plan_id: plan_id.clone(),
        sample: options.verify_sample,
        ..VerifySlotInput::default()
    };
    let verification = ctx
        .execute_activity(Steps::verify_slot, input, step::long("compare the slot with the raw store".to_owned()))
        .await?;

    gate::pass(ctx).await?;
    set_phase(ctx, "mark-ready");
    let input = MarkReadyInput { slot: Some(slot.clone()), plan_id };
    ctx.execute_activity(Steps::mark_ready, input, step::short("mark the slot ready")).await?;

    let gaps = catch_up.all_gaps();
    let CatchUp { round, tally, listed, unchanged, lag, .. } = catch_up;
    Ok(ForkResult {
        operation_id: slot.operation_id,
        slot_id: slot.slot_id,
        destination_connection_id: request.destination_connection_id.clone(),
        state: "ready".to_owned(),
        continued: !created,
        listed,
        unchanged,
        entities: tally.entities,
        points: tally.points,
        textless: tally.textless,
        dead_letter_count: closed.dead_letter_count,
        dead_letters: closed.dead_letters,
        gaps,
        verification: Some(verification),
        duration_ms: progress::millis(ctx.workflow_time()).saturating_sub(started_ms),
        chunks_embedded: tally.chunks_embedded,
        chunks_reused: tally.chunks_reused,
        deleted: tally.deleted,
        catch_up_rounds: round,
        lag: Some(lag),
    })
}

/// Closes the record with the result. The last step: nothing is undone after it.
async fn complete(ctx: &Context, slot: &SlotRef, result: ForkResult) -> Result<ForkResult, Stop> {
    let result_json =
        serde_json::to_string(&result).map_err(|error| Stop::failed(ErrorKind::Internal, error.to_string()))?;
    let input = EndOperationInput {
        organization_id: slot.organization_id.clone(),
        operation_id: slot.operation_id.clone(),
        outcome: "completed".to_owned(),
        result_json,
        ..EndOperationInput::default()
    };
    // Detached: a slot that is ready stays ready even when a cancellation arrives now.
    ctx.execute_activity(Steps::end_operation, input, step::detached("close the record")).await?;
    let handlers = ctx.clone();
    // A handler that still runs would be cut off by the end of the workflow; a cancellation need not wait for it.
    let _ = ctx.wait_condition(move |_| handlers.all_handlers_finished()).await;
    if result.state == "ready" {
        follow::keep(ctx, &slot.organization_id, &slot.sync_id).await;
    }
    set_phase(ctx, "done");
    Ok(result)
}

async fn close_record(ctx: &Context, slot: &SlotRef, stop: &Stop) {
    let (outcome, error_kind, error_message) = match stop {
        Stop::Failed { kind, message } => ("failed", kind.name(), message.as_str()),
        Stop::Cancelled | Stop::ContinueAsNew(_) => ("cancelled", "", ""),
    };
    let input = EndOperationInput {
        organization_id: slot.organization_id.clone(),
        operation_id: slot.operation_id.clone(),
        outcome: outcome.to_owned(),
        error_kind: error_kind.to_owned(),
        error_message: error_message.to_owned(),
        ..EndOperationInput::default()
    };
    if let Err(error) = ctx.execute_activity(Steps::end_operation, input, step::detached("close the record")).await
        && !ctx.is_replaying()
    {
        tracing::warn!(%error, "the operation's record could not be closed");
    }
}

/// How long taking back one step may last.
fn undo_limit(ctx: &Context) -> Duration {
    let asked = ctx.state(ForkWorkflow::read_input).ok().and_then(|(request, _)| request.options);
    match asked.map_or(0, |options| options.undo_limit_seconds) {
        0 => DEFAULT_UNDO_LIMIT,
        seconds => Duration::from_secs(seconds.into()),
    }
}

fn with_leftover(stop: Stop, leftover: Option<Leftover>) -> Stop {
    match (stop, leftover) {
        (stop, None) => stop,
        (Stop::Failed { kind, message }, Some(it)) => Stop::failed(kind, format!("{message}; and {}", it.words)),
        // Not told as cancelled: that would say that nothing is left.
        (_, Some(it)) => Stop::failed(it.kind, format!("cancelled, but {}", it.words)),
    }
}

/// Takes up the state of an earlier execution.
fn resume(ctx: &Context, carried: &Carried) {
    ctx.state_mut(|state| {
        let controls = &mut state.controls;
        controls.begin_with_lanes(carried.lanes);
        controls.replay_since_ms = Some(carried.replay_since_ms);
        controls.paused_ms = carried.paused_ms;
        // A signal that came with the first task of this execution knows better than what was carried.
        controls.begin_with_pause(carried.paused_since_ms);
        controls.opened(&carried.slot.organization_id, &carried.slot.operation_id);
        controls.progress.operation_id.clone_from(&carried.slot.operation_id);
        controls.progress.slot_id.clone_from(&carried.slot.slot_id);
    });
    catch_up::show(ctx, &carried.catch_up);
}

async fn continue_as_new(ctx: &Context, carried: &Carried) -> Stop {
    let handlers = ctx.clone();
    if ctx.wait_condition(move |_| handlers.all_handlers_finished()).await.is_err() {
        return Stop::Cancelled;
    }
    let next = ctx.state(|state| Carried {
        lanes: state.controls.lanes,
        replay_since_ms: state.controls.replay_since_ms.unwrap_or_default(),
        paused_ms: state.controls.paused_ms,
        paused_since_ms: state.controls.paused_since_ms,
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
