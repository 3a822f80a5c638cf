//! Removing a slot.

use std::sync::Arc;

use activities::database::operations::{NewOperation as NewRecord, OperationKind};
use activities::database::slots;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use proto::v1::{RetireRequest, RetireResult};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use workflows::retire_workflow_id;

use super::Api;
use super::caller::Caller;
use super::destinations::SlotPath;
use super::extract::{Body, Ids, NewOperation, text};
use super::problem::Problem;
use super::started::{Accepted, Begun, Record, ended, options};
use super::switch::{DryRun, needs_reason};
use crate::temporal;

/// How a slot is to be removed; everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetireBody {
    /// Although its reverse window is not over; wants a reason.
    force: bool,
    /// Why, for the audit trail.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// Change nothing; answer with everything that is in the way.
    dry_run: bool,
}

/// A retire that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Retiring {
    /// `retired` when the slot is gone already, otherwise `retiring`.
    status: &'static str,
    slot_id: Uuid,
    /// Points that went, when the slot is gone.
    points_removed: Option<u64>,
    #[serde(flatten)]
    operation: Begun,
}

/// Remove a deprecated slot, or a shadow that nobody wants, with its points and records. Never an active one.
#[utoipa::path(post, path = "/destinations/{slot_id}/retire", tag = "destinations", params(SlotPath),
    request_body = Option<RetireBody>,
    responses((status = 202, body = Retiring), (status = 200, description = "Of a dry run", body = DryRun)))]
pub(super) async fn retire(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(operation_id): NewOperation,
    Ids(path): Ids<SlotPath>,
    Body(body): Body<RetireBody>,
) -> Result<Response, Problem> {
    let reason = text("reason", body.reason)?;
    needs_reason(body.force, &reason)?;
    let organization_id = caller.organization_id;
    slots::get(&api.database, &path.scope(&caller)).await?;
    let request = RetireRequest {
        organization_id: organization_id.to_string(),
        sync_id: path.sync_id.to_string(),
        slot_id: path.slot_id.to_string(),
        force: body.force,
        operation_id: operation_id.to_string(),
        requested_by: caller.requested_by(),
        reason,
        dry_run: body.dry_run,
    };
    let client = api.client().await?;
    let workflow_id = retire_workflow_id(&request.slot_id);
    let started = temporal::start_retire(&client, &api.temporal.task_queue, &request).await.map(|_| ());
    let handle = api.begun(started, &caller, operation_id, &workflow_id).await?;
    if request.dry_run {
        let found = ended::<RetireResult>(&handle).await?;
        return Ok(Json(DryRun::new(found.blockers, Vec::new())).into_response());
    }
    api.record(Record::Sync(NewRecord {
        operation_id,
        organization_id,
        sync_id: path.sync_id,
        slot_id: Some(path.slot_id),
        kind: OperationKind::Retire,
        workflow_id: workflow_id.clone(),
        run_id: String::new(),
        requested_by: request.requested_by.clone(),
        options: options(&request)?,
        phase: "check".to_owned(),
    }))
    .await;
    let done = api.early_end(&caller, operation_id, ended::<RetireResult>(&handle)).await?;
    let operation = Begun::new(operation_id, workflow_id);
    let location = operation.links.operation.clone();
    let retiring = Retiring {
        status: if done.is_some() { "retired" } else { "retiring" },
        slot_id: path.slot_id,
        points_removed: done.map(|done| done.points_removed),
        operation,
    };
    Ok(Accepted(retiring, location).into_response())
}
