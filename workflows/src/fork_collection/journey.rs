//! The line of steps: list the syncs, fork them, say what became of each.

use proto::v1::{BeginForkCollectionInput, EndOperationInput, ForkCollectionRequest, ForkCollectionResult, SyncFork};
use temporalio_common::data_converters::RawValue;
use temporalio_workflow::{ContinueAsNewOptions, WorkflowContext, WorkflowResult};

use super::ForkCollectionWorkflow;
use super::carried::Carried;
use super::forks::{self, Worked};
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::stop::Stop;
use crate::{gate, memo, operator, progress, search_attributes, step};

type Context = WorkflowContext<ForkCollectionWorkflow>;

/// Runs the journey and closes its record, however it ends. There is nothing to take back here: each fork does that.
pub(super) async fn run(ctx: &Context) -> WorkflowResult<ForkCollectionResult> {
    let mut opened = None;
    match travel(ctx, &mut opened).await {
        Ok(result) => {
            set_phase(ctx, "done");
            Ok(result)
        }
        Err(stop @ Stop::ContinueAsNew(_)) => Err(stop.into_termination()),
        Err(stop) => {
            if let Some(record) = opened
                && let Err(error) = close_record(ctx, record, Err(&stop)).await
                && !ctx.is_replaying()
            {
                tracing::warn!(?error, "the operation's record could not be closed");
            }
            set_phase(ctx, if matches!(stop, Stop::Cancelled) { "cancelled" } else { "failed" });
            Err(stop.into_termination())
        }
    }
}

/// The record of the operation, once it is open.
struct Record {
    organization_id: String,
    operation_id: String,
}

async fn travel(ctx: &Context, opened: &mut Option<Record>) -> Result<ForkCollectionResult, Stop> {
    let (request, carried) = ctx.state(ForkCollectionWorkflow::read_input)?;
    let record = |operation_id: &str| Record {
        organization_id: request.organization_id.clone(),
        operation_id: operation_id.to_owned(),
    };
    let mut carried = match carried {
        Some(carried) => {
            resume(ctx, &carried);
            carried
        }
        None => match begin(ctx, &request).await? {
            Begun::Finished(result) => return Ok(*result),
            Begun::ToFork(carried) => carried,
        },
    };
    *opened = Some(record(&carried.operation_id));

    set_phase(ctx, "fork");
    if forks::run(ctx, &request, &mut carried).await? == Worked::UntilRollOver {
        match continue_as_new(ctx, carried.clone()).await {
            // What is ready by now is told as it is.
            Stop::Cancelled => {}
            stop => return Err(stop),
        }
    }
    let result = result(ctx, &request, carried)?;
    close_record(ctx, record(&result.operation_id), Ok(&result)).await?;
    let handlers = ctx.clone();
    // A handler that still runs would be cut off by the end of the workflow; a cancellation need not wait for it.
    let _ = ctx.wait_condition(move |_| handlers.all_handlers_finished()).await;
    Ok(result)
}

enum Begun {
    ToFork(Carried),
    /// The operation was repeated after its end: the answer it had.
    Finished(Box<ForkCollectionResult>),
}

/// Everything up to the first fork.
async fn begin(ctx: &Context, request: &ForkCollectionRequest) -> Result<Begun, Stop> {
    if request.concurrency > operator::MAX_CONCURRENCY {
        return Err(Stop::failed(
            ErrorKind::InvalidInput,
            format!("concurrency must be at most {}, got {}", operator::MAX_CONCURRENCY, request.concurrency),
        ));
    }
    let started_ms = progress::millis(ctx.workflow_time());
    let operation_id =
        if request.operation_id.is_empty() { ctx.run_id().to_owned() } else { request.operation_id.clone() };
    ctx.state_mut(|state| {
        // What was said before the first task knows better than the request.
        if request.concurrency > 0 {
            state.concurrency.get_or_insert(request.concurrency);
        }
        state.progress.operation_id.clone_from(&operation_id);
    });

    gate::pass(ctx).await?;
    set_phase(ctx, "begin");
    let input = BeginForkCollectionInput {
        request: Some(request.clone()),
        operation_id: operation_id.clone(),
        workflow_id: ctx.workflow_id().to_owned(),
        run_id: ctx.run_id().to_owned(),
    };
    let options = step::short("validate the request and list the syncs");
    let begun = ctx.execute_activity(Steps::begin_fork_collection, input, options).await?;
    ctx.upsert_search_attributes([
        search_attributes::ORGANIZATION_ID.value_set(request.organization_id.clone()),
        search_attributes::OPERATION.value_set("fork-collection".to_owned()),
    ]);
    memo::link(ctx, &operation_id);
    if let Some(finished) = begun.finished {
        return Ok(Begun::Finished(Box::new(finished)));
    }
    let waiting = |sync_id| SyncFork { sync_id, state: "waiting".to_owned(), ..SyncFork::default() };
    let syncs = begun.sync_ids.into_iter().map(waiting).collect();
    Ok(Begun::ToFork(Carried { operation_id, started_ms, syncs, ..Carried::default() }))
}

/// What became of the syncs, or why that is no success at all.
fn result(ctx: &Context, request: &ForkCollectionRequest, carried: Carried) -> Result<ForkCollectionResult, Stop> {
    let was_cancelled = ctx.cancellation_token().is_cancelled();
    let mut syncs = carried.syncs;
    for fork in syncs.iter_mut().filter(|fork| fork.state == "waiting") {
        "cancelled".clone_into(&mut fork.state);
    }
    let count = |states: &[&str]| {
        let counted = syncs.iter().filter(|fork| states.contains(&fork.state.as_str())).count();
        u32::try_from(counted).unwrap_or(u32::MAX)
    };
    let (ready, failed, cancelled) = (count(&["ready", "empty"]), count(&["failed"]), count(&["cancelled"]));
    if was_cancelled && ready == 0 && failed == 0 {
        return Err(Stop::Cancelled);
    }
    if let Some(first) = syncs.iter().find(|fork| fork.state == "failed").filter(|_| carried.begun == 0) {
        let kind = first.error_kind.parse().unwrap_or(ErrorKind::Internal);
        return Err(Stop::failed(
            kind,
            format!("no sync of the collection could be forked; of sync {}: {}", first.sync_id, first.error_message),
        ));
    }
    Ok(ForkCollectionResult {
        operation_id: carried.operation_id,
        collection_id: request.collection_id.clone(),
        destination_connection_id: request.destination_connection_id.clone(),
        syncs,
        ready,
        failed,
        cancelled,
        duration_ms: progress::millis(ctx.workflow_time()).saturating_sub(carried.started_ms),
    })
}

async fn close_record(
    ctx: &Context,
    record: Record,
    outcome: Result<&ForkCollectionResult, &Stop>,
) -> Result<(), Stop> {
    let Record { organization_id, operation_id } = record;
    let mut input = EndOperationInput { organization_id, operation_id, ..EndOperationInput::default() };
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
    // Detached: slots that are ready stay ready even when a cancellation arrives now.
    ctx.execute_activity(Steps::end_operation, input, step::detached("close the record")).await?;
    Ok(())
}

/// Takes up the state of an earlier execution.
fn resume(ctx: &Context, carried: &Carried) {
    ctx.state_mut(|state| {
        // What was said with the first task of this execution knows better than what was carried.
        state.concurrency.get_or_insert(carried.concurrency);
        if !state.pause_was_said {
            state.progress.paused = carried.paused;
        }
        state.progress.operation_id.clone_from(&carried.operation_id);
    });
}

async fn continue_as_new(ctx: &Context, carried: Carried) -> Stop {
    let handlers = ctx.clone();
    if ctx.wait_condition(move |_| handlers.all_handlers_finished()).await.is_err() {
        return Stop::Cancelled;
    }
    let next =
        ctx.state(|state| Carried { concurrency: state.concurrency(), paused: state.progress.paused, ..carried });
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

/// Shows where each sync is, in the progress and in the UI.
pub(super) fn publish(ctx: &Context, carried: &Carried) {
    ctx.state_mut(|state| state.progress.syncs.clone_from(&carried.syncs));
    show(ctx);
}

fn set_phase(ctx: &Context, phase: &str) {
    ctx.state_mut(|state| phase.clone_into(&mut state.progress.phase));
    ctx.upsert_search_attributes([search_attributes::PHASE.value_set(phase.to_owned())]);
    show(ctx);
}

fn show(ctx: &Context) {
    ctx.set_current_details(ctx.state(|state| {
        let shown = &state.progress;
        let paused = if shown.paused { " (paused)" } else { "" };
        let rows = shown.syncs.iter().map(|fork| {
            let reason = match fork.error_kind.as_str() {
                "" => String::new(),
                kind => format!(" ({kind}: {})", fork.error_message.replace(['|', '\n'], " ")),
            };
            format!("| `{}` | {}{reason} |\n", fork.sync_id, fork.state)
        });
        let rows: String = rows.collect();
        format!("### fork of a collection: {}{paused}\n\n| sync | |\n|---|---|\n{rows}", shown.phase)
    }));
}
