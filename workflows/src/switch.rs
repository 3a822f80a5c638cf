//! Switch: promote a ready slot; the active one becomes deprecated.
//!
//! ```text
//! check_switch -> flip_roles (one transaction) -> announce_switch -> end_operation
//! ```
//!
//! The roles change in a single transaction that compares what the caller expects with what is there, so there is
//! nothing to undo: before it nothing has changed, after it the switch is done. Repeating a finished switch answers
//! with the result it had.
//!
//! A rollback is a switch whose target is a deprecated slot. It may leave the target open; `check_switch` says what that
//! means, once, and the flip is asked for exactly that.
//!
//! The roles are what counts. Announcing repeats them to a destination that has a name of its own for its readers; when
//! that fails the switch stands, its result says so, and repeating it announces again.

#![allow(missing_docs, reason = "the macro generates undocumented constants for runs, signals and queries")]

use std::time::Duration;

use proto::v1::{
    AnnounceSwitchInput, CheckSwitchInput, EndOperationInput, FlipRolesInput, Progress, SlotRef, SwitchRequest,
    SwitchResult,
};
use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult};

use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::gate::{self, Pausable};
use crate::input::decode;
use crate::stop::Stop;
use crate::{follow, search_attributes, step};

type Context = WorkflowContext<SwitchWorkflow>;

/// How long a destination that is away may hold up the end of a switch that stands. The next switch waits for that end.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(120);

/// Switches that began before this step existed end without it.
const ANNOUNCES: &str = "announce-switch";

/// The switch workflow. Id: [`crate::switch_workflow_id`]. Input: a [`SwitchRequest`]. Result: a [`SwitchResult`].
#[workflow]
pub struct SwitchWorkflow {
    input: RawValue,
    progress: Progress,
}

#[workflow_methods]
impl SwitchWorkflow {
    /// Keeps the payloads; decoding waits until a bad one can be answered.
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        let progress = Progress { operation: "switch".to_owned(), phase: "start".to_owned(), ..Progress::default() };
        Self { input, progress }
    }

    /// Runs the switch.
    #[run(name = "SwitchWorkflow")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<SwitchResult> {
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

    /// Where the switch is.
    #[query]
    pub fn progress(&self, _ctx: &WorkflowContextView) -> Progress {
        self.progress.clone()
    }
}

impl Pausable for SwitchWorkflow {
    fn is_paused(&self) -> bool {
        self.progress.paused
    }
}

async fn travel(ctx: &Context) -> Result<SwitchResult, Stop> {
    let request: SwitchRequest = ctx.state(|state| decode(&state.input.payloads))?;
    let operation_id =
        if request.operation_id.is_empty() { ctx.run_id().to_owned() } else { request.operation_id.clone() };
    ctx.state_mut(|state| {
        operation(&request).clone_into(&mut state.progress.operation);
        state.progress.operation_id.clone_from(&operation_id);
        state.progress.slot_id.clone_from(&request.target_slot_id);
    });

    let mut opened = false;
    match change(ctx, &request, &operation_id, &mut opened).await {
        Ok(mut result) => {
            if ctx.patched(ANNOUNCES) {
                announce(ctx, &request, &mut result).await;
            }
            close_record(ctx, &request, &operation_id, Ok(&result)).await?;
            follow::keep(ctx, &request.organization_id, &request.sync_id).await;
            set_phase(ctx, "done");
            Ok(result)
        }
        Err(stop) => {
            // A request that was refused opened no record; one under its id is another operation's.
            if opened
                && let Err(error) = close_record(ctx, &request, &operation_id, Err(&stop)).await
                && !ctx.is_replaying()
            {
                tracing::warn!(?error, "the operation's record could not be closed");
            }
            set_phase(ctx, if matches!(stop, Stop::Cancelled) { "cancelled" } else { "failed" });
            Err(stop)
        }
    }
}

/// Makes the switch. `opened` says whether the operation's record is there to be closed, also when this fails.
async fn change(
    ctx: &Context,
    request: &SwitchRequest,
    operation_id: &str,
    opened: &mut bool,
) -> Result<SwitchResult, Stop> {
    gate::pass(ctx).await?;
    set_phase(ctx, "check");
    let checked = ctx
        .execute_activity(
            Steps::check_switch,
            CheckSwitchInput {
                request: Some(request.clone()),
                operation_id: operation_id.to_owned(),
                workflow_id: ctx.workflow_id().to_owned(),
                run_id: ctx.run_id().to_owned(),
            },
            step::short("list every blocker"),
        )
        .await?;
    *opened = true;
    ctx.upsert_search_attributes([
        search_attributes::SYNC_ID.value_set(request.sync_id.clone()),
        search_attributes::ORGANIZATION_ID.value_set(request.organization_id.clone()),
        search_attributes::OPERATION.value_set(operation(request).to_owned()),
    ]);
    let request = checked.resolved.as_ref().unwrap_or(request);
    ctx.state_mut(|state| state.progress.slot_id.clone_from(&request.target_slot_id));
    if let Some(finished) = checked.finished {
        return Ok(finished);
    }
    if let Some(first) = checked.blockers.first() {
        let kind = first.kind.parse().unwrap_or(ErrorKind::Conflict);
        let words: Vec<_> = checked.blockers.iter().map(|it| format!("{}: {}", it.message, it.next_step)).collect();
        return Err(Stop::failed(kind, words.join("; ")));
    }

    gate::pass(ctx).await?;
    set_phase(ctx, "flip");
    let input = FlipRolesInput { request: Some(request.clone()), operation_id: operation_id.to_owned() };
    Ok(ctx.execute_activity(Steps::flip_roles, input, step::short("change the roles in one transaction")).await?)
}

/// Tells the destination that the slot is the active one now; what went wrong is part of the result.
async fn announce(ctx: &Context, request: &SwitchRequest, result: &mut SwitchResult) {
    set_phase(ctx, "announce");
    let slot = SlotRef {
        organization_id: request.organization_id.clone(),
        sync_id: request.sync_id.clone(),
        slot_id: result.new_active_slot_id.clone(),
        operation_id: result.operation_id.clone(),
    };
    let input = AnnounceSwitchInput { slot: Some(slot) };
    let options = step::afterwards("point readers of the destination at the slot", ANNOUNCE_LIMIT);
    match ctx.execute_activity(Steps::announce_switch, input, options).await.map_err(Stop::from) {
        Ok(_) => {}
        Err(Stop::Failed { kind, message }) => result.not_announced = format!("{kind}: {message}"),
        Err(Stop::Cancelled | Stop::ContinueAsNew(_)) => "cancelled".clone_into(&mut result.not_announced),
    }
}

async fn close_record(
    ctx: &Context,
    request: &SwitchRequest,
    operation_id: &str,
    outcome: Result<&SwitchResult, &Stop>,
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

/// What this is to people.
fn operation(request: &SwitchRequest) -> &'static str {
    if request.rollback { "rollback" } else { "switch" }
}

fn set_phase(ctx: &Context, phase: &str) {
    ctx.state_mut(|state| phase.clone_into(&mut state.progress.phase));
    ctx.upsert_search_attributes([search_attributes::PHASE.value_set(phase.to_owned())]);
    let details = ctx.state(|state| {
        let paused = if state.progress.paused { " (paused)" } else { "" };
        format!("### {} {phase}{paused}\n\nslot `{}`\n", state.progress.operation, state.progress.slot_id)
    });
    ctx.set_current_details(details);
}
