//! Workflows as anybody may start them: from another SDK, from a terminal, with anything as input.

use std::time::Duration;

use proto::v1::Progress;
use temporalio_client::errors::WorkflowGetResultError;
use temporalio_client::{
    Client, UntypedQuery, UntypedSignal, WorkflowFetchHistoryOptions, WorkflowGetResultOptions, WorkflowHandle,
    WorkflowQueryOptions, WorkflowSignalOptions, WorkflowStartOptions,
};
use temporalio_common::UntypedWorkflow;
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::IncomingError;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use crate::World;

/// A handle on a workflow of which only the id is known.
pub type AnyWorkflow = WorkflowHandle<Client, UntypedWorkflow>;

/// How long a workflow may take to end before it counts as wedged.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a workflow ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// With a result.
    Completed(Payload),
    /// With a failure.
    Failed {
        /// The failure's type.
        kind: String,
        /// Its words.
        message: String,
        /// Whether Temporal is told not to try again.
        final_answer: bool,
    },
    /// Because it was cancelled.
    Cancelled,
    /// Because it was terminated.
    Terminated,
}

impl Ended {
    /// Type and words of a failure.
    ///
    /// # Panics
    ///
    /// When it did not fail, or may be tried again.
    #[must_use]
    #[track_caller]
    pub fn failure(&self) -> (&str, &str) {
        match self {
            Self::Failed { kind, message, final_answer: true } => (kind, message),
            other => panic!("expected a failure for good, got {other:?}"),
        }
    }
}

/// A payload with an encoding of one's choice.
#[must_use]
pub fn payload(encoding: &str, data: impl Into<Vec<u8>>) -> Payload {
    Payload {
        metadata: [("encoding".to_owned(), encoding.as_bytes().to_vec())].into(),
        data: data.into(),
        ..Payload::default()
    }
}

/// Waits for the end of a workflow, whatever it is.
///
/// # Panics
///
/// When it does not end, or Temporal does not answer.
pub async fn ended(handle: &AnyWorkflow) -> Ended {
    let result = tokio::time::timeout(PATIENCE, handle.get_result(WorkflowGetResultOptions::default())).await;
    let result = result.unwrap_or_else(|_| panic!("{} did not end within {PATIENCE:?}", handle.info().workflow_id));
    match result {
        Ok(value) => Ended::Completed(value.payloads.into_iter().next().unwrap_or_default()),
        Err(WorkflowGetResultError::Failed(cause)) => match *cause {
            IncomingError::Application(failure) => Ended::Failed {
                kind: failure.type_name().unwrap_or_default().to_owned(),
                message: failure.failure().map(|it| it.message.clone()).unwrap_or_default(),
                final_answer: failure.is_non_retryable(),
            },
            other => panic!("a failure of another sort: {other}"),
        },
        Err(WorkflowGetResultError::Cancelled { .. }) => Ended::Cancelled,
        Err(WorkflowGetResultError::Terminated { .. }) => Ended::Terminated,
        Err(other) => panic!("no end can be read: {other}"),
    }
}

/// How often a step was scheduled in the run that the handle names.
///
/// # Panics
///
/// When the history cannot be read.
pub async fn scheduled(handle: &AnyWorkflow, step: &str) -> usize {
    let history = handle.fetch_history(WorkflowFetchHistoryOptions::builder().build());
    let events = history.into_events().await.expect("the history can be read");
    let is_step = |attributes: &Attributes| {
        matches!(attributes, Attributes::ActivityTaskScheduledEventAttributes(it)
            if it.activity_type.as_ref().is_some_and(|kind| kind.name == step))
    };
    events.iter().filter(|event| event.attributes.as_ref().is_some_and(is_step)).count()
}

impl World {
    /// Starts a workflow by name, with any id and any payloads, on this world's queue.
    ///
    /// # Panics
    ///
    /// When Temporal refuses to start it.
    pub async fn start_any(&self, workflow: &str, id: &str, payloads: Vec<Payload>) -> AnyWorkflow {
        let options = WorkflowStartOptions::new(&self.task_queue, id).build();
        self.client
            .start_workflow(UntypedWorkflow::new(workflow), RawValue::new(payloads), options)
            .await
            .unwrap_or_else(|error| panic!("{id} did not start: {error}"))
    }

    /// The workflow with this id, whatever runs or ran under it.
    #[must_use]
    pub fn any_workflow(&self, id: &str) -> AnyWorkflow {
        self.client.get_workflow_handle(id)
    }
}

/// What a workflow answers to the query `progress`; nothing while no worker answers.
pub async fn progress(handle: &AnyWorkflow) -> Option<Progress> {
    let query = UntypedQuery::new("progress");
    let asked = handle.query(query, RawValue::new(Vec::new()), WorkflowQueryOptions::default());
    // A server without a worker keeps a query for long; a look should not.
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.ok()?.ok()?;
    serde_json::from_slice(&answer.payloads.first()?.data).ok()
}

/// Sends a signal with any payloads.
///
/// # Panics
///
/// When Temporal refuses it.
pub async fn signal(handle: &AnyWorkflow, name: &str, payloads: Vec<Payload>) {
    handle
        .signal(UntypedSignal::new(name), RawValue::new(payloads), WorkflowSignalOptions::default())
        .await
        .unwrap_or_else(|error| panic!("the signal {name} was refused: {error}"));
}
