//! Retire: remove a deprecated slot, or a shadow that nobody wants any more, for good.
//!
//! ```text
//! check_retire -> mark_retiring -> remove_points -> remove_slot (one transaction) -> end_operation
//!                  ⇄ unmark_retiring
//! ```
//!
//! The mark keeps everybody else away from the slot, so it comes before the first point goes, and is taken back when the
//! journey stops before that. Where points may be gone there is no way back: a slot that lacks points and looks ready
//! would be worse than none. Then a cancellation is told that it came too late, and the retire goes on to its end; a
//! failure leaves the slot marked, and the next retire of it goes on.

#![allow(missing_docs, reason = "the macro generates undocumented constants for runs, signals and queries")]

use proto::v1::{
    CheckRetireInput, EndOperationInput, MarkRetiringInput, Progress, RemovePointsInput, RemoveSlotInput,
    RetireRequest, RetireResult, SlotRef, UnmarkRetiringInput,
};
use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    ActivityOptions, SyncWorkflowContext, WorkflowCancellationToken, WorkflowContext, WorkflowContextView,
    WorkflowResult,
};

use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::gate::{self, Pausable};
use crate::input::decode;
use crate::stop::Stop;
use crate::{memo, search_attributes, step};

type Context = WorkflowContext<RetireWorkflow>;

/// The retire workflow. Id: [`crate::retire_workflow_id`]. Input: a [`RetireRequest`]. Result: a [`RetireResult`].
#[workflow]
pub struct RetireWorkflow {
    input: RawValue,
    progress: Progress,
    /// Somebody cancelled when points were gone already.
    cancelled_too_late: bool,
}

#[workflow_methods]
impl RetireWorkflow {
    /// Keeps the payloads; decoding waits until a bad one can be answered.
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        let progress = Progress { operation: "retire".to_owned(), phase: "start".to_owned(), ..Progress::default() };
        Self { input, progress, cancelled_too_late: false }
    }

    /// Runs the retire to its end, its failure or its cancellation.
    #[run(name = "RetireWorkflow")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<RetireResult> {
        travel(ctx).await.map_err(Stop::into_termination)
    }

    /// Stops before the next step. Arguments are ignored, so that a mistyped call does no harm.
    #[signal]
    pub fn pause(&mut self, _ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.progress.paused = true;
    }

    /// Goes on after a pause.
    #[signal]
    pub fn resume(&mut self, _ctx: &mut SyncWorkflowContext<Self>, _ignored: RawValue) {
        self.progress.paused = false;
    }

    /// Where the retire is.
    #[query]
    pub fn progress(&self, _ctx: &WorkflowContextView) -> Progress {
        self.progress.clone()
    }
}

impl Pausable for RetireWorkflow {
    fn is_paused(&self) -> bool {
        self.progress.paused
    }
}

async fn travel(ctx: &Context) -> Result<RetireResult, Stop> {
    let request: RetireRequest = ctx.state(|state| decode(&state.input.payloads))?;
    let operation_id =
        if request.operation_id.is_empty() { ctx.run_id().to_owned() } else { request.operation_id.clone() };
    ctx.state_mut(|state| {
        state.progress.operation_id.clone_from(&operation_id);
        state.progress.slot_id.clone_from(&request.slot_id);
    });
    let slot = SlotRef {
        organization_id: request.organization_id.clone(),
        sync_id: request.sync_id.clone(),
        slot_id: request.slot_id.clone(),
        operation_id,
    };

    let mut opened = false;
    match retire(ctx, &request, &slot, &mut opened).await {
        Ok(result) => {
            if opened {
                close_record(ctx, &slot, Ok(&result)).await?;
            }
            set_phase(ctx, "done");
            Ok(result)
        }
        Err(stop) => {
            // A request that was refused opened no record; one under its id is another operation's.
            if opened
                && let Err(error) = close_record(ctx, &slot, Err(&stop)).await
                && !ctx.is_replaying()
            {
                tracing::warn!(?error, "the operation's record could not be closed");
            }
            set_phase(ctx, if matches!(stop, Stop::Cancelled) { "cancelled" } else { "failed" });
            Err(stop)
        }
    }
}

/// Retires the slot. `opened` says whether the operation's record is there to be closed, also when this fails.
async fn retire(
    ctx: &Context,
    request: &RetireRequest,
    slot: &SlotRef,
    opened: &mut bool,
) -> Result<RetireResult, Stop> {
    gate::pass(ctx).await?;
    set_phase(ctx, "check");
    let checked = ctx
        .execute_activity(
            Steps::check_retire,
            CheckRetireInput {
                request: Some(request.clone()),
                operation_id: slot.operation_id.clone(),
                workflow_id: ctx.workflow_id().to_owned(),
                run_id: ctx.run_id().to_owned(),
            },
            step::short("list every blocker"),
        )
        .await?;
    *opened = !request.dry_run;
    ctx.upsert_search_attributes([
        search_attributes::SYNC_ID.value_set(request.sync_id.clone()),
        search_attributes::ORGANIZATION_ID.value_set(request.organization_id.clone()),
        search_attributes::OPERATION.value_set("retire".to_owned()),
    ]);
    if !request.dry_run {
        memo::link(ctx, &slot.operation_id);
    }
    if let Some(finished) = checked.finished {
        return Ok(finished);
    }
    if request.dry_run {
        return Ok(RetireResult {
            operation_id: slot.operation_id.clone(),
            slot_id: slot.slot_id.clone(),
            blockers: checked.blockers,
            ..RetireResult::default()
        });
    }
    if let Some(first) = checked.blockers.first() {
        let kind = first.kind.parse().unwrap_or(ErrorKind::Conflict);
        let words: Vec<_> = checked.blockers.iter().map(|it| format!("{}: {}", it.message, it.next_step)).collect();
        return Err(Stop::failed(kind, words.join("; ")));
    }

    if let Err(stop) = empty(ctx, request, slot).await {
        take_back(ctx, slot, stop).await?;
    }
    gate::pass_whatever_is_cancelled(ctx).await;
    set_phase(ctx, "remove");
    let options = detached(step::long("remove the slot and its records in one transaction".to_owned()));
    let input = RemoveSlotInput { slot: Some(slot.clone()) };
    let mut result = match ctx.execute_activity(Steps::remove_slot, input, options).await.map_err(Stop::from) {
        Ok(result) => result,
        Err(stop) => return Err(half_way(stop)),
    };
    result.cancelled_too_late = ctx.cancellation_token().is_cancelled();
    Ok(result)
}

/// Marks the slot and removes its points.
async fn empty(ctx: &Context, request: &RetireRequest, slot: &SlotRef) -> Result<(), Stop> {
    gate::pass(ctx).await?;
    set_phase(ctx, "mark");
    let input = MarkRetiringInput {
        request: Some(request.clone()),
        operation_id: slot.operation_id.clone(),
        workflow_id: ctx.workflow_id().to_owned(),
    };
    ctx.execute_activity(Steps::mark_retiring, input, step::short("keep everybody else away from the slot")).await?;

    gate::pass(ctx).await?;
    set_phase(ctx, "clear");
    remove_points(ctx, slot, step::long("remove the points".to_owned())).await
}

async fn remove_points(ctx: &Context, slot: &SlotRef, options: ActivityOptions) -> Result<(), Stop> {
    let input = RemovePointsInput { slot: Some(slot.clone()) };
    let removed = ctx.execute_activity(Steps::remove_points, input, options).await?;
    ctx.state_mut(|state| state.progress.points = removed.points_removed);
    Ok(())
}

/// Leaves the slot as it was, and fails with why the journey stopped. When points may be gone and the reason was a
/// cancellation, removes the rest of them instead.
async fn take_back(ctx: &Context, slot: &SlotRef, stop: Stop) -> Result<(), Stop> {
    let input = UnmarkRetiringInput { slot: Some(slot.clone()) };
    let options = step::detached("undo: take the mark back, if no point is gone");
    let too_late = match ctx.execute_activity(Steps::unmark_retiring, input, options).await.map_err(Stop::from) {
        Ok(unmarked) => unmarked.too_late,
        Err(Stop::Failed { kind, message }) => {
            return Err(Stop::failed(kind, format!("the slot stays marked as retiring ({message}); retire it again")));
        }
        Err(other) => return Err(other),
    };
    match stop {
        stop if !too_late => Err(stop),
        Stop::Cancelled => {
            ctx.state_mut(|state| state.cancelled_too_late = true);
            gate::pass_whatever_is_cancelled(ctx).await;
            set_phase(ctx, "clear");
            let options = detached(step::long("remove the points; a cancellation came too late".to_owned()));
            remove_points(ctx, slot, options).await.map_err(half_way)
        }
        stop => Err(half_way(stop)),
    }
}

/// What to say when it stopped where there is no way back.
fn half_way(stop: Stop) -> Stop {
    const WORDS: &str = "points of the slot are gone, so it stays marked as retiring: mend that and retire it again";
    match stop {
        Stop::Failed { kind, message } => Stop::failed(kind, format!("{message}; {WORDS}")),
        // The token is detached, so this is a step that somebody cancelled by hand.
        Stop::Cancelled | Stop::ContinueAsNew(_) => Stop::failed(ErrorKind::Conflict, format!("cancelled; {WORDS}")),
    }
}

/// Beyond the reach of the workflow's cancellation.
fn detached(mut options: ActivityOptions) -> ActivityOptions {
    options.cancellation_token = Some(WorkflowCancellationToken::new());
    options
}

async fn close_record(ctx: &Context, slot: &SlotRef, outcome: Result<&RetireResult, &Stop>) -> Result<(), Stop> {
    let mut input = EndOperationInput {
        organization_id: slot.organization_id.clone(),
        operation_id: slot.operation_id.clone(),
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

fn set_phase(ctx: &Context, phase: &str) {
    ctx.state_mut(|state| phase.clone_into(&mut state.progress.phase));
    ctx.upsert_search_attributes([search_attributes::PHASE.value_set(phase.to_owned())]);
    let details = ctx.state(|state| {
        let paused = if state.progress.paused { " (paused)" } else { "" };
        let too_late = if state.cancelled_too_late {
            "\nIt was cancelled when points were gone already. That cannot be taken back, so it goes on.\n"
        } else {
            ""
        };
        format!("### retire {phase}{paused}\n\nslot `{}`\n{too_late}", state.progress.slot_id)
    });
    ctx.set_current_details(details);
}
