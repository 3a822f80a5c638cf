//! The record of requested operations.
//!
//! Temporal runs them and its workflow ids keep two of a kind apart; this is what can be listed and asked about, also after
//! Temporal forgot. The first outcome of an operation is its outcome. It is about one sync, or about a collection as a whole.
//!
//! A workflow that was terminated records no end. Then an onlooker does, who knows it from Temporal: [`end_terminated`]; or
//! the next operation with the same workflow id, when it begins. Such an end is a verdict from outside, and the workflow
//! itself knows better: when it is heard of again, because somebody reset it, the operation goes on.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::classify::During;
use super::text_enum::text_enum;
use super::{Database, collection, outbox, sync_lock, throttle};
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::metrics;

text_enum! {
    /// What was asked for.
    pub enum OperationKind {
        /// Add a shadow and fill it.
        Fork = "fork",
        /// Promote a ready slot.
        Switch = "switch",
        /// Promote the slot that was active before.
        Rollback = "rollback",
        /// Make the platform pull everything again.
        Resync = "resync",
        /// Compare a slot with the raw store.
        Verify = "verify",
        /// Remove a slot.
        Retire = "retire",
        /// Keep every slot that is not active caught up.
        Follow = "follow",
    }
}

text_enum! {
    /// How far an operation is.
    pub enum OperationState {
        /// Not ended, or its end was never recorded.
        Running = "running",
        /// Did what was asked.
        Completed = "completed",
        /// Ended with an error.
        Failed = "failed",
        /// Ended because somebody asked it to.
        Cancelled = "cancelled",
    }
}

/// An operation to record.
#[derive(Debug, Clone)]
pub struct NewOperation {
    /// Chosen by the caller or the workflow; repeating it means the same operation.
    pub operation_id: Uuid,
    /// The tenant.
    pub organization_id: Uuid,
    /// The sync it is about.
    pub sync_id: Uuid,
    /// The slot it is about, where one is known.
    pub slot_id: Option<Uuid>,
    /// What was asked for.
    pub kind: OperationKind,
    /// The workflow that does it.
    pub workflow_id: String,
    /// The run of that workflow.
    pub run_id: String,
    /// Who asked.
    pub requested_by: String,
    /// The request, for people to read. Never a secret.
    pub options: Value,
    /// The first step.
    pub phase: String,
}

/// An operation about all syncs of a collection, to record.
#[derive(Debug, Clone)]
pub struct NewCollectionOperation {
    /// As of [`NewOperation`].
    pub operation_id: Uuid,
    /// The tenant.
    pub organization_id: Uuid,
    /// The collection it is about.
    pub collection_id: Uuid,
    /// What was asked for.
    pub kind: OperationKind,
    /// The workflow that does it.
    pub workflow_id: String,
    /// The run of that workflow.
    pub run_id: String,
    /// Who asked.
    pub requested_by: String,
    /// The request, for people to read. Never a secret.
    pub options: Value,
    /// The first step.
    pub phase: String,
}

/// A recorded operation.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Operation {
    /// Its id.
    pub operation_id: Uuid,
    /// The tenant.
    pub organization_id: Uuid,
    /// The sync it is about; absent when it is about a collection.
    pub sync_id: Option<Uuid>,
    /// The collection it is about; absent when it is about one sync.
    pub collection_id: Option<Uuid>,
    /// The slot it is about.
    pub slot_id: Option<Uuid>,
    /// What was asked for.
    pub kind: OperationKind,
    /// The workflow that does it.
    pub workflow_id: String,
    /// The newest run of that workflow.
    pub run_id: String,
    /// Who asked.
    pub requested_by: String,
    /// The request.
    pub options: Value,
    /// The step it is at, or was at when it ended.
    pub phase: String,
    /// How far it is.
    pub state: OperationState,
    /// Name of the error kind, when it failed.
    pub error_kind: Option<String>,
    /// What went wrong, in words.
    pub error_message: Option<String>,
    /// The result, when it completed.
    pub result: Option<Value>,
    /// When it was first recorded.
    pub started_at: DateTime<Utc>,
    /// When anything of it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether its end was recorded by an onlooker, because its workflow was terminated.
    pub terminated: bool,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It did what was asked, with this result.
    Completed(Value),
    /// It failed, with kind and words.
    Failed(ErrorKind, String),
    /// Somebody cancelled it.
    Cancelled,
}

/// Records the beginning. Repeated, also by a later run of the workflow, it returns what is recorded; while the operation
/// runs, the newest run is noted.
///
/// # Errors
/// `NotFound` when the organisation has no such sync; `Conflict` when the id belongs to another operation.
pub async fn begin(database: &Database, new: &NewOperation) -> Result<Operation> {
    const DOING: &str = "recording the operation";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    sync_lock::require_sync(&mut transaction, new.organization_id, new.sync_id).await?;
    let row = Row {
        operation_id: new.operation_id,
        organization_id: new.organization_id,
        sync_id: Some(new.sync_id),
        collection_id: None,
        slot_id: new.slot_id,
        kind: new.kind,
        workflow_id: &new.workflow_id,
        run_id: &new.run_id,
        requested_by: &new.requested_by,
        options: &new.options,
        phase: &new.phase,
    };
    let recorded = row.insert(&mut transaction).await?;
    transaction.commit().await.during(DOING)?;
    recorded
}

/// [`begin`] for an operation about all syncs of a collection.
///
/// # Errors
/// `NotFound` when the organisation has no such collection; `Conflict` when the id belongs to another operation.
pub async fn begin_for_collection(database: &Database, new: &NewCollectionOperation) -> Result<Operation> {
    const DOING: &str = "recording the operation";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    collection::require(&mut transaction, new.organization_id, new.collection_id).await?;
    let row = Row {
        operation_id: new.operation_id,
        organization_id: new.organization_id,
        sync_id: None,
        collection_id: Some(new.collection_id),
        slot_id: None,
        kind: new.kind,
        workflow_id: &new.workflow_id,
        run_id: &new.run_id,
        requested_by: &new.requested_by,
        options: &new.options,
        phase: &new.phase,
    };
    let recorded = row.insert(&mut transaction).await?;
    transaction.commit().await.during(DOING)?;
    recorded
}

/// What is recorded of an operation whose workflow was terminated.
const TERMINATED: &str =
    "terminated: its workflow was ended from outside, and nothing was taken back; a retry goes on from its checkpoints";

/// An operation to record, whatever it is about.
struct Row<'a> {
    operation_id: Uuid,
    organization_id: Uuid,
    sync_id: Option<Uuid>,
    collection_id: Option<Uuid>,
    slot_id: Option<Uuid>,
    kind: OperationKind,
    workflow_id: &'a str,
    run_id: &'a str,
    requested_by: &'a str,
    options: &'a Value,
    phase: &'a str,
}

impl Row<'_> {
    /// Records it, or notes a newer run of it. The inner result says whether what is recorded is this operation.
    async fn insert(&self, connection: &mut PgConnection) -> Result<Result<Operation>> {
        const DOING: &str = "recording the operation";
        let inserted: Option<bool> = sqlx::query_scalar(
            "INSERT INTO sync_multiplexer.operation
                 (operation_id, organization_id, sync_id, collection_id, slot_id, kind, workflow_id, run_id,
                  requested_by, options, phase)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (operation_id) DO UPDATE
             SET run_id = excluded.run_id, state = 'running', terminated = false, error_kind = NULL,
                 error_message = NULL, ended_at = NULL, updated_at = now()
             WHERE ((operation.state = 'running' AND operation.run_id <> excluded.run_id) OR operation.terminated)
               AND operation.workflow_id = excluded.workflow_id
               AND operation.organization_id = excluded.organization_id
               AND operation.sync_id IS NOT DISTINCT FROM excluded.sync_id
               AND operation.collection_id IS NOT DISTINCT FROM excluded.collection_id
               AND operation.kind = excluded.kind AND operation.slot_id IS NOT DISTINCT FROM excluded.slot_id
             RETURNING xmax = 0",
        )
        .bind(self.operation_id)
        .bind(self.organization_id)
        .bind(self.sync_id)
        .bind(self.collection_id)
        .bind(self.slot_id)
        .bind(self.kind.as_str())
        .bind(self.workflow_id)
        .bind(self.run_id)
        .bind(self.requested_by)
        .bind(self.options)
        .bind(self.phase)
        .fetch_optional(&mut *connection)
        .await
        .during(DOING)?;
        let recorded = read(connection, self.organization_id, self.operation_id).await?;
        if recorded.as_ref().is_some_and(|operation| self.is(operation) && operation.state == OperationState::Running) {
            self.end_earlier(connection).await?;
        }
        if let (Some(true), Some(operation)) = (inserted, &recorded) {
            outbox::phase(connection, operation).await?;
        }
        Ok(recorded.filter(|operation| self.is(operation)).ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!("operation id {} is taken by another operation: choose a new one", self.operation_id),
            )
        }))
    }

    /// A workflow id runs once at a time: an earlier operation of it is over, although nobody recorded how it ended.
    async fn end_earlier(&self, connection: &mut PgConnection) -> Result<()> {
        let earlier: Vec<Operation> = sqlx::query_as(
            "UPDATE sync_multiplexer.operation
             SET state = 'failed', terminated = true, error_kind = $1, error_message = $2, ended_at = now(),
                 updated_at = now()
             WHERE workflow_id = $3 AND organization_id = $4 AND state = 'running'
               AND operation_id <> $5 AND run_id <> $6
               AND sync_id IS NOT DISTINCT FROM $7 AND collection_id IS NOT DISTINCT FROM $8
             RETURNING *",
        )
        .bind(ErrorKind::Conflict.name())
        .bind(TERMINATED)
        .bind(self.workflow_id)
        .bind(self.organization_id)
        .bind(self.operation_id)
        .bind(self.run_id)
        .bind(self.sync_id)
        .bind(self.collection_id)
        .fetch_all(&mut *connection)
        .await
        .during("ending an earlier operation of the workflow")?;
        for operation in &earlier {
            outbox::ended(connection, operation).await?;
            // Before the commit, so that a transaction which fails here and is made again counts twice.
            metrics().operation_ended(operation.kind, operation.state);
        }
        throttle::forget_ended(connection, self.organization_id, self.workflow_id).await
    }

    fn is(&self, operation: &Operation) -> bool {
        operation.sync_id == self.sync_id
            && operation.collection_id == self.collection_id
            && operation.kind == self.kind
            && operation.slot_id == self.slot_id
            // The id of a workflow names what it works on: a fork to another connection is another operation.
            && operation.workflow_id == self.workflow_id
    }
}

/// Records the step an operation is at. After the end of the operation a late call changes nothing, unless it was an onlooker
/// who recorded that end: then the operation goes on.
///
/// # Errors
/// `NotFound` when the organisation has no such operation.
pub async fn set_phase(database: &Database, organization_id: Uuid, operation_id: Uuid, phase: &str) -> Result<()> {
    const DOING: &str = "recording the phase";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let is_news: Option<bool> = sqlx::query_scalar(
        "UPDATE sync_multiplexer.operation
         SET state = 'running', terminated = false, error_kind = NULL, error_message = NULL, ended_at = NULL,
             phase = $3, updated_at = now()
         FROM (
             SELECT before.operation_id, before.phase, before.terminated FROM sync_multiplexer.operation AS before
             WHERE before.operation_id = $1 AND before.organization_id = $2
               AND (before.state = 'running' OR before.terminated)
             FOR UPDATE
         ) AS before
         WHERE operation.operation_id = before.operation_id AND operation.organization_id = $2
         RETURNING before.terminated OR before.phase <> operation.phase",
    )
    .bind(operation_id)
    .bind(organization_id)
    .bind(phase)
    .fetch_optional(&mut *transaction)
    .await
    .during(DOING)?;
    let operation =
        read(&mut transaction, organization_id, operation_id).await?.ok_or_else(|| not_found(operation_id))?;
    if is_news == Some(true) {
        outbox::phase(&mut transaction, &operation).await?;
    }
    transaction.commit().await.during(DOING)
}

/// Records the end and returns what is recorded. An operation that ended already keeps its first outcome, unless that was
/// recorded by an onlooker.
///
/// # Errors
/// `NotFound` when the organisation has no such operation.
pub async fn end(
    database: &Database,
    organization_id: Uuid,
    operation_id: Uuid,
    outcome: &Outcome,
) -> Result<Operation> {
    const DOING: &str = "recording the end of the operation";
    let (state, error, result) = match outcome {
        Outcome::Completed(result) => (OperationState::Completed, None, Some(result)),
        Outcome::Failed(kind, message) => (OperationState::Failed, Some((kind.name(), message.as_str())), None),
        Outcome::Cancelled => (OperationState::Cancelled, None, None),
    };
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let ended = sqlx::query(
        "UPDATE sync_multiplexer.operation
         SET state = $3, error_kind = $4, error_message = $5, result = $6, ended_at = now(), updated_at = now(),
             terminated = false
         WHERE operation_id = $1 AND organization_id = $2 AND (state = 'running' OR terminated)",
    )
    .bind(operation_id)
    .bind(organization_id)
    .bind(state.as_str())
    .bind(error.map(|(kind, _)| kind))
    .bind(error.map(|(_, message)| message))
    .bind(result)
    .execute(&mut *transaction)
    .await
    .during(DOING)?
    .rows_affected();
    close(transaction, organization_id, operation_id, ended > 0).await
}

/// Records that the workflow of an operation was terminated, and returns what is recorded. Only for who knows that from
/// Temporal.
///
/// # Errors
/// `NotFound` when the organisation has no such operation.
pub async fn end_terminated(database: &Database, organization_id: Uuid, operation_id: Uuid) -> Result<Operation> {
    const DOING: &str = "recording that the operation was terminated";
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let ended = sqlx::query(
        "UPDATE sync_multiplexer.operation
         SET state = 'failed', terminated = true, error_kind = $3, error_message = $4, ended_at = now(), updated_at = now()
         WHERE operation_id = $1 AND organization_id = $2 AND state = 'running'",
    )
    .bind(operation_id)
    .bind(organization_id)
    .bind(ErrorKind::Conflict.name())
    .bind(TERMINATED)
    .execute(&mut *transaction)
    .await
    .during(DOING)?
    .rows_affected();
    close(transaction, organization_id, operation_id, ended > 0).await
}

/// Commits an end with all that goes with it, and returns what is recorded. `is_news` when it was not recorded before.
async fn close(
    mut transaction: Transaction<'_, Postgres>,
    organization_id: Uuid,
    operation_id: Uuid,
    is_news: bool,
) -> Result<Operation> {
    let recorded =
        read(&mut transaction, organization_id, operation_id).await?.ok_or_else(|| not_found(operation_id))?;
    if is_news {
        outbox::ended(&mut transaction, &recorded).await?;
        // One that was terminated may come back by a reset, and under its limits.
        if !recorded.terminated {
            throttle::forget(&mut transaction, &recorded).await?;
        }
    }
    transaction.commit().await.during("recording the end of the operation")?;
    if is_news {
        metrics().operation_ended(recorded.kind, recorded.state);
    }
    Ok(recorded)
}

/// One operation.
///
/// # Errors
/// `NotFound` when the organisation has no such operation.
pub async fn get(database: &Database, organization_id: Uuid, operation_id: Uuid) -> Result<Operation> {
    let mut connection = database.pool().acquire().await.during("reading the operation")?;
    read(&mut connection, organization_id, operation_id).await?.ok_or_else(|| not_found(operation_id))
}

pub(super) async fn read(
    connection: &mut PgConnection,
    organization_id: Uuid,
    operation_id: Uuid,
) -> Result<Option<Operation>> {
    sqlx::query_as("SELECT * FROM sync_multiplexer.operation WHERE operation_id = $1 AND organization_id = $2")
        .bind(operation_id)
        .bind(organization_id)
        .fetch_optional(connection)
        .await
        .during("reading the operation")
}

pub(super) fn not_found(operation_id: Uuid) -> Error {
    Error::new(ErrorKind::NotFound, format!("operation {operation_id} does not exist"))
}
