//! Whole collections: what people search is a collection, and roles belong to syncs.

use std::sync::Arc;

use activities::database::operations::{NewCollectionOperation, OperationKind};
use activities::database::{collection, platform};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use proto::v1::{ForkCollectionRequest, ForkCollectionResult, Profile, SwitchRequest, SwitchResult};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use workflows::{collection_switch_workflow_id, fork_collection_workflow_id};

use super::Api;
use super::caller::Caller;
use super::extract::{Body, Ids, NewOperation, text};
use super::fork::{ForkSettings, within};
use super::problem::Problem;
use super::started::{Accepted, Begun, Links, Record, ended, options};
use super::switch::{DryRun, check_ranges, needs_reason};
use crate::temporal;

/// The collection of a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct CollectionPath {
    /// The collection, by its UUID
    collection_id: Uuid,
}

/// A fork of every sync of a collection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForkCollectionBody {
    /// A connection of type DESTINATION that the organization may use.
    destination_connection_id: Uuid,
    /// How each slot is built; left out, the deployment's default profile.
    #[schema(value_type = Option<Object>)]
    profile: Option<Profile>,
    /// How each fork goes about it.
    options: Option<ForkSettings>,
    /// Syncs forked at a time; left out, 2.
    #[schema(minimum = 1, maximum = 16)]
    concurrency: Option<u32>,
}

/// A switch of every sync of a collection, in one transaction.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SwitchCollectionBody {
    /// The connection whose slots are meant, when a sync has more than one ready shadow.
    destination_connection_id: Option<Uuid>,
    /// Why, for the audit trail; a rollback and force want one.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// Seconds that the slots which are left are kept for a rollback; left out, 7 days.
    #[schema(minimum = 0, maximum = 7776000)]
    reverse_window_seconds: Option<u32>,
    /// Change nothing; answer with everything that is in the way.
    dry_run: bool,
    /// Go on although the last catch-up or its verification cannot be done.
    force: bool,
    /// Seconds from raising the fences to the flip; left out, 30.
    #[schema(minimum = 1, maximum = 600)]
    time_limit_seconds: Option<u32>,
    /// Seconds to wait for jobs of the platform; left out, 600.
    #[schema(minimum = 0, maximum = 7200)]
    job_wait_seconds: Option<u32>,
}

/// An operation on a collection that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CollectionBegun {
    /// `forking`, `switching`, or `done` when it is done already.
    status: &'static str,
    collection_id: Uuid,
    #[serde(flatten)]
    operation: Begun,
}

/// Fork every sync of a collection to one connection, some at a time. A sync that fails stops none of the others.
#[utoipa::path(post, path = "/fork", tag = "collections", params(CollectionPath), request_body = ForkCollectionBody,
    responses((status = 202, body = CollectionBegun)))]
pub(super) async fn fork(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(operation_id): NewOperation,
    Ids(path): Ids<CollectionPath>,
    Body(body): Body<ForkCollectionBody>,
) -> Result<Accepted<CollectionBegun>, Problem> {
    within("concurrency", body.concurrency, 1..=16)?;
    let organization_id = caller.organization_id;
    collection::syncs(&api.database, organization_id, path.collection_id).await?;
    let connection =
        platform::destination_connection(&api.database, organization_id, body.destination_connection_id).await?;
    let profile = api.profiles.choose(body.profile, &connection, &caller)?;
    let request = ForkCollectionRequest {
        organization_id: organization_id.to_string(),
        collection_id: path.collection_id.to_string(),
        destination_connection_id: body.destination_connection_id.to_string(),
        profile: Some(profile),
        options: Some(body.options.unwrap_or_default().options(true)?),
        concurrency: body.concurrency.unwrap_or_default(),
        operation_id: operation_id.to_string(),
        requested_by: caller.requested_by(),
    };
    let client = api.client().await?;
    let workflow_id = fork_collection_workflow_id(&request.collection_id, &request.destination_connection_id);
    let started = temporal::start_fork_collection(&client, &api.temporal.task_queue, &request).await.map(|_| ());
    let handle = api.begun(started, &caller, operation_id, &workflow_id).await?;
    api.record(Record::Collection(NewCollectionOperation {
        operation_id,
        organization_id,
        collection_id: path.collection_id,
        kind: OperationKind::Fork,
        workflow_id: workflow_id.clone(),
        run_id: String::new(),
        requested_by: request.requested_by.clone(),
        options: options(&request)?,
        phase: "fork".to_owned(),
    }))
    .await;
    let done = api.early_end(&caller, operation_id, ended::<ForkCollectionResult>(&handle)).await?;
    let operation = Begun::new(operation_id, workflow_id);
    let location = operation.links.operation.clone();
    let status = if done.is_some() { "done" } else { "forking" };
    Ok(Accepted(CollectionBegun { status, collection_id: path.collection_id, operation }, location))
}

/// Switch every sync of a collection to its ready shadow: all change in one transaction, or none does.
#[utoipa::path(post, path = "/switch", tag = "collections", params(CollectionPath),
    request_body = Option<SwitchCollectionBody>,
    responses((status = 202, body = CollectionBegun), (status = 200, description = "Of a dry run", body = DryRun)))]
pub(super) async fn switch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(operation_id): NewOperation,
    Ids(path): Ids<CollectionPath>,
    Body(body): Body<SwitchCollectionBody>,
) -> Result<Response, Problem> {
    start(&api, &caller, operation_id, path.collection_id, body, false).await
}

/// Roll every sync of a collection back to where its last switch came from, in one transaction.
#[utoipa::path(post, path = "/rollback", tag = "collections", params(CollectionPath),
    request_body = SwitchCollectionBody,
    responses((status = 202, body = CollectionBegun), (status = 200, description = "Of a dry run", body = DryRun)))]
pub(super) async fn rollback(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(operation_id): NewOperation,
    Ids(path): Ids<CollectionPath>,
    Body(body): Body<SwitchCollectionBody>,
) -> Result<Response, Problem> {
    start(&api, &caller, operation_id, path.collection_id, body, true).await
}

async fn start(
    api: &Api,
    caller: &Caller,
    operation_id: Uuid,
    collection_id: Uuid,
    body: SwitchCollectionBody,
    rollback: bool,
) -> Result<Response, Problem> {
    check_ranges(body.reverse_window_seconds, body.time_limit_seconds, body.job_wait_seconds)?;
    let reason = text("reason", body.reason)?;
    needs_reason(rollback || body.force, &reason)?;
    collection::syncs(&api.database, caller.organization_id, collection_id).await?;
    let request = SwitchRequest {
        organization_id: caller.organization_id.to_string(),
        operation_id: operation_id.to_string(),
        requested_by: caller.requested_by(),
        reason,
        reverse_window_seconds: body.reverse_window_seconds,
        rollback,
        dry_run: body.dry_run,
        force: body.force,
        time_limit_seconds: body.time_limit_seconds.unwrap_or_default(),
        job_wait_seconds: body.job_wait_seconds,
        collection_id: collection_id.to_string(),
        destination_connection_id: body.destination_connection_id.map(|id| id.to_string()).unwrap_or_default(),
        ..SwitchRequest::default()
    };
    let client = api.client().await?;
    let workflow_id = collection_switch_workflow_id(&request.collection_id);
    let started = temporal::start_switch(&client, &api.temporal.task_queue, &request).await.map(|_| ());
    let handle = api.begun(started, caller, operation_id, &workflow_id).await?;
    if request.dry_run {
        let found = ended::<SwitchResult>(&handle).await?;
        return Ok(Json(DryRun::new(found.blockers, found.waits_for)).into_response());
    }
    let done = api.early_end(caller, operation_id, ended::<SwitchResult>(&handle)).await?;
    // Only its workflow can record it: each sync has an operation of its own, and together they are those of the collection.
    let operation = format!("/operations?collection_id={collection_id}");
    let operation = Begun { operation_id, workflow_id, links: Links { operation, events: None } };
    let location = operation.links.operation.clone();
    let status = if done.is_some() { "done" } else { "switching" };
    Ok(Accepted(CollectionBegun { status, collection_id, operation }, location).into_response())
}
