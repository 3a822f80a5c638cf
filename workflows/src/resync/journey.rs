//! The line of steps, with the undo of the one that has an effect elsewhere.

use std::time::Duration;

use proto::v1::{
    BeginResyncInput, CancelResyncInput, EndOperationInput, FollowedSlotsInput, PlatformJob, ResyncOptions,
    ResyncRequest, ResyncResult, SlotRef, TriggerResyncInput, ValidateRawStoreInput, WatchResyncInput,
};
use temporalio_workflow::{WorkflowContext, WorkflowResult};

use super::carried::Carried;
use super::{ResyncWorkflow, job, slots};
use crate::controls::{publish, set_phase};
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::stop::Stop;
use crate::{gate, progress, search_attributes, step};

type Context = WorkflowContext<ResyncWorkflow>;

/// As long as the platform lets a job run.
const LONGEST_JOB_SECONDS: u32 = 7 * 24 * 3600;

/// How long the platform's API may be away, and how long a cancelled job may take to end, when the request says
/// nothing.
const AWAY_SECONDS: u32 = 600;
const CANCEL_SECONDS: u32 = 600;

/// What an end that came too early has to look after.
#[derive(Debug, Default)]
struct Begun {
    /// The operation's record is there to be closed.
    opened: bool,
    /// There may be a job of ours that has not ended.
    job: bool,
}

/// Runs the journey; on a stop, ends the job that this operation started and closes its record.
pub(super) async fn run(ctx: &Context) -> WorkflowResult<ResyncResult> {
    let mut begun = Begun::default();
    let mut operation = SlotRef::default();
    match travel(ctx, &mut operation, &mut begun).await {
        Ok(result) => Ok(result),
        Err(stop @ Stop::ContinueAsNew(_)) => Err(stop.into_termination()),
        Err(stop) => {
            let stop = if begun.job { cancel_job(ctx, &operation, stop).await } else { stop };
            if begun.opened {
                close_record(ctx, &operation, &stop).await;
            }
            set_phase(ctx, if matches!(stop, Stop::Cancelled) { "cancelled" } else { "failed" });
            Err(stop.into_termination())
        }
    }
}

async fn travel(ctx: &Context, operation: &mut SlotRef, begun: &mut Begun) -> Result<ResyncResult, Stop> {
    let (request, carried) = ctx.state(ResyncWorkflow::read_input)?;
    let settings = slots::settings(&request.options.unwrap_or_default())?;
    let mut carried = match carried {
        Some(carried) => {
            operation.clone_from(&carried.operation);
            begun.opened = true;
            slots::resume(ctx, &carried);
            carried
        }
        None => match refresh(ctx, &request, operation, begun).await? {
            Refreshed::Fresh(carried) => *carried,
            Refreshed::Finished(result) => return Ok(*result),
        },
    };
    slots::catch_up(ctx, &settings, &mut carried).await?;
    complete(ctx, carried).await
}

enum Refreshed {
    /// The job ended well, and the raw store is usable.
    Fresh(Box<Carried>),
    /// The operation was repeated after its end: the answer it had.
    Finished(Box<ResyncResult>),
}

/// Everything up to a fresh raw store.
async fn refresh(
    ctx: &Context,
    request: &ResyncRequest,
    operation: &mut SlotRef,
    begun: &mut Begun,
) -> Result<Refreshed, Stop> {
    let options = request.options.unwrap_or_default();
    let started_ms = progress::millis(ctx.workflow_time());
    *operation = SlotRef {
        organization_id: request.organization_id.clone(),
        sync_id: request.sync_id.clone(),
        slot_id: String::new(),
        operation_id: match request.operation_id.as_str() {
            "" => ctx.run_id().to_owned(),
            given => given.to_owned(),
        },
    };
    ctx.state_mut(|state| state.controls.progress.operation_id.clone_from(&operation.operation_id));

    gate::pass(ctx).await?;
    set_phase(ctx, "begin");
    let input = BeginResyncInput {
        request: Some(request.clone()),
        operation_id: operation.operation_id.clone(),
        workflow_id: ctx.workflow_id().to_owned(),
        run_id: ctx.run_id().to_owned(),
    };
    let counted = step::long("validate the request and count what is there".to_owned());
    let before = ctx.execute_activity(Steps::begin_resync, input, counted).await?;
    begun.opened = true;
    ctx.state_mut(|state| state.controls.opened(&operation.organization_id, &operation.operation_id));
    ctx.upsert_search_attributes([
        search_attributes::SYNC_ID.value_set(request.sync_id.clone()),
        search_attributes::ORGANIZATION_ID.value_set(request.organization_id.clone()),
        search_attributes::OPERATION.value_set("resync".to_owned()),
    ]);
    if let Some(finished) = before.finished {
        set_phase(ctx, "done");
        return Ok(Refreshed::Finished(Box::new(finished)));
    }
    let mut result = ResyncResult {
        operation_id: operation.operation_id.clone(),
        entities_before: before.objects,
        known_before: before.known,
        ..ResyncResult::default()
    };

    trigger(ctx, request, operation, begun).await?;
    let job = watch(ctx, &options, operation, begun).await?;
    job::judge(&job, &result, request.rebuild_raw_store)?;
    result.sync_job_id.clone_from(&job.sync_job_id);
    result.job = Some(job);

    gate::pass(ctx).await?;
    set_phase(ctx, "validate");
    // What is missing is told, not refused: a resync without a rebuild need not have captured everything.
    let input = ValidateRawStoreInput { slot: Some(operation.clone()), allow_incomplete: true };
    let listing = step::long("list the raw store and compare it with the platform".to_owned());
    let validated = ctx.execute_activity(Steps::validate_raw_store, input, listing).await?;
    result.entities_after = validated.listed;
    result.known_after = validated.known;
    result.missing = validated.missing;
    result.missing_sample = validated.missing_sample;
    result.gaps = validated.gaps;

    let input = FollowedSlotsInput {
        organization_id: operation.organization_id.clone(),
        sync_id: operation.sync_id.clone(),
        operation_id: operation.operation_id.clone(),
    };
    let listed = step::short("list the slots that are kept fresh");
    let slots = ctx.execute_activity(Steps::followed_slots, input, listed).await?.slots;
    Ok(Refreshed::Fresh(Box::new(Carried {
        operation: operation.clone(),
        started_ms,
        result,
        slots,
        ..Carried::default()
    })))
}

/// Has the job started. Bounded: whoever asked must not wait for ever for a platform that is away.
async fn trigger(ctx: &Context, request: &ResyncRequest, operation: &SlotRef, begun: &mut Begun) -> Result<(), Stop> {
    let options = request.options.unwrap_or_default();
    gate::pass(ctx).await?;
    set_phase(ctx, "trigger");
    let away = seconds(options.away_limit_seconds, AWAY_SECONDS);
    let limit = away + Duration::from_secs(options.wait_seconds.into());
    begun.job = true;
    let input = TriggerResyncInput { request: Some(request.clone()), operation_id: operation.operation_id.clone() };
    let patient = step::afterwards("make the platform start a job", limit);
    match ctx.execute_activity(Steps::trigger_resync, input, patient).await.map_err(Stop::from) {
        Ok(job) => {
            show(ctx, &job);
            Ok(())
        }
        Err(Stop::Failed { kind: ErrorKind::Timeout, message }) => Err(Stop::failed(
            ErrorKind::Timeout,
            format!("the platform was not brought to start a job within {} s ({message})", limit.as_secs()),
        )),
        Err(stop) => Err(stop),
    }
}

/// Looks at the job until it has ended.
async fn watch(
    ctx: &Context,
    options: &ResyncOptions,
    operation: &SlotRef,
    begun: &mut Begun,
) -> Result<PlatformJob, Stop> {
    let limit = seconds(options.job_limit_seconds, LONGEST_JOB_SECONDS);
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let since_ms = progress::millis(ctx.workflow_time());
    set_phase(ctx, "watch");
    loop {
        gate::pass(ctx).await?;
        let watched_ms = progress::millis(ctx.workflow_time()).saturating_sub(since_ms);
        if watched_ms >= limit_ms {
            begun.job = false;
            let id = ctx.state(|state| state.controls.progress.platform_job.clone().unwrap_or_default().sync_job_id);
            return Err(Stop::failed(
                ErrorKind::Timeout,
                format!(
                    "job {id} of the platform has not ended within {} s. It goes on, and nothing was changed here; \
                     resync again with a longer job_limit_seconds when it has ended, or cancel it at the platform",
                    limit.as_secs()
                ),
            ));
        }
        let input = WatchResyncInput {
            organization_id: operation.organization_id.clone(),
            sync_id: operation.sync_id.clone(),
            operation_id: operation.operation_id.clone(),
            known_status: ctx.state(|state| state.controls.progress.platform_job.clone().unwrap_or_default().status),
            patience_ms: job::patience_ms(watched_ms).min(limit_ms - watched_ms),
        };
        let look = step::long("look at the platform's job".to_owned());
        let job = ctx.execute_activity(Steps::watch_resync, input, look).await?;
        show(ctx, &job);
        if job::has_ended(&job) {
            begun.job = false;
            return Ok(job);
        }
    }
}

fn show(ctx: &Context, job: &PlatformJob) {
    ctx.state_mut(|state| state.controls.progress.platform_job = Some(job.clone()));
    publish(ctx);
}

/// Ends the job of this operation, if there is one, and says what could not be ended.
async fn cancel_job(ctx: &Context, operation: &SlotRef, stop: Stop) -> Stop {
    set_phase(ctx, "undo");
    let asked = ctx.state(ResyncWorkflow::read_input).ok().and_then(|(request, _)| request.options);
    let limit = seconds(asked.unwrap_or_default().cancel_limit_seconds, CANCEL_SECONDS);
    let input = CancelResyncInput {
        organization_id: operation.organization_id.clone(),
        sync_id: operation.sync_id.clone(),
        operation_id: operation.operation_id.clone(),
    };
    let options = step::undo("undo: cancel the platform's job", limit);
    let left = match ctx.execute_activity(Steps::cancel_resync, input, options).await.map_err(Stop::from) {
        Ok(cancelled) => {
            if let Some(job) = cancelled.job {
                show(ctx, &job);
            }
            return stop;
        }
        Err(Stop::Failed { kind, message }) => (kind, message),
        // The token is detached, so this is a step that somebody cancelled by hand.
        Err(Stop::Cancelled | Stop::ContinueAsNew(_)) => (ErrorKind::Conflict, "that was cancelled".to_owned()),
    };
    let words = format!("the platform's job may go on ({}): look at it there", left.1);
    match stop {
        Stop::Failed { kind, message } => Stop::failed(kind, format!("{message}; and {words}")),
        // Not told as cancelled: that would say that nothing is left.
        Stop::Cancelled | Stop::ContinueAsNew(_) => Stop::failed(left.0, format!("cancelled, but {words}")),
    }
}

/// Closes the record with the result.
async fn complete(ctx: &Context, carried: Carried) -> Result<ResyncResult, Stop> {
    let Carried { operation, mut result, started_ms, .. } = carried;
    result.duration_ms = progress::millis(ctx.workflow_time()).saturating_sub(started_ms);
    let input = EndOperationInput {
        outcome: "completed".to_owned(),
        result_json: serde_json::to_string(&result)
            .map_err(|error| Stop::failed(ErrorKind::Internal, error.to_string()))?,
        ..end_of(&operation)
    };
    // Detached: what is done is done even when a cancellation arrives now.
    ctx.execute_activity(Steps::end_operation, input, step::detached("close the record")).await?;
    let handlers = ctx.clone();
    // A handler that still runs would be cut off by the end of the workflow; a cancellation need not wait for it.
    let _ = ctx.wait_condition(move |_| handlers.all_handlers_finished()).await;
    set_phase(ctx, "done");
    Ok(result)
}

async fn close_record(ctx: &Context, operation: &SlotRef, stop: &Stop) {
    let (outcome, error_kind, error_message) = match stop {
        Stop::Failed { kind, message } => ("failed", kind.name(), message.as_str()),
        Stop::Cancelled | Stop::ContinueAsNew(_) => ("cancelled", "", ""),
    };
    let input = EndOperationInput {
        outcome: outcome.to_owned(),
        error_kind: error_kind.to_owned(),
        error_message: error_message.to_owned(),
        ..end_of(operation)
    };
    if let Err(error) = ctx.execute_activity(Steps::end_operation, input, step::detached("close the record")).await
        && !ctx.is_replaying()
    {
        tracing::warn!(%error, "the operation's record could not be closed");
    }
}

fn end_of(operation: &SlotRef) -> EndOperationInput {
    EndOperationInput {
        organization_id: operation.organization_id.clone(),
        operation_id: operation.operation_id.clone(),
        ..EndOperationInput::default()
    }
}

fn seconds(asked: u32, default: u32) -> Duration {
    Duration::from_secs(if asked == 0 { default } else { asked }.into())
}
