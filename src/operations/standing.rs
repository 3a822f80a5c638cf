//! Whether an operation that runs by its record runs indeed.
//!
//! A workflow id is used by one run after the other: those of one operation, which continue as new or are reset, and those of
//! the next operation. The runs of one operation share their first run. So the newest run is this operation's when their
//! first run is the same, and when it is not, this operation is over.

use activities::database::operations::{self, Operation, OperationState, Outcome};
use temporalio_client::errors::{WorkflowGetResultError, WorkflowInteractionError};
use temporalio_client::{
    NamespacedClient as _, WorkflowDescribeOptions, WorkflowExecutionDescription, WorkflowExecutionInfo,
    WorkflowExecutionStatus, WorkflowGetResultOptions, WorkflowHandle,
};
use temporalio_common::UntypedWorkflow;
use workflows::domain::ErrorKind;

use super::Operations;
use crate::output::Failure;
use crate::temporal;

/// Where the workflow of an operation stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It runs; its first run names it.
    Runs { first_run_id: String },
    /// It has ended, and so it is recorded.
    Ended,
    /// Temporal does not know it.
    Unknown,
}

impl Operations {
    /// Compares a record with Temporal. An end that was not recorded is recorded now.
    pub(super) async fn settle(&self, record: Operation) -> Result<(Operation, Standing), Failure> {
        if record.state != OperationState::Running {
            return Ok((record, Standing::Ended));
        }
        let Some(newest) = self.describe(&record.workflow_id, None).await? else {
            return Ok((record, Standing::Unknown));
        };
        let newest_first = first_run(&newest).to_owned();
        let recorded_first = if newest_first == record.run_id {
            newest_first.clone()
        } else {
            let recorded = self.describe(&record.workflow_id, Some(&record.run_id)).await?;
            // A run that Temporal forgot is not among those of an operation that runs, unless it was the first.
            recorded.map_or_else(String::new, |run| first_run(&run).to_owned())
        };
        let (organization, operation_id) = (record.organization_id, record.operation_id);
        let ended = if newest_first != recorded_first {
            operations::end_terminated(&self.database, organization, operation_id).await?
        } else {
            match newest.status() {
                WorkflowExecutionStatus::Terminated | WorkflowExecutionStatus::TimedOut => {
                    operations::end_terminated(&self.database, organization, operation_id).await?
                }
                WorkflowExecutionStatus::Completed
                | WorkflowExecutionStatus::Failed
                | WorkflowExecutionStatus::Canceled => {
                    let outcome = self.outcome(&newest).await?;
                    operations::end(&self.database, organization, operation_id, &outcome).await?
                }
                WorkflowExecutionStatus::Running
                | WorkflowExecutionStatus::Paused
                | WorkflowExecutionStatus::ContinuedAsNew => {
                    return Ok((record, Standing::Runs { first_run_id: newest_first }));
                }
                _ => return Ok((record, Standing::Unknown)),
            }
        };
        Ok((ended, Standing::Ended))
    }

    /// What Temporal says of a workflow, or of one run of it; nothing when it knows none.
    async fn describe(&self, id: &str, run_id: Option<&str>) -> Result<Option<WorkflowExecutionDescription>, Failure> {
        match self.run(id, run_id).describe(WorkflowDescribeOptions::default()).await {
            Ok(described) => Ok(Some(described)),
            Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
            Err(WorkflowInteractionError::Rpc(status)) => Err(temporal::server_failure(&status)),
            Err(other) => Err(Failure::new(ErrorKind::Unavailable, format!("the workflow {id}: {other}"))),
        }
    }

    /// How a closed run ended. Its own record of that came first, unless it could not be written at all.
    async fn outcome(&self, closed: &WorkflowExecutionDescription) -> Result<Outcome, Failure> {
        let handle = self.run(closed.id(), Some(closed.run_id()));
        match handle.get_result(WorkflowGetResultOptions::default()).await {
            Ok(result) => {
                let data = result.payloads.first().map(|payload| payload.data.as_slice()).unwrap_or_default();
                Ok(Outcome::Completed(serde_json::from_slice(data)?))
            }
            Err(WorkflowGetResultError::Cancelled { .. }) => Ok(Outcome::Cancelled),
            Err(error @ WorkflowGetResultError::Failed(_)) => {
                let failure = temporal::result_failure(error);
                let kind = failure.kind().unwrap_or(ErrorKind::Internal);
                Ok(Outcome::Failed(kind, failure.message().to_owned()))
            }
            Err(other) => Err(temporal::result_failure(other)),
        }
    }

    fn run(&self, id: &str, run_id: Option<&str>) -> WorkflowHandle<temporalio_client::Client, UntypedWorkflow> {
        WorkflowExecutionInfo::builder()
            .namespace(self.client.namespace())
            .workflow_id(id)
            .maybe_run_id(run_id)
            .build()
            .bind_untyped(self.client.clone())
    }
}

/// The run that a chain of runs began with.
fn first_run(described: &WorkflowExecutionDescription) -> &str {
    described.raw().workflow_execution_info.as_ref().map_or("", |info| info.first_run_id.as_str())
}
