//! Making the platform pull a sync again.

use std::sync::Arc;

use activities::database::operations::{NewOperation as NewRecord, OperationKind};
use activities::database::platform;
use activities::database::resyncs::{self, ResyncScope};
use activities::database::sync_jobs::{self, SyncJob as Row};
use axum::extract::State;
use chrono::{DateTime, Utc};
use proto::v1::{ResyncOptions, ResyncRequest, ResyncResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use workflows::resync_workflow_id;

use super::Api;
use super::caller::Caller;
use super::destinations::SyncPath;
use super::extract::{Body, Ids, NewOperation};
use super::fork::within;
use super::problem::Problem;
use super::started::{Accepted, Begun, Record, ended, options};
use crate::temporal;

/// Seven days, in seconds.
const WEEK_SECONDS: u32 = 604_800;

/// How a resync is to be made; everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ResyncBody {
    /// Capture every entity anew, also those that did not change.
    rebuild_raw_store: bool,
    /// Seconds to wait for a job of the platform that runs already; left out, a conflict at once.
    #[schema(minimum = 0, maximum = 604800)]
    wait_seconds: Option<u32>,
    /// Seconds that the job may take; left out, 7 days.
    #[schema(minimum = 1, maximum = 604800)]
    job_limit_seconds: Option<u32>,
    /// Percent of a slot's entities that may be gone from the raw store.
    #[schema(minimum = 0, maximum = 100)]
    max_drop_percent: Option<u32>,
    /// As many entities may be gone in any case.
    confirm_drop: Option<u64>,
}

/// A resync that was begun: the platform's job, as far as there is one yet, and the operation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Resynced {
    #[serde(flatten)]
    job: SyncJob,
    #[serde(flatten)]
    operation: Begun,
}

/// A job of the platform.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct SyncJob {
    /// Absent until the platform has answered; the operation knows it then.
    id: Option<Uuid>,
    sync_id: Uuid,
    organization_id: Uuid,
    sync_name: String,
    status: String,
    scheduled: bool,
    entities_inserted: u64,
    entities_updated: u64,
    entities_deleted: u64,
    entities_kept: u64,
    entities_skipped: u64,
    /// By class.
    #[schema(value_type = Object)]
    entities_encountered: Value,
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
    error: Option<String>,
    /// Never told here.
    #[schema(value_type = Option<String>)]
    access_token: (),
    #[schema(value_type = Option<String>)]
    created_by_email: (),
    #[schema(value_type = Option<String>)]
    modified_by_email: (),
    #[schema(value_type = Option<String>)]
    created_at: (),
    #[schema(value_type = Option<String>)]
    modified_at: (),
}

/// Make the platform pull the source again, so that the raw store is complete; then bring the slots up to it.
#[utoipa::path(post, path = "/resync", tag = "syncs", params(SyncPath), request_body = Option<ResyncBody>,
    responses((status = 202, body = Resynced)))]
pub(super) async fn resync(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(operation_id): NewOperation,
    Ids(path): Ids<SyncPath>,
    Body(body): Body<ResyncBody>,
) -> Result<Accepted<Resynced>, Problem> {
    within("wait_seconds", body.wait_seconds, 0..=WEEK_SECONDS)?;
    within("job_limit_seconds", body.job_limit_seconds, 1..=WEEK_SECONDS)?;
    within("max_drop_percent", body.max_drop_percent, 0..=100)?;
    let organization_id = caller.organization_id;
    let sync = platform::sync(&api.database, organization_id, path.sync_id).await?;
    platform::source_connection(&api.database, organization_id, path.sync_id).await?;
    let request = ResyncRequest {
        organization_id: organization_id.to_string(),
        sync_id: path.sync_id.to_string(),
        rebuild_raw_store: body.rebuild_raw_store,
        operation_id: operation_id.to_string(),
        requested_by: caller.requested_by(),
        options: Some(ResyncOptions {
            wait_seconds: body.wait_seconds.unwrap_or_default(),
            job_limit_seconds: body.job_limit_seconds.unwrap_or_default(),
            max_drop_percent: body.max_drop_percent,
            confirm_drop: body.confirm_drop.unwrap_or_default(),
            ..ResyncOptions::default()
        }),
    };
    let client = api.client().await?;
    let workflow_id = resync_workflow_id(&request.sync_id);
    let started = temporal::start_resync(&client, &api.temporal.task_queue, &request).await.map(|_| ());
    let handle = api.begun(started, &caller, operation_id, &workflow_id).await?;
    api.record(Record::Sync(NewRecord {
        operation_id,
        organization_id,
        sync_id: path.sync_id,
        slot_id: None,
        kind: OperationKind::Resync,
        workflow_id: workflow_id.clone(),
        run_id: String::new(),
        requested_by: request.requested_by.clone(),
        options: options(&request)?,
        phase: "begin".to_owned(),
    }))
    .await;
    api.early_end(&caller, operation_id, ended::<ResyncResult>(&handle)).await?;

    let scope = ResyncScope { organization_id, sync_id: path.sync_id, operation_id };
    let job_id = resyncs::find(&api.database, &scope).await?.and_then(|resync| resync.job_id);
    let row = match job_id {
        Some(job_id) => Some(sync_jobs::get(&api.database, organization_id, path.sync_id, job_id).await?),
        None => None,
    };
    let operation = Begun::new(operation_id, workflow_id);
    let location = operation.links.operation.clone();
    let unknown = SyncJob {
        sync_id: path.sync_id,
        organization_id,
        sync_name: sync.name,
        status: "pending".to_owned(),
        entities_encountered: Value::Object(serde_json::Map::new()),
        ..SyncJob::default()
    };
    Ok(Accepted(Resynced { job: with_row(unknown, row), operation }, location))
}

/// The job as its row says, or as little as is known without one.
fn with_row(unknown: SyncJob, row: Option<Row>) -> SyncJob {
    let Some(row) = row else { return unknown };
    let has_failed = row.status == sync_jobs::JobStatus::Failed;
    SyncJob {
        id: Some(row.job_id),
        status: row.status.as_str().to_owned(),
        scheduled: row.scheduled,
        entities_inserted: row.inserted,
        entities_updated: row.updated,
        entities_deleted: row.deleted,
        entities_kept: row.kept,
        entities_skipped: row.skipped,
        entities_encountered: row.encountered.map_or(unknown.entities_encountered, |it| it.0),
        started_at: row.started_at,
        completed_at: row.ended_at.filter(|_| !has_failed),
        failed_at: row.ended_at.filter(|_| has_failed),
        error: row.error,
        ..unknown
    }
}
