//! Switching a sync to another slot, and rolling back.

use std::sync::Arc;

use activities::database::operations::{NewOperation as NewRecord, OperationKind};
use activities::database::{platform, roles, slots};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use proto::v1::{SwitchRequest, SwitchResult};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use workflows::switch_workflow_id;

use super::Api;
use super::caller::Caller;
use super::destinations::{SlotPath, SyncPath};
use super::extract::{Body, Ids, NewOperation, text};
use super::fork::within;
use super::problem::Problem;
use super::started::{Accepted, Begun, Record, ended, options};
use crate::temporal;

/// The longest reverse window, in seconds: 90 days.
pub(super) const MAX_WINDOW_SECONDS: u32 = 7_776_000;

/// How a switch is to be made; everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SwitchBody {
    /// Refuse unless this slot is the active one now.
    expected_active_slot_id: Option<Uuid>,
    /// Refuse unless the sync is at this generation now.
    expected_generation: Option<u64>,
    /// Why, for the audit trail.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// Seconds that the slot which is left is kept for a rollback; left out, 7 days.
    #[schema(minimum = 0, maximum = 7776000)]
    reverse_window_seconds: Option<u32>,
    /// Change nothing; answer with everything that is in the way.
    dry_run: bool,
    /// Go on although the last catch-up or its verification cannot be done; wants a reason.
    force: bool,
    /// Seconds from raising the fence to the flip; left out, 30.
    #[schema(minimum = 1, maximum = 600)]
    time_limit_seconds: Option<u32>,
    /// Seconds to wait for jobs of the platform; left out, 600.
    #[schema(minimum = 0, maximum = 7200)]
    job_wait_seconds: Option<u32>,
}

/// A rollback that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackBody {
    /// Why, for the audit trail.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// The slot to go back to; left out, the one that was active before the last switch.
    slot_id: Option<Uuid>,
    /// As of a switch, for the slot that is left.
    #[schema(minimum = 0, maximum = 7776000)]
    reverse_window_seconds: Option<u32>,
    /// As of a switch.
    #[serde(default)]
    dry_run: bool,
    /// As of a switch.
    #[serde(default)]
    force: bool,
    /// As of a switch.
    #[schema(minimum = 1, maximum = 600)]
    time_limit_seconds: Option<u32>,
    /// As of a switch.
    #[schema(minimum = 0, maximum = 7200)]
    job_wait_seconds: Option<u32>,
}

/// A switch that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Switched {
    /// `switched` when it is done already, otherwise `switching`.
    status: &'static str,
    new_active_slot_id: Uuid,
    /// The slot that is left; absent when none was active.
    previous_active_slot_id: Option<Uuid>,
    /// The generation that it made, when it is done.
    generation: Option<u64>,
    /// Until when the slot that is left is kept for a rollback, when it is done.
    kept_until: Option<DateTime<Utc>>,
    #[serde(flatten)]
    operation: Begun,
}

/// What a dry run found. Nothing was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRun {
    /// Everything in the way; empty when it can be done.
    pub(super) blockers: Vec<Blocker>,
    /// What would be waited for, in words.
    pub(super) waits_for: Vec<String>,
}

/// One thing in the way.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Blocker {
    /// Name of the error kind.
    kind: String,
    message: String,
    /// What to do.
    next_step: String,
}

impl DryRun {
    pub(super) fn new(blockers: Vec<proto::v1::Blocker>, waits_for: Vec<String>) -> Self {
        let blockers =
            blockers.into_iter().map(|it| Blocker { kind: it.kind, message: it.message, next_step: it.next_step });
        Self { blockers: blockers.collect(), waits_for }
    }
}

/// Promote a ready slot; the active one becomes deprecated and is kept for a rollback. With `dry_run` nothing is changed.
#[utoipa::path(post, path = "/destinations/{slot_id}/switch", tag = "destinations", params(SlotPath),
    request_body = Option<SwitchBody>,
    responses((status = 202, body = Switched), (status = 200, description = "Of a dry run", body = DryRun)))]
pub(super) async fn switch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(operation_id): NewOperation,
    Ids(path): Ids<SlotPath>,
    Body(body): Body<SwitchBody>,
) -> Result<Response, Problem> {
    check_ranges(body.reverse_window_seconds, body.time_limit_seconds, body.job_wait_seconds)?;
    let request = SwitchRequest {
        expected_active_slot_id: body.expected_active_slot_id.map(|id| id.to_string()).unwrap_or_default(),
        expected_generation: body.expected_generation,
        reason: text("reason", body.reason)?,
        reverse_window_seconds: body.reverse_window_seconds,
        dry_run: body.dry_run,
        force: body.force,
        time_limit_seconds: body.time_limit_seconds.unwrap_or_default(),
        job_wait_seconds: body.job_wait_seconds,
        ..SwitchRequest::default()
    };
    needs_reason(request.force, &request.reason)?;
    slots::get(&api.database, &path.scope(&caller)).await?;
    start(&api, &caller, operation_id, path.sync_id, path.slot_id, request).await
}

/// Go back to a slot that was active before. What was written since is carried over first, so nothing is lost.
#[utoipa::path(post, path = "/rollback", tag = "destinations", params(SyncPath), request_body = RollbackBody,
    responses((status = 202, body = Switched), (status = 200, description = "Of a dry run", body = DryRun)))]
pub(super) async fn rollback(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(operation_id): NewOperation,
    Ids(path): Ids<SyncPath>,
    Body(body): Body<RollbackBody>,
) -> Result<Response, Problem> {
    check_ranges(body.reverse_window_seconds, body.time_limit_seconds, body.job_wait_seconds)?;
    let request = SwitchRequest {
        rollback: true,
        reason: text("reason", Some(body.reason))?,
        reverse_window_seconds: body.reverse_window_seconds,
        dry_run: body.dry_run,
        force: body.force,
        time_limit_seconds: body.time_limit_seconds.unwrap_or_default(),
        job_wait_seconds: body.job_wait_seconds,
        ..SwitchRequest::default()
    };
    needs_reason(true, &request.reason)?;
    platform::sync(&api.database, caller.organization_id, path.sync_id).await?;
    let slot_id = match body.slot_id {
        Some(slot_id) => slot_id,
        None => roles::predecessor(&api.database, caller.organization_id, path.sync_id).await?.slot_id,
    };
    slots::get(&api.database, &SlotPath { sync_id: path.sync_id, slot_id }.scope(&caller)).await?;
    start(&api, &caller, operation_id, path.sync_id, slot_id, request).await
}

/// Refuses what no switch takes.
pub(super) fn check_ranges(
    reverse_window: Option<u32>,
    time_limit: Option<u32>,
    job_wait: Option<u32>,
) -> Result<(), Problem> {
    within("reverse_window_seconds", reverse_window, 0..=MAX_WINDOW_SECONDS)?;
    within("time_limit_seconds", time_limit, 1..=600)?;
    within("job_wait_seconds", job_wait, 0..=7200)
}

/// Refuses force without words for the audit trail.
pub(super) fn needs_reason(wanted: bool, reason: &str) -> Result<(), Problem> {
    if wanted && reason.trim().is_empty() {
        return Err(Problem::field("reason", "is needed, for the audit trail"));
    }
    Ok(())
}

/// Starts the switch of one sync to a slot that it has.
async fn start(
    api: &Api,
    caller: &Caller,
    operation_id: Uuid,
    sync_id: Uuid,
    slot_id: Uuid,
    request: SwitchRequest,
) -> Result<Response, Problem> {
    let organization_id = caller.organization_id;
    let request = SwitchRequest {
        organization_id: organization_id.to_string(),
        sync_id: sync_id.to_string(),
        target_slot_id: slot_id.to_string(),
        operation_id: operation_id.to_string(),
        requested_by: caller.requested_by(),
        ..request
    };
    let before = slots::list(&api.database, organization_id, sync_id).await?;
    let before = before.into_iter().find(|slot| slot.role == Some(slots::Role::Active)).map(|slot| slot.slot_id);
    let client = api.client().await?;
    let workflow_id = switch_workflow_id(&request.sync_id);
    let started = temporal::start_switch(&client, &api.temporal.task_queue, &request).await.map(|_| ());
    let handle = api.begun(started, caller, operation_id, &workflow_id).await?;
    if request.dry_run {
        let found = ended::<SwitchResult>(&handle).await?;
        return Ok(Json(DryRun::new(found.blockers, found.waits_for)).into_response());
    }
    api.record(Record::Sync(NewRecord {
        operation_id,
        organization_id,
        sync_id,
        slot_id: Some(slot_id),
        kind: if request.rollback { OperationKind::Rollback } else { OperationKind::Switch },
        workflow_id: workflow_id.clone(),
        run_id: String::new(),
        requested_by: request.requested_by.clone(),
        options: options(&request)?,
        phase: "check".to_owned(),
    }))
    .await;
    let done = api.early_end(caller, operation_id, ended::<SwitchResult>(&handle)).await?;
    let operation = Begun::new(operation_id, workflow_id);
    let location = operation.links.operation.clone();
    Ok(Accepted(switched(done, slot_id, before, operation), location).into_response())
}

fn switched(done: Option<SwitchResult>, slot_id: Uuid, before: Option<Uuid>, operation: Begun) -> Switched {
    let previous = done.as_ref().map_or(before, |done| Uuid::try_parse(&done.previous_active_slot_id).ok());
    Switched {
        status: if done.is_some() { "switched" } else { "switching" },
        new_active_slot_id: slot_id,
        previous_active_slot_id: previous,
        generation: done.as_ref().map(|done| done.generation),
        kept_until: done.as_ref().and_then(|done| DateTime::parse_from_rfc3339(&done.kept_until).ok()).map(Into::into),
        operation,
    }
}
