//! What a request answers that began an operation.
//!
//! A short wait makes refusals that the workers find, such as a raw store that is not there, answers of the request itself.
//! After it the operation is named and goes on. It is recorded here already, in the same words as its workflow will, so that
//! who asks for it at once finds it also when no worker has seen it yet.

use activities::database::operations::{self, NewCollectionOperation, NewOperation};
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use temporalio_client::{Client, WorkflowDescribeOptions, WorkflowGetResultOptions, WorkflowHandle};
use temporalio_common::UntypedWorkflow;
use utoipa::ToSchema;
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::Api;
use super::caller::Caller;
use super::problem::Problem;
use crate::output::Failure;
use crate::temporal;

/// An operation that was begun, and where it can be looked at.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Begun {
    /// The operation; of a collection's switch, what the operations of its syncs are derived from.
    pub(super) operation_id: Uuid,
    /// Its workflow in Temporal.
    pub(super) workflow_id: String,
    pub(super) links: Links,
}

/// Paths on this server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Links {
    /// The operation, or the list of those that were begun.
    pub(super) operation: String,
    /// Its progress as a stream of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<String>,
}

impl Links {
    pub(super) fn of(operation_id: Uuid) -> Self {
        Self {
            operation: format!("/operations/{operation_id}"),
            events: Some(format!("/operations/{operation_id}/events")),
        }
    }
}

impl Begun {
    pub(super) fn new(operation_id: Uuid, workflow_id: String) -> Self {
        Self { operation_id, workflow_id, links: Links::of(operation_id) }
    }
}

/// 202: the operation was begun.
pub(super) struct Accepted<T>(pub(super) T, pub(super) String);

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, [(LOCATION, self.1)], Json(self.0)).into_response()
    }
}

/// A workflow that was started. Untyped: a typed handle is bound to the thread of the workflow's own state.
pub(super) type Workflow = WorkflowHandle<Client, UntypedWorkflow>;

/// What is recorded of an operation that was begun.
pub(super) enum Record {
    Sync(NewOperation),
    Collection(NewCollectionOperation),
}

impl Api {
    /// The workflow of a start, also when it was started before for this very operation.
    ///
    /// # Errors
    ///
    /// Why it was not started.
    pub(super) async fn begun(
        &self,
        started: Result<(), Failure>,
        caller: &Caller,
        operation_id: Uuid,
        workflow_id: &str,
    ) -> Result<Workflow, Problem> {
        if let Err(failure) = started {
            let is_taken = failure.kind() == Some(ErrorKind::Conflict);
            let recorded = operations::get(&self.database, caller.organization_id, operation_id).await;
            if !is_taken || recorded.is_err() {
                return Err(failure.into());
            }
        }
        Ok(self.client().await?.get_workflow_handle(workflow_id))
    }

    /// Records the operation as its workflow will. That it cannot be recorded stops nothing: the workflow tries it again.
    pub(super) async fn record(&self, record: Record) {
        let recorded = match record {
            Record::Sync(mut new) => match self.run_id(&new.workflow_id).await {
                Ok(run_id) => {
                    new.run_id = run_id;
                    operations::begin(&self.database, &new).await.map(|_| ()).map_err(Failure::from)
                }
                Err(failure) => Err(failure),
            },
            Record::Collection(mut new) => match self.run_id(&new.workflow_id).await {
                Ok(run_id) => {
                    new.run_id = run_id;
                    operations::begin_for_collection(&self.database, &new).await.map(|_| ()).map_err(Failure::from)
                }
                Err(failure) => Err(failure),
            },
        };
        if let Err(failure) = recorded {
            tracing::warn!(%failure, "an operation was begun and is recorded only when a worker sees it");
        }
    }

    /// Waits a little for an end.
    ///
    /// # Errors
    ///
    /// What the operation failed with, when it failed so soon.
    pub(super) async fn early_end<T>(
        &self,
        caller: &Caller,
        operation_id: Uuid,
        ended: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<Option<T>, Problem> {
        match tokio::time::timeout(self.answer_wait, ended).await {
            Ok(Ok(result)) => Ok(Some(result)),
            Ok(Err(failure)) => {
                // A refusal that came before the workflow's own record is recorded by looking.
                let looked = self.operations().await?.get(caller.organization_id, operation_id).await;
                let problem = Problem::from(failure);
                Err(if looked.is_ok() { problem.of_operation(operation_id) } else { problem })
            }
            Err(_) => Ok(None),
        }
    }

    async fn run_id(&self, workflow_id: &str) -> Result<String, Failure> {
        let handle = self.client().await?.get_workflow_handle::<UntypedWorkflow>(workflow_id);
        let described = handle.describe(WorkflowDescribeOptions::default()).await.map_err(|error| {
            Failure::new(ErrorKind::Unavailable, format!("the workflow {workflow_id} cannot be looked at: {error}"))
        })?;
        Ok(described.run_id().to_owned())
    }
}

/// A request as it is recorded.
pub(super) fn options(request: &impl Serialize) -> Result<serde_json::Value, Problem> {
    Ok(serde_json::to_value(request)?)
}

/// What a workflow ended with.
pub(super) async fn ended<T: DeserializeOwned>(workflow: &Workflow) -> Result<T, Failure> {
    let result = workflow.get_result(WorkflowGetResultOptions::default()).await.map_err(temporal::result_failure)?;
    let data = result.payloads.first().map(|payload| payload.data.as_slice()).unwrap_or_default();
    Ok(serde_json::from_slice(data)?)
}
