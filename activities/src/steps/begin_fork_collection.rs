//! `begin_fork_collection`: validates the request, lists the syncs of the collection and opens the operation's record.
//! Changes nothing else. What is wrong with one sync alone is for its own fork to say.

use proto::v1::{BeginForkCollectionInput, BeginForkCollectionOutput};

use super::repeated;
use crate::connections::kind_of;
use crate::context::Context;
use crate::database::operations::{self, NewCollectionOperation, OperationKind};
use crate::database::{collection, platform};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::profile::CompleteProfile;
use crate::replay::Feed;

pub(crate) async fn run(context: &Context, input: BeginForkCollectionInput) -> Result<BeginForkCollectionOutput> {
    let request = input.request.unwrap_or_default();
    let organization_id = ids::uuid("organization_id", &request.organization_id)?;
    let collection_id = ids::uuid("collection_id", &request.collection_id)?;
    let connection_id = ids::uuid("destination_connection_id", &request.destination_connection_id)?;
    let operation_id = ids::uuid("operation_id", &input.operation_id)?;

    let profile = CompleteProfile::new(request.profile.clone())?;
    Feed::open(context, &profile).await?;
    let syncs = collection::syncs(&context.database, organization_id, collection_id).await?;
    let connection = platform::destination_connection(&context.database, organization_id, connection_id).await?;
    if kind_of(&connection.short_name) != profile.destination_kind() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "connection {connection_id} is of kind {}, but the profile is for {}",
                connection.short_name,
                profile.destination_kind()
            ),
        ));
    }

    let recorded = operations::begin_for_collection(
        &context.database,
        &NewCollectionOperation {
            operation_id,
            organization_id,
            collection_id,
            kind: OperationKind::Fork,
            workflow_id: input.workflow_id,
            run_id: input.run_id,
            requested_by: request.requested_by.clone(),
            // It holds references and settings; secrets are in the platform's tables and our environment.
            options: serde_json::to_value(&request).map_err(|error| {
                Error::new(ErrorKind::Internal, "the request cannot be written as JSON").with_source(error)
            })?,
            phase: "fork".to_owned(),
        },
    )
    .await?;
    Ok(BeginForkCollectionOutput {
        sync_ids: syncs.iter().map(ToString::to_string).collect(),
        finished: repeated::finished(recorded)?,
    })
}
