//! The line of steps.

use std::time::Duration;

use proto::v1::{
    Blocker, CheckSwitchInput, CheckSwitchOutput, MeasureLagInput, SlotRef, SwitchMember, SwitchRequest, SwitchResult,
    SwitchedSync,
};
use temporalio_common::data_converters::RawValue;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_workflow::{ContinueAsNewOptions, WorkflowContext};

use super::approach::{self, Approached};
use super::fence::{self, Passage};
use super::limits::Limits;
use super::{SwitchWorkflow, end};
use crate::controls::set_phase;
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::input::decode;
use crate::stop::Stop;
use crate::{follow, gate, search_attributes, step};

type Context = WorkflowContext<SwitchWorkflow>;

/// How long a dry run looks at how far a slot is behind.
const MEASURE_LIMIT: Duration = Duration::from_secs(120);

/// Runs the switch, and closes its records.
pub(super) async fn run(ctx: &Context) -> Result<SwitchResult, Stop> {
    let mut request: SwitchRequest = ctx.state(|state| decode(&state.input.payloads))?;
    if request.operation_id.is_empty() {
        ctx.run_id().clone_into(&mut request.operation_id);
    }
    ctx.state_mut(|state| {
        let shown = &mut state.controls.progress;
        operation(&request).clone_into(&mut shown.operation);
        shown.operation_id.clone_from(&request.operation_id);
        shown.slot_id.clone_from(&request.target_slot_id);
    });

    let mut opened = Vec::new();
    match travel(ctx, &request, &mut opened).await {
        Ok(result) => {
            end::close_records(ctx, &opened, Ok(&result)).await?;
            if !request.dry_run {
                for sync in &result.syncs {
                    follow::keep(ctx, &request.organization_id, &sync.sync_id).await;
                }
            }
            set_phase(ctx, "done");
            Ok(result)
        }
        Err(stop @ Stop::ContinueAsNew(_)) => Err(stop),
        Err(stop) => {
            // A request that was refused opened no record; one under its id is another operation's.
            if let Err(error) = end::close_records(ctx, &opened, Err(&stop)).await
                && !ctx.is_replaying()
            {
                tracing::warn!(?error, "the operation's record could not be closed");
            }
            set_phase(ctx, if matches!(stop, Stop::Cancelled) { "cancelled" } else { "failed" });
            Err(stop)
        }
    }
}

/// `opened` are the records to be closed, also when this fails.
async fn travel(ctx: &Context, request: &SwitchRequest, opened: &mut Vec<SlotRef>) -> Result<SwitchResult, Stop> {
    let limits = Limits::of(request)?;
    let checked = check(ctx, request).await?;
    opened.clone_from(&checked.opened);
    if let Some(record) = opened.first() {
        ctx.state_mut(|state| state.controls.opened(&record.organization_id, &record.operation_id));
    }
    if let [member] = checked.members.as_slice() {
        let slot_id = member.slot.clone().unwrap_or_default().slot_id;
        ctx.state_mut(|state| state.controls.progress.slot_id = slot_id);
    }
    if request.dry_run {
        return dry_run(ctx, request, checked).await;
    }
    if let Some(first) = checked.blockers.first() {
        let kind = first.kind.parse().unwrap_or(ErrorKind::Conflict);
        let words: Vec<_> = checked.blockers.iter().map(|it| format!("{}: {}", it.message, it.next_step)).collect();
        return Err(Stop::failed(kind, words.join("; ")));
    }
    let mut switched = checked.switched;
    if !checked.members.is_empty() {
        switched.extend(switch(ctx, request, checked.members, limits).await?);
    }
    end::announce(ctx, opened, &mut switched).await;
    let mut result = end::result(request, &request.operation_id, switched);
    result.cancelled_too_late = ctx.cancellation_token().is_cancelled();
    Ok(result)
}

async fn check(ctx: &Context, request: &SwitchRequest) -> Result<CheckSwitchOutput, Stop> {
    gate::pass(ctx).await?;
    set_phase(ctx, "check");
    let input = CheckSwitchInput {
        request: Some(request.clone()),
        operation_id: request.operation_id.clone(),
        workflow_id: ctx.workflow_id().to_owned(),
        run_id: ctx.run_id().to_owned(),
    };
    let checked = ctx.execute_activity(Steps::check_switch, input, step::short("list every blocker")).await?;
    ctx.upsert_search_attributes([
        search_attributes::SYNC_ID.value_set(request.sync_id.clone()),
        search_attributes::ORGANIZATION_ID.value_set(request.organization_id.clone()),
        search_attributes::OPERATION.value_set(operation(request).to_owned()),
    ]);
    Ok(checked)
}

/// Carries the difference over, gets behind the fence, and switches; again, when something is in the way, until the time to
/// wait is over.
async fn switch(
    ctx: &Context,
    request: &SwitchRequest,
    mut members: Vec<SwitchMember>,
    limits: Limits,
) -> Result<Vec<SwitchedSync>, Stop> {
    let mut left = limits.waiting;
    loop {
        gate::pass(ctx).await?;
        if request.force {
            approach::catch_up_if_possible(ctx, &mut members, limits.behind_fence).await?;
        } else if approach::catch_up(ctx, &members).await? == Approached::RollOver {
            return Err(continue_as_new(ctx, request).await);
        }
        match fence::pass(ctx, request, &mut members, limits).await? {
            Passage::Switched(switched) => return Ok(switched),
            Passage::InTheWay(in_the_way) => approach::wait(ctx, &members, in_the_way, &mut left).await?,
        }
    }
}

/// Everything in the way and everything that would be waited for.
async fn dry_run(ctx: &Context, request: &SwitchRequest, checked: CheckSwitchOutput) -> Result<SwitchResult, Stop> {
    set_phase(ctx, "measure");
    let mut result = SwitchResult {
        operation_id: request.operation_id.clone(),
        blockers: checked.blockers,
        waits_for: checked.in_the_way.iter().map(approach::words).collect(),
        syncs: checked.switched,
        ..SwitchResult::default()
    };
    if !result.blockers.is_empty() {
        return Ok(result);
    }
    for member in checked.members {
        let slot = member.slot.unwrap_or_default();
        let mut sync = SwitchedSync {
            sync_id: slot.sync_id.clone(),
            new_active_slot_id: slot.slot_id.clone(),
            ..SwitchedSync::default()
        };
        let options = step::afterwards("measure how far the slot is behind", MEASURE_LIMIT);
        let input = MeasureLagInput { slot: Some(slot) };
        match ctx.execute_activity(Steps::measure_lag, input, options).await.map_err(Stop::from) {
            Ok(measured) => sync.lag = measured.lag,
            Err(Stop::Failed { kind, message }) => result.blockers.push(Blocker {
                kind: kind.name().to_owned(),
                message,
                next_step: "mend that, or go on without the last catch-up by force".to_owned(),
            }),
            Err(stop) => return Err(stop),
        }
        result.syncs.push(sync);
    }
    Ok(result)
}

/// The next execution starts with the check: what was carried over is on record, and so is the operation.
async fn continue_as_new(ctx: &Context, request: &SwitchRequest) -> Stop {
    let handlers = ctx.clone();
    if ctx.wait_condition(move |_| handlers.all_handlers_finished()).await.is_err() {
        return Stop::Cancelled;
    }
    let data = match serde_json::to_vec(request) {
        Ok(data) => data,
        Err(error) => return Stop::failed(ErrorKind::Internal, error.to_string()),
    };
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    let input = RawValue::new(vec![Payload { metadata, data, ..Payload::default() }]);
    match ctx.continue_as_new(input, ContinueAsNewOptions::default()) {
        Err(termination) => Stop::ContinueAsNew(termination),
        Ok(never) => match never {},
    }
}

/// What this is to people.
fn operation(request: &SwitchRequest) -> &'static str {
    if request.rollback { "rollback" } else { "switch" }
}
