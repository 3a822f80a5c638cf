//! `begin_resync`: validates a resync, opens the operation's record and counts what is there. Changes nothing else.

use proto::v1::{BeginResyncInput, BeginResyncOutput, ResyncOptions, ResyncResult};
use uuid::Uuid;

use super::resync_job::occupied;
use crate::context::Context;
use crate::database::operations::{self, NewOperation, OperationKind, OperationState};
use crate::database::resyncs::{self, ResyncScope};
use crate::database::{platform, sync_jobs};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::raw_store::entity_file_name;

/// The longest a resync may wait for a job, in seconds: as long as the platform lets one run.
const MAX_WAIT: u32 = 7 * 24 * 3600;

pub(crate) async fn run(context: &Context, input: BeginResyncInput) -> Result<BeginResyncOutput> {
    let request = input.request.unwrap_or_default();
    let scope = ResyncScope {
        organization_id: ids::uuid("organization_id", &request.organization_id)?,
        sync_id: ids::uuid("sync_id", &request.sync_id)?,
        operation_id: ids::uuid("operation_id", &input.operation_id)?,
    };
    let ResyncScope { organization_id, sync_id, operation_id } = scope;
    let options = request.options.unwrap_or_default();
    validate(&options)?;
    let database = &context.database;
    platform::sync(database, organization_id, sync_id).await?;
    // What is in the way is found before there is a record: a request that is refused is no operation.
    let counted = match resyncs::find(database, &scope).await? {
        Some(begun) => (begun.objects_before, begun.known_before),
        None => {
            look_ahead(context, &scope, request.rebuild_raw_store, options.wait_seconds).await?;
            count(context, organization_id, sync_id).await?
        }
    };
    let recorded = operations::begin(
        database,
        &NewOperation {
            operation_id,
            organization_id,
            sync_id,
            slot_id: None,
            kind: OperationKind::Resync,
            workflow_id: input.workflow_id,
            run_id: input.run_id,
            requested_by: request.requested_by.clone(),
            options: serde_json::to_value(&request).map_err(|error| {
                Error::new(ErrorKind::Internal, "the request cannot be written as JSON").with_source(error)
            })?,
            phase: "begin".to_owned(),
        },
    )
    .await?;
    // One id is one operation, and it ends once.
    if matches!(recorded.state, OperationState::Failed | OperationState::Cancelled) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("operation {operation_id} ended before ({}): try again under a new operation id", recorded.state),
        ));
    }
    if let Some(result) = recorded.result {
        return Ok(BeginResyncOutput { finished: Some(finished(result)?), ..BeginResyncOutput::default() });
    }
    let begun = resyncs::open(database, &scope, request.rebuild_raw_store, counted.0, counted.1).await?;
    Ok(BeginResyncOutput { finished: None, objects: begun.objects_before, known: begun.known_before })
}

/// Looks for what is in the way.
async fn look_ahead(context: &Context, scope: &ResyncScope, rebuild: bool, wait_seconds: u32) -> Result<()> {
    let ResyncScope { organization_id, sync_id, .. } = *scope;
    let database = &context.database;
    context.platform_api()?;
    platform::source_connection(database, organization_id, sync_id).await?;
    if rebuild {
        sync_jobs::configuration_form(database).await?;
    }
    resyncs::require_no_fence(database, organization_id, sync_id).await?;
    match resyncs::active_job(database, organization_id, sync_id).await? {
        Some(job) if wait_seconds == 0 => Err(occupied(&job)),
        _ => Ok(()),
    }
}

/// Objects in the raw store and entities of the platform. A raw store that is not there, or not readable, is what a
/// resync is for: it counts as empty.
async fn count(context: &Context, organization_id: Uuid, sync_id: Uuid) -> Result<(u64, u64)> {
    let listing = Box::pin(context.store.sync(sync_id).list());
    let database = &context.database;
    match platform::compare_with_listing(database, organization_id, sync_id, listing, entity_file_name).await {
        Ok(comparison) => Ok((comparison.listed, comparison.known_to_platform)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::RawStoreInvalid) => {
            Ok((0, platform::known_entities(database, organization_id, sync_id).await?))
        }
        Err(error) => Err(error),
    }
}

/// The recorded answer of a resync that completed before.
fn finished(result: serde_json::Value) -> Result<ResyncResult> {
    serde_json::from_value(result).map_err(|error| {
        Error::new(ErrorKind::Internal, "the operation's recorded result is not readable by this version")
            .with_source(error)
    })
}

fn validate(options: &ResyncOptions) -> Result<()> {
    if options.wait_seconds > MAX_WAIT {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("options.wait_seconds must be at most {MAX_WAIT} (7 days), got {}", options.wait_seconds),
        ));
    }
    Ok(())
}
