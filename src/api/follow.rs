//! Keeping the slots of a sync caught up.

use std::sync::Arc;

use activities::database::operations::{NewOperation as NewRecord, OperationKind};
use activities::database::platform;
use axum::extract::State;
use proto::v1::{FollowOptions, FollowRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workflows::follow_workflow_id;

use super::Api;
use super::caller::Caller;
use super::destinations::SyncPath;
use super::extract::{Body, Ids, NewOperation};
use super::fork::within;
use super::problem::Problem;
use super::started::{Accepted, Begun, Record, options};
use crate::temporal;

/// How slots are to be followed; everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FollowBody {
    /// Seconds between two rounds; left out, 30.
    #[schema(minimum = 1, maximum = 86400)]
    interval_seconds: Option<u32>,
    /// Segments worked on at a time.
    #[schema(minimum = 1, maximum = 64)]
    lanes: Option<u32>,
    /// Percent of a slot's entities that may be gone without a confirmation.
    #[schema(minimum = 0, maximum = 100)]
    max_drop_percent: Option<u32>,
    /// Believe that an entity is gone although the platform still knows it.
    allow_incomplete: bool,
    /// Dead letters that a slot may have.
    dead_letter_budget: Option<u32>,
}

/// A follow that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Followed {
    /// `following`.
    status: &'static str,
    #[serde(flatten)]
    operation: Begun,
}

/// Keep every slot that is not active caught up with the raw store. Forks and switches begin this by themselves; here it is
/// begun again after it was cancelled, or with other settings.
#[utoipa::path(post, path = "/follow", tag = "syncs", params(SyncPath), request_body = Option<FollowBody>,
    responses((status = 202, body = Followed)))]
pub(super) async fn follow(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(operation_id): NewOperation,
    Ids(path): Ids<SyncPath>,
    Body(body): Body<FollowBody>,
) -> Result<Accepted<Followed>, Problem> {
    within("interval_seconds", body.interval_seconds, 1..=86_400)?;
    within("lanes", body.lanes, 1..=64)?;
    within("max_drop_percent", body.max_drop_percent, 0..=100)?;
    let organization_id = caller.organization_id;
    platform::sync(&api.database, organization_id, path.sync_id).await?;
    let request = FollowRequest {
        organization_id: organization_id.to_string(),
        sync_id: path.sync_id.to_string(),
        interval_seconds: body.interval_seconds.unwrap_or_default(),
        options: Some(FollowOptions {
            lanes: body.lanes.unwrap_or_default(),
            max_drop_percent: body.max_drop_percent,
            allow_incomplete: body.allow_incomplete,
            dead_letter_budget: body.dead_letter_budget,
            ..FollowOptions::default()
        }),
        operation_id: operation_id.to_string(),
        requested_by: caller.requested_by(),
        wait_first: false,
    };
    let client = api.client().await?;
    let workflow_id = follow_workflow_id(&request.sync_id);
    let started = temporal::start_follow(&client, &api.temporal.task_queue, &request).await.map(|_| ());
    api.begun(started, &caller, operation_id, &workflow_id).await?;
    api.record(Record::Sync(NewRecord {
        operation_id,
        organization_id,
        sync_id: path.sync_id,
        slot_id: None,
        kind: OperationKind::Follow,
        workflow_id: workflow_id.clone(),
        run_id: String::new(),
        requested_by: request.requested_by.clone(),
        options: options(&request)?,
        phase: "begin".to_owned(),
    }))
    .await;
    let operation = Begun::new(operation_id, workflow_id);
    let location = operation.links.operation.clone();
    Ok(Accepted(Followed { status: "following", operation }, location))
}
