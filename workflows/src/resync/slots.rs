//! Bringing the slots that are kept fresh up to the raw store, one after the other.
//!
//! What goes wrong with one slot is part of the result: the raw store is fresh all the same, and the other slots need
//! not wait. Somebody else may keep the same slots fresh; when a plan is replaced by theirs, another is made, and after
//! some of that the slot is left to them.

use proto::v1::{ForkOptions, ResyncOptions, SlotCaughtUp};
use temporalio_common::data_converters::RawValue;
use temporalio_workflow::{ContinueAsNewOptions, WorkflowContext};

use super::ResyncWorkflow;
use super::carried::Carried;
use crate::catch_up::{self, CatchUp, Outcome, Settings};
use crate::controls::set_phase;
use crate::domain::ErrorKind;
use crate::gate;
use crate::step::Patience;
use crate::stop::Stop;

type Context = WorkflowContext<ResyncWorkflow>;

/// How often a slot's plan may be replaced before the slot is left to whoever replaces it.
const REPLACED: u32 = 3;

/// How slots are fed after a resync. They are ready and stay so.
pub(super) fn settings(options: &ResyncOptions) -> Result<Settings, Stop> {
    let options = ForkOptions {
        max_drop_percent: options.max_drop_percent,
        confirm_drop: options.confirm_drop,
        ..ForkOptions::default()
    };
    Ok(Settings { follow: true, patience: Patience::Short, ..Settings::of(&options)? })
}

/// Works until every slot has caught up or has a problem on record.
pub(super) async fn catch_up(ctx: &Context, settings: &Settings, carried: &mut Carried) -> Result<(), Stop> {
    while let Some(slot) = carried.slots.first() {
        let slot_id = slot.slot_id.clone();
        ctx.state_mut(|state| state.controls.progress.slot_id.clone_from(&slot_id));
        let caught_up = match catch_up_first(ctx, settings, carried).await {
            Ok(Outcome::RollOver) => return Err(continue_as_new(ctx, carried).await),
            Ok(Outcome::CaughtUp(closed)) => {
                SlotCaughtUp { dead_letters: closed.dead_letter_count, ..so_far(slot_id, carried) }
            }
            Err(Stop::Failed { kind, .. }) if may_be_replaced(kind) && carried.replaced < REPLACED => {
                carried.replaced += 1;
                carried.catch_up = None;
                continue;
            }
            Err(Stop::Failed { kind, message }) => {
                SlotCaughtUp { problem_kind: kind.name().to_owned(), problem: message, ..so_far(slot_id, carried) }
            }
            Err(other) => return Err(other),
        };
        carried.result.slots.push(caught_up);
        carried.slots.remove(0);
        (carried.catch_up, carried.replaced) = (None, 0);
    }
    ctx.state_mut(|state| state.controls.progress.slot_id.clear());
    Ok(())
}

async fn catch_up_first(ctx: &Context, settings: &Settings, carried: &mut Carried) -> Result<Outcome, Stop> {
    let Some(slot) = carried.slots.first() else {
        return Err(Stop::failed(ErrorKind::Internal, "there is no slot left to catch up"));
    };
    let mut state = match carried.catch_up.take() {
        Some(state) => state,
        None => {
            gate::pass(ctx).await?;
            set_phase(ctx, "catch-up");
            let mut state = CatchUp::default();
            catch_up::plan(ctx, slot, settings, &mut state).await?;
            if carried.replaced == 0 {
                carried.behind = state.lag;
            }
            state
        }
    };
    let outcome = catch_up::run(ctx, slot, settings, &mut state).await;
    carried.catch_up = Some(state);
    outcome
}

fn so_far(slot_id: String, carried: &Carried) -> SlotCaughtUp {
    let state = carried.catch_up.clone().unwrap_or_default();
    SlotCaughtUp {
        slot_id,
        lag: Some(carried.behind),
        written: state.tally.entities,
        deleted: state.tally.deleted,
        rounds: state.round,
        ..SlotCaughtUp::default()
    }
}

/// What a step says when its plan is not the slot's plan any more.
fn may_be_replaced(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::Conflict)
}

/// Takes up the state of an earlier execution.
pub(super) fn resume(ctx: &Context, carried: &Carried) {
    ctx.state_mut(|state| {
        let controls = &mut state.controls;
        controls.begin_with_lanes(carried.lanes);
        controls.replay_since_ms = Some(carried.replay_since_ms);
        controls.paused_ms = carried.paused_ms;
        // A signal that came with the first task of this execution knows better than what was carried.
        controls.begin_with_pause(carried.paused_since_ms);
        controls.opened(&carried.operation.organization_id, &carried.operation.operation_id);
        controls.progress.operation_id.clone_from(&carried.operation.operation_id);
        controls.progress.platform_job.clone_from(&carried.result.job);
    });
    if let Some(state) = &carried.catch_up {
        catch_up::show(ctx, state);
    }
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
