//! Operations as a client sees them: list, look, pause, resume, throttle, cancel, retry.
//!
//! The record is in Postgres, what runs is a workflow in Temporal; here they are one thing. The command line and the HTTP
//! API both go through [`Operations`]. The organisation is checked first: an operation of another one is `NotFound`.
//!
//! A record may say that an operation runs although its workflow is closed, because somebody terminated it. That is noticed
//! here, shown, and recorded (`standing`).

mod retry;
mod standing;

use std::time::Duration;

use activities::database::Database;
use activities::database::operation_list::{self, Cursor, Filter, Page};
use activities::database::operations::{self, Operation, OperationKind, OperationState};
use activities::database::{live_progress, throttle};
use activities::throttle::{Author, Change, Setting};
use proto::v1::{Progress, Throttle};
use temporalio_client::errors::{WorkflowInteractionError, WorkflowQueryError, WorkflowUpdateError};
use temporalio_client::{
    Client, NamespacedClient as _, QueryRejectCondition, UntypedQuery, UntypedSignal, UntypedUpdate,
    WorkflowCancelOptions, WorkflowExecuteUpdateOptions, WorkflowExecutionInfo, WorkflowHandle, WorkflowQueryOptions,
    WorkflowSignalOptions,
};
use temporalio_common::UntypedWorkflow;
use temporalio_common::data_converters::RawValue;
use uuid::Uuid;
use workflows::domain::ErrorKind;

use crate::output::Failure;
use crate::temporal;
use standing::Standing;

/// How long a workflow may take to say where it is. Without a worker nobody answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// The operations of a database and a Temporal namespace that belong together.
#[derive(Clone)]
pub struct Operations {
    database: Database,
    client: Client,
    task_queue: String,
}

/// One operation: what is recorded, and where it is just now.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationView {
    /// The record, with the result or the failure once it ended.
    pub record: Operation,
    /// What its workflow answers, while it runs.
    pub progress: Option<Progress>,
    /// Why there is no progress although the record says that it runs.
    pub silent: Option<String>,
}

/// An operation that was started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retried {
    /// The new operation.
    pub operation_id: Uuid,
    /// Its workflow.
    pub workflow_id: String,
}

impl Operations {
    /// The operations recorded in `database` and run by the workers of `task_queue`.
    #[must_use]
    pub fn new(database: Database, client: Client, task_queue: impl Into<String>) -> Self {
        Self { database, client, task_queue: task_queue.into() }
    }

    /// One page, newest first. What runs by its record and not by Temporal is recorded as ended on the way.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a limit out of range; `NotFound` when the organisation has no such sync or collection.
    pub async fn list(
        &self,
        organization: Uuid,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page, Failure> {
        let mut page = operation_list::page(&self.database, organization, filter, after, limit).await?;
        for operation in page.operations.iter_mut().filter(|it| it.state == OperationState::Running) {
            // A list is of the record: when Temporal does not answer it is shown as it is.
            match self.settle(operation.clone()).await {
                Ok((settled, _)) => *operation = settled,
                Err(failure) => {
                    tracing::warn!(%failure, "what runs was not compared with Temporal");
                    break;
                }
            }
        }
        Ok(page)
    }

    /// One operation with its live progress.
    ///
    /// # Errors
    ///
    /// `NotFound` when the organisation has no such operation.
    pub async fn get(&self, organization: Uuid, operation_id: Uuid) -> Result<OperationView, Failure> {
        let recorded = operations::get(&self.database, organization, operation_id).await?;
        let (record, standing) = match self.settle(recorded.clone()).await {
            Ok(settled) => settled,
            Err(failure) => {
                return Ok(OperationView { record: recorded, progress: None, silent: Some(failure.to_string()) });
            }
        };
        let (progress, silent) = match standing {
            Standing::Runs { .. } => match self.progress(&record).await {
                Ok(mut progress) => {
                    live_progress::complete(&self.database, organization, &record.workflow_id, &mut progress).await?;
                    (Some(progress), None)
                }
                Err(words) => (None, Some(words)),
            },
            Standing::Ended => (None, None),
            Standing::Unknown => (None, Some(unknown(&record))),
        };
        Ok(OperationView { record, progress, silent })
    }

    /// Stops an operation before its next step. Paused twice is paused. Of a switch of a collection it is the whole that pauses.
    ///
    /// # Errors
    ///
    /// `NotFound` when the organisation has no such operation; `Conflict` when it has ended.
    pub async fn pause(&self, organization: Uuid, operation_id: Uuid) -> Result<(), Failure> {
        self.signal(organization, operation_id, "pause").await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    ///
    /// As [`Self::pause`].
    pub async fn resume(&self, organization: Uuid, operation_id: Uuid) -> Result<(), Failure> {
        self.signal(organization, operation_id, "resume").await
    }

    /// Changes how fast an operation may be, and answers with what is in force. Lanes are the workflow's, which a worker has to
    /// answer for; rates hold at once, whether there is one or not.
    ///
    /// # Errors
    ///
    /// `InvalidInput` with the reason of the workflow; `NotFound` when the organisation has no such operation; `Conflict` when
    /// it has ended, or when there is nothing to throttle in it.
    pub async fn throttle(
        &self,
        organization: Uuid,
        operation_id: Uuid,
        throttle: &Throttle,
    ) -> Result<Throttle, Failure> {
        let (record, handle) = self.running(organization, operation_id).await?;
        if matches!(record.kind, OperationKind::Retire | OperationKind::Verify) {
            return Err(Failure::new(
                ErrorKind::Conflict,
                format!("there is nothing to throttle in a {}; pause it instead", record.kind),
            ));
        }
        let (lanes, rates) = parts(throttle);
        let mut in_force = Throttle::default();
        if let Some(lanes) = lanes {
            let argument = temporal::argument(&lanes)?;
            let update = UntypedUpdate::new("throttle");
            let updated = handle.execute_update(update, argument, WorkflowExecuteUpdateOptions::default());
            let answer = updated.await.map_err(|error| not_updated(&record, error))?;
            let answer = answer.payloads.first().map(|payload| payload.data.as_slice()).unwrap_or_default();
            in_force = serde_json::from_slice(answer)?;
        }
        if let Some((change, author)) = rates {
            // Of a collection's fork each sync has its own; who forks it has none.
            if record.kind == OperationKind::Fork && record.collection_id.is_some() {
                return Err(Failure::new(
                    ErrorKind::InvalidInput,
                    "rates are those of each sync's fork: throttle the forks, or all operations together",
                ));
            }
            let limits = throttle::limit_operation(&self.database, organization, operation_id, change, &author).await?;
            in_force.entities_per_second = limits.entities_per_second;
            in_force.embeds_per_second = limits.embeds_per_second;
        }
        Ok(in_force)
    }

    /// Asks an operation to end; what it made is taken back. Returns when that is asked for, not when it is done: the record
    /// says `cancelled` then.
    ///
    /// # Errors
    ///
    /// As [`Self::pause`].
    pub async fn cancel(&self, organization: Uuid, operation_id: Uuid, reason: &str) -> Result<(), Failure> {
        let (record, handle) = self.running(organization, operation_id).await?;
        let options = WorkflowCancelOptions::builder().reason(reason).build();
        handle.cancel(options).await.map_err(|error| not_reached(&record, error))
    }

    /// Starts a failed or cancelled operation again, as a new operation with the recorded request. What the first one left is
    /// gone on with: what is written and recorded is not written again.
    ///
    /// Without `new_operation_id` an id is chosen.
    ///
    /// # Errors
    ///
    /// `NotFound` when the organisation has no such operation; `Conflict` when it runs or completed, or when another
    /// operation of the same workflow runs.
    pub async fn retry(
        &self,
        organization: Uuid,
        operation_id: Uuid,
        new_operation_id: Option<Uuid>,
        requested_by: &str,
    ) -> Result<Retried, Failure> {
        let recorded = operations::get(&self.database, organization, operation_id).await?;
        let (record, standing) = self.settle(recorded).await?;
        if !matches!(record.state, OperationState::Failed | OperationState::Cancelled) {
            let words = match (&standing, record.state) {
                (Standing::Unknown, _) => unknown(&record),
                (_, OperationState::Completed) => "it completed, so there is nothing to retry".to_owned(),
                _ => "it runs; cancel it or wait for its end".to_owned(),
            };
            return Err(Failure::new(ErrorKind::Conflict, format!("operation {operation_id}: {words}")));
        }
        let operation_id = new_operation_id.unwrap_or_else(Uuid::now_v7);
        let request = retry::Request::recorded(&record)?.again(operation_id, requested_by);
        let workflow_id = request.start(&self.client, &self.task_queue).await?;
        Ok(Retried { operation_id, workflow_id })
    }

    async fn signal(&self, organization: Uuid, operation_id: Uuid, name: &str) -> Result<(), Failure> {
        let (record, handle) = self.running(organization, operation_id).await?;
        let sent = handle.signal(UntypedSignal::new(name), RawValue::new(Vec::new()), WorkflowSignalOptions::default());
        sent.await.map_err(|error| not_reached(&record, error))
    }

    /// An operation that runs, and its workflow.
    async fn running(
        &self,
        organization: Uuid,
        operation_id: Uuid,
    ) -> Result<(Operation, WorkflowHandle<Client, UntypedWorkflow>), Failure> {
        let recorded = operations::get(&self.database, organization, operation_id).await?;
        let (record, standing) = self.settle(recorded).await?;
        let words = match standing {
            Standing::Runs { first_run_id } => {
                let info = WorkflowExecutionInfo::builder()
                    .namespace(self.client.namespace())
                    .workflow_id(record.workflow_id.clone())
                    .first_execution_run_id(first_run_id)
                    .build();
                return Ok((record, info.bind_untyped(self.client.clone())));
            }
            Standing::Ended => format!("it has ended ({})", record.state),
            Standing::Unknown => unknown(&record),
        };
        Err(Failure::new(ErrorKind::Conflict, format!("operation {operation_id}: {words}")))
    }

    /// What the workflow of an operation says, or why it says nothing.
    async fn progress(&self, record: &Operation) -> Result<Progress, String> {
        let handle = self.client.get_workflow_handle::<UntypedWorkflow>(record.workflow_id.clone());
        let options = WorkflowQueryOptions::builder().reject_condition(QueryRejectCondition::NotOpen).build();
        let asked = handle.query(UntypedQuery::new("progress"), RawValue::new(Vec::new()), options);
        let answer = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(WorkflowQueryError::Rejected { .. })) => return Err("it has just ended".to_owned()),
            Ok(Err(error)) => return Err(format!("it does not say where it is: {error}")),
            Err(_) => {
                return Err(format!(
                    "no worker of task queue {} answered within {} s; is one running?",
                    self.task_queue,
                    PATIENCE.as_secs()
                ));
            }
        };
        let answer = answer.payloads.first().map(|payload| payload.data.as_slice()).unwrap_or_default();
        serde_json::from_slice(answer)
            .map_err(|error| format!("what it answers is not readable by this version: {error}"))
    }
}

/// What a throttle says to the workflow, and what is recorded.
fn parts(throttle: &Throttle) -> (Option<Throttle>, Option<(Change, Author)>) {
    let Throttle { lanes, entities_per_second, embeds_per_second, unlimited, .. } = *throttle;
    let has_rates = entities_per_second.is_some() || embeds_per_second.is_some() || unlimited;
    let setting = |rate: Option<f64>| match rate {
        Some(rate) => Setting::To(rate),
        None if unlimited => Setting::Lift,
        None => Setting::Keep,
    };
    let change = Change {
        entities_per_second: setting(entities_per_second),
        embeds_per_second: setting(embeds_per_second),
        lanes: Setting::Keep,
    };
    let author = Author { requested_by: throttle.requested_by.clone(), reason: throttle.reason.clone() };
    // One that asks for nothing is the workflow's to refuse.
    let to_workflow = lanes > 0 || !has_rates;
    let lanes = Throttle { lanes, ..Throttle::default() };
    (to_workflow.then_some(lanes), has_rates.then_some((change, author)))
}

/// The answer for an operation that runs by its record and that Temporal does not know. Nothing is concluded from that:
/// this may as well be the wrong namespace.
fn unknown(record: &Operation) -> String {
    format!(
        "it runs by its record, but this Temporal namespace does not know its workflow {}; look whether TEMPORAL_ADDRESS and \
         TEMPORAL_NAMESPACE are those of the workers",
        record.workflow_id
    )
}

fn not_reached(record: &Operation, error: WorkflowInteractionError) -> Failure {
    match error {
        WorkflowInteractionError::NotFound(_) => {
            Failure::new(ErrorKind::Conflict, format!("operation {}: it has just ended", record.operation_id))
        }
        WorkflowInteractionError::Rpc(status) => temporal::server_failure(&status),
        other => Failure::new(ErrorKind::Unavailable, format!("the workflow {}: {other}", record.workflow_id)),
    }
}

fn not_updated(record: &Operation, error: WorkflowUpdateError) -> Failure {
    match error {
        WorkflowUpdateError::Failed(failure) => Failure::new(ErrorKind::InvalidInput, failure.message),
        WorkflowUpdateError::NotFound(_) => {
            Failure::new(ErrorKind::Conflict, format!("operation {}: it has just ended", record.operation_id))
        }
        WorkflowUpdateError::Rpc(status) => temporal::server_failure(&status),
        other => Failure::new(ErrorKind::Unavailable, format!("the workflow {}: {other}", record.workflow_id)),
    }
}
