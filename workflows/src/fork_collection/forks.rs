//! The forks of the syncs: children through a bounded window, begun in the order of the list.

use proto::v1::{ForkCollectionRequest, ForkRequest, ForkResult, SyncFork};
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::{ChildWorkflowExecutionError, ChildWorkflowStartError, IncomingError};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_workflow::{
    ChildWorkflowOptions, ParentClosePolicy, SignalWorkflowOptions, StartChildWorkflowExecutionFailedCause,
    WaitConditionOptions, WorkflowCancellationToken, WorkflowContext, select,
};

use super::ForkCollectionWorkflow;
use super::carried::Carried;
use super::journey::publish;
use crate::domain::ErrorKind;
use crate::fork::ForkWorkflow;
use crate::stop::Stop;
use crate::window::Window;
use crate::{fork_workflow_id, gate};

type Context = WorkflowContext<ForkCollectionWorkflow>;

/// Forks of one execution, after which the workflow continues as new: at some 15 events a fork, pauses included, the
/// history stays small. Waiting for the last of them costs little when most collections have fewer syncs.
const FORKS_PER_EXECUTION: usize = 20;

/// Characters of a failure that the result of the whole carries.
pub(super) const LONGEST_MESSAGE: usize = 200;

/// How the work of an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worked {
    /// Every sync has its end.
    Through,
    /// The history is long enough: go on in a new execution. Nothing is in flight.
    UntilRollOver,
}

/// What became of one fork, and whether it was begun at all.
struct End {
    fork: SyncFork,
    began: bool,
}

/// Forks the syncs until each has its end, or this execution has done its share. Cancelled, it waits for the ends of those
/// that run, and the others are not begun.
pub(super) async fn run(ctx: &Context, request: &ForkCollectionRequest, carried: &mut Carried) -> Result<Worked, Stop> {
    let mut window: Window<'_, usize, End> = Window::new();
    let mut begun_here = 0;
    loop {
        let roll_over = begun_here >= FORKS_PER_EXECUTION || ctx.continue_as_new_suggested();
        let may_begin = !roll_over && !ctx.cancellation_token().is_cancelled();
        while may_begin
            && begun_here < FORKS_PER_EXECUTION
            && carried.next < carried.syncs.len()
            && ctx.state(|state| has_room(state, window.len()))
        {
            let position = carried.next;
            let fork = &mut carried.syncs[position];
            "running".clone_into(&mut fork.state);
            fork.operation_id = ctx.uuid4();
            window.push(position, fork_one(ctx, position, fork_request(request, fork)));
            carried.next += 1;
            begun_here += 1;
        }
        publish(ctx, carried);

        if window.is_empty() {
            if carried.next >= carried.syncs.len() || ctx.cancellation_token().is_cancelled() {
                return Ok(Worked::Through);
            }
            // Cancelled while paused: the next round of the loop ends.
            let _ = gate::pass(ctx).await;
            if roll_over && !ctx.cancellation_token().is_cancelled() {
                return Ok(Worked::UntilRollOver);
            }
            continue;
        }

        tell_of_pauses(ctx, carried).await;
        let in_flight = window.len();
        let wants_more = may_begin && begun_here < FORKS_PER_EXECUTION && carried.next < carried.syncs.len();
        // Detached: a wait that inherits a cancelled token is ready for ever, and this loop would spin.
        let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        let mut news = Box::pin(ctx.wait_condition_with_options(
            move |state| (wants_more && has_room(state, in_flight)) || has_untold(state),
            detached,
        ));
        select! {
            (position, end) = window.next() => {
                ctx.state_mut(|state| state.running.remove(&position));
                carried.begun += u32::from(end.began);
                carried.syncs[position] = end.fork;
            }
            _ = news => {}
        }
    }
}

fn has_room(state: &ForkCollectionWorkflow, in_flight: usize) -> bool {
    !state.progress.paused && in_flight < state.concurrency() as usize
}

/// Whether a fork runs that does not know whether it is paused.
fn has_untold(state: &ForkCollectionWorkflow) -> bool {
    state.running.values().any(|told| *told != state.progress.paused)
}

/// Passes pause and resume on to the forks that run.
async fn tell_of_pauses(ctx: &Context, carried: &Carried) {
    let (paused, untold) = ctx.state(|state| {
        let paused = state.progress.paused;
        let untold = state.running.iter().filter(|(_, told)| **told != paused).map(|(position, _)| *position);
        (paused, untold.collect::<Vec<_>>())
    });
    let connection = ctx.state(|state| state.read_input().map(|(request, _)| request.destination_connection_id));
    for position in untold {
        let id = fork_workflow_id(&carried.syncs[position].sync_id, connection.as_deref().unwrap_or_default());
        let fork = ctx.external_workflow(id, None);
        let options = SignalWorkflowOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        let nothing = RawValue::new(Vec::new());
        // One that has just ended is told in vain.
        let _ = if paused {
            fork.signal(ForkWorkflow::pause, nothing, options).await
        } else {
            fork.signal(ForkWorkflow::resume, nothing, options).await
        };
        ctx.state_mut(|state| {
            if let Some(told) = state.running.get_mut(&position) {
                *told = paused;
            }
        });
    }
}

fn fork_request(request: &ForkCollectionRequest, fork: &SyncFork) -> ForkRequest {
    ForkRequest {
        organization_id: request.organization_id.clone(),
        sync_id: fork.sync_id.clone(),
        destination_connection_id: request.destination_connection_id.clone(),
        profile: request.profile.clone(),
        options: request.options,
        operation_id: fork.operation_id.clone(),
        requested_by: request.requested_by.clone(),
    }
}

/// One fork from its start to its end, whatever that is.
async fn fork_one(ctx: &Context, position: usize, request: ForkRequest) -> End {
    let id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);
    let unbegun = SyncFork { sync_id: request.sync_id.clone(), ..SyncFork::default() };
    let input = match argument(&request) {
        Ok(input) => input,
        Err(message) => return End { fork: failed(unbegun, ErrorKind::Internal, &message), began: false },
    };
    // Terminating the whole leaves the forks running: each is an operation of its own.
    let options = ChildWorkflowOptions::builder()
        .workflow_id(id)
        .parent_close_policy(ParentClosePolicy::Abandon)
        .static_summary(format!("fork sync {} to {}", request.sync_id, request.destination_connection_id))
        .build();
    let started = match ctx.start_child_workflow(ForkWorkflow::run, input, options).await {
        Ok(started) => started,
        Err(error) => return End { fork: not_started(unbegun, &error), began: false },
    };
    ctx.state_mut(|state| state.running.insert(position, false));
    let begun = SyncFork { operation_id: request.operation_id, ..unbegun };
    let fork = match started.result().await {
        Ok(result) => ended(begun, result),
        Err(error) => not_ready(begun, &error),
    };
    End { fork, began: true }
}

/// The input of a fork as everybody gives it: one JSON object.
fn argument(request: &ForkRequest) -> Result<RawValue, String> {
    let data = serde_json::to_vec(request).map_err(|error| format!("the request does not encode: {error}"))?;
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    Ok(RawValue::new(vec![Payload { metadata, data, ..Payload::default() }]))
}

fn ended(fork: SyncFork, result: ForkResult) -> SyncFork {
    SyncFork {
        state: result.state,
        slot_id: result.slot_id,
        entities: result.entities,
        points: result.points,
        dead_letter_count: result.dead_letter_count,
        ..fork
    }
}

fn not_started(fork: SyncFork, error: &ChildWorkflowStartError) -> SyncFork {
    match error {
        ChildWorkflowStartError::Cancelled(_) => cancelled(fork),
        ChildWorkflowStartError::StartFailed {
            cause: StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists,
            workflow_id,
            ..
        } => failed(
            fork,
            ErrorKind::Conflict,
            &format!("the workflow {workflow_id} is running: wait for its end, then fork the collection again"),
        ),
        other => failed(fork, ErrorKind::Internal, &other.to_string()),
    }
}

fn not_ready(fork: SyncFork, error: &ChildWorkflowExecutionError) -> SyncFork {
    match error.cause() {
        Some(IncomingError::Cancelled(_)) => cancelled(fork),
        Some(IncomingError::Application(cause)) => {
            let kind = cause.type_name().and_then(|name| name.parse().ok()).unwrap_or(ErrorKind::Internal);
            let message = cause.failure().map_or_else(|| cause.to_string(), |failure| failure.message.clone());
            failed(fork, kind, &message)
        }
        Some(IncomingError::Terminated(_)) => failed(
            fork,
            ErrorKind::Conflict,
            "its fork was terminated, so what it made is still there: fork again to continue it",
        ),
        _ => failed(fork, ErrorKind::Internal, &error.to_string()),
    }
}

fn cancelled(fork: SyncFork) -> SyncFork {
    SyncFork { state: "cancelled".to_owned(), ..fork }
}

fn failed(fork: SyncFork, kind: ErrorKind, message: &str) -> SyncFork {
    let mut words: String = message.chars().take(LONGEST_MESSAGE).collect();
    if words.len() < message.len() {
        words.push('…');
    }
    SyncFork { state: "failed".to_owned(), error_kind: kind.name().to_owned(), error_message: words, ..fork }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_failures_are_cut_between_characters() {
        let fork = failed(SyncFork::default(), ErrorKind::Conflict, &"ä".repeat(LONGEST_MESSAGE));
        assert_eq!(fork.error_message.chars().count(), LONGEST_MESSAGE);
        let fork = failed(SyncFork::default(), ErrorKind::Conflict, &"ä".repeat(LONGEST_MESSAGE + 1));
        assert!(fork.error_message.ends_with("ä…") && fork.error_kind == "Conflict", "{fork:?}");
    }
}
