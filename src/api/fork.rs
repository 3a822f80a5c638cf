//! Forking a sync.

use std::ops::RangeInclusive;
use std::sync::Arc;

use activities::database::operations::{NewOperation as NewRecord, OperationKind};
use activities::database::{Role, platform, slots};
use axum::extract::State;
use chrono::{DateTime, Utc};
use proto::v1::{ForkOptions, ForkRequest, ForkResult, Profile};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use workflows::domain::ErrorKind;
use workflows::fork_workflow_id;

use super::Api;
use super::caller::Caller;
use super::destinations::{self, SyncPath};
use super::extract::{Body, Ids, NewOperation};
use super::problem::Problem;
use super::started::{Accepted, Begun, Record, ended, options};
use crate::temporal;

/// A fork that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForkBody {
    /// A connection of type DESTINATION that the organization may use.
    destination_connection_id: Uuid,
    /// Fill the slot from the raw store. Without it the slot is created and prepared; a later fork fills it.
    #[serde(default)]
    replay_from_arf: bool,
    /// How the slot is built, as in a profile file (`proto/sync_multiplexer/v1/profile.proto`). Left out: the deployment's
    /// default profile.
    #[schema(value_type = Option<Object>)]
    profile: Option<Profile>,
    /// How the fork goes about it.
    options: Option<ForkSettings>,
}

/// How a fork goes about it; what is left out is as the command line does it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ForkSettings {
    /// Go on although the platform knows entities that the raw store lacks.
    allow_incomplete: bool,
    /// Segments worked on at a time.
    #[schema(minimum = 1, maximum = 64)]
    lanes: Option<u32>,
    /// Entities written and checkpointed as one batch.
    #[schema(minimum = 1, maximum = 1000)]
    batch_entities: Option<u32>,
    /// Entities that may end as dead letters; left out, 10 or 1 %, whichever is more.
    dead_letter_budget: Option<u32>,
    /// Percent of a slot's entities that may be gone from the raw store.
    #[schema(minimum = 0, maximum = 100)]
    max_drop_percent: Option<u32>,
    /// As many entities may be gone in any case: the number that a refused fork named.
    confirm_drop: Option<u64>,
}

impl ForkSettings {
    pub(super) fn options(&self, replay: bool) -> Result<ForkOptions, Problem> {
        within("options.lanes", self.lanes, 1..=64)?;
        within("options.batch_entities", self.batch_entities, 1..=1000)?;
        within("options.max_drop_percent", self.max_drop_percent, 0..=100)?;
        Ok(ForkOptions {
            without_replay: !replay,
            allow_incomplete: self.allow_incomplete,
            lanes: self.lanes.unwrap_or_default(),
            batch_entities: self.batch_entities.unwrap_or_default(),
            dead_letter_budget: self.dead_letter_budget,
            max_drop_percent: self.max_drop_percent,
            confirm_drop: self.confirm_drop.unwrap_or_default(),
            ..ForkOptions::default()
        })
    }
}

/// Refuses a number out of its range.
pub(super) fn within(field: &str, given: Option<u32>, range: RangeInclusive<u32>) -> Result<(), Problem> {
    match given {
        Some(number) if !range.contains(&number) => {
            let words = format!("must be between {} and {}, got {number}", range.start(), range.end());
            Err(Problem::field(field, words))
        }
        _ => Ok(()),
    }
}

/// A fork that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Forked {
    /// The slot's row, once it is made: within the answer when the workers are quick, else see the operation.
    slot: Option<SyncConnection>,
    /// The operation, when it fills the slot.
    replay_job_id: Option<Uuid>,
    /// `running` or `completed`.
    replay_job_status: Option<&'static str>,
    #[serde(flatten)]
    operation: Begun,
}

/// A row of the platform's `sync_connection`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SyncConnection {
    id: Uuid,
    sync_id: Uuid,
    connection_id: Uuid,
    role: Option<destinations::Role>,
    created_at: DateTime<Utc>,
    modified_at: Option<DateTime<Utc>>,
}

/// Add a shadow to a sync and fill it from the raw store. Repeated with the same profile it goes on from its checkpoints.
#[utoipa::path(post, path = "/destinations/fork", tag = "destinations", params(SyncPath), request_body = ForkBody,
    responses((status = 202, body = Forked)))]
pub(super) async fn fork(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(operation_id): NewOperation,
    Ids(path): Ids<SyncPath>,
    Body(body): Body<ForkBody>,
) -> Result<Accepted<Forked>, Problem> {
    let (organization_id, connection_id) = (caller.organization_id, body.destination_connection_id);
    platform::sync(&api.database, organization_id, path.sync_id).await?;
    let connection = platform::destination_connection(&api.database, organization_id, connection_id).await?;
    let profile = api.profiles.choose(body.profile, &connection, &caller)?;
    let settings = body.options.unwrap_or_default();
    let fork_options = settings.options(body.replay_from_arf)?;
    let existing = find(&api, &caller, path.sync_id, connection_id).await?;
    if existing.as_ref().is_some_and(|slot| slot.role == Some(Role::Active)) {
        return Err(Problem::new(
            ErrorKind::Conflict,
            format!("Destination {connection_id} already exists for sync {}: it is the active one", path.sync_id),
        ));
    }

    let request = ForkRequest {
        organization_id: organization_id.to_string(),
        sync_id: path.sync_id.to_string(),
        destination_connection_id: connection_id.to_string(),
        profile: Some(profile),
        options: Some(fork_options),
        operation_id: operation_id.to_string(),
        requested_by: caller.requested_by(),
    };
    let client = api.client().await?;
    let workflow_id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);
    let started = temporal::start_fork(&client, &api.temporal.task_queue, &request).await.map(|_| ());
    let handle = api.begun(started, &caller, operation_id, &workflow_id).await?;
    api.record(Record::Sync(NewRecord {
        operation_id,
        organization_id,
        sync_id: path.sync_id,
        slot_id: None,
        kind: OperationKind::Fork,
        workflow_id: workflow_id.clone(),
        run_id: String::new(),
        requested_by: request.requested_by.clone(),
        options: options(&request)?,
        phase: "begin".to_owned(),
    }))
    .await;
    let done = api.early_end(&caller, operation_id, ended::<ForkResult>(&handle)).await?;

    let slot = find(&api, &caller, path.sync_id, connection_id).await?;
    let replays = body.replay_from_arf;
    let operation = Begun::new(operation_id, workflow_id);
    let location = operation.links.operation.clone();
    let forked = Forked {
        slot: slot.map(|slot| SyncConnection {
            id: slot.slot_id,
            sync_id: slot.sync_id,
            connection_id: slot.connection_id,
            role: slot.role.map(destinations::role),
            created_at: slot.created_at,
            modified_at: None,
        }),
        replay_job_id: replays.then_some(operation_id),
        replay_job_status: replays.then_some(if done.is_some() { "completed" } else { "running" }),
        operation,
    };
    Ok(Accepted(forked, location))
}

async fn find(api: &Api, caller: &Caller, sync_id: Uuid, connection_id: Uuid) -> Result<Option<slots::Slot>, Problem> {
    Ok(slots::find_by_connection(&api.database, caller.organization_id, sync_id, connection_id).await?)
}
