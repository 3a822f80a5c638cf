//! `begin_fork`: validates the request and opens the operation's record. Changes nothing else.

use proto::v1::{BeginForkInput, BeginForkOutput, ForkOptions, ForkRequest, SlotRef};

use super::repeated;
use crate::context::Context;
use crate::database::operations::{self, NewOperation, OperationKind};
use crate::database::{SlotScope, platform, retire, slots};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::profile::CompleteProfile;
use crate::replay::{Feed, collection, destination};

/// Largest batch: what one transaction of a destination should hold.
const MAX_BATCH_ENTITIES: u32 = 1000;

pub(crate) async fn run(context: &Context, input: BeginForkInput) -> Result<BeginForkOutput> {
    let request = input.request.unwrap_or_default();
    let organization_id = ids::uuid("organization_id", &request.organization_id)?;
    let sync_id = ids::uuid("sync_id", &request.sync_id)?;
    let connection_id = ids::uuid("destination_connection_id", &request.destination_connection_id)?;
    let operation_id = ids::uuid("operation_id", &input.operation_id)?;
    validate_options(request.options.as_ref())?;

    let profile = CompleteProfile::new(request.profile.clone())?;
    // Opened now, so that a model or key the worker lacks is known before anything is made.
    Feed::open(context, &profile).await?;

    let sync = platform::sync(&context.database, organization_id, sync_id).await?;
    let collection_id = collection(&sync)?;
    let existing = slots::find_by_connection(&context.database, organization_id, sync_id, connection_id).await?;
    if let Some((slot_id, operation_id)) = existing.as_ref().and_then(|slot| Some((slot.slot_id, slot.retired_by?))) {
        return Err(retire::being_retired(slot_id, operation_id));
    }
    let slot_id = match existing {
        Some(slot) => slot.slot_id,
        None => ids::uuid("new_slot_id", &input.new_slot_id)?,
    };
    let scope = SlotScope { organization_id, sync_id, slot_id };
    // Reads the credentials and checks kind and layout; connects when it is looked whether the place is free.
    destination(context, scope, collection_id, connection_id, &profile).await?;

    let recorded = operations::begin(
        &context.database,
        &NewOperation {
            operation_id,
            organization_id,
            sync_id,
            slot_id: None,
            kind: OperationKind::Fork,
            workflow_id: input.workflow_id,
            run_id: input.run_id,
            requested_by: request.requested_by.clone(),
            options: options_for_people(&request)?,
            phase: "begin".to_owned(),
        },
    )
    .await?;
    let slot = SlotRef {
        organization_id: organization_id.to_string(),
        sync_id: sync_id.to_string(),
        slot_id: slot_id.to_string(),
        operation_id: operation_id.to_string(),
    };
    let finished = repeated::finished(recorded)?;
    Ok(BeginForkOutput { slot: Some(slot), destination_kind: profile.destination_kind().to_owned(), finished })
}

fn validate_options(options: Option<&ForkOptions>) -> Result<()> {
    let Some(options) = options else { return Ok(()) };
    if options.batch_entities > MAX_BATCH_ENTITIES {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("options.batch_entities must be at most {MAX_BATCH_ENTITIES}, got {}", options.batch_entities),
        ));
    }
    Ok(())
}

/// The request as JSON. It holds references and settings; secrets are in the platform's tables and our environment.
fn options_for_people(request: &ForkRequest) -> Result<serde_json::Value> {
    serde_json::to_value(request)
        .map_err(|error| Error::new(ErrorKind::Internal, "the request cannot be written as JSON").with_source(error))
}
