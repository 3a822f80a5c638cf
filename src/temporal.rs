//! The client side of Temporal: connect, start or answer, wait with progress, register search attributes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use proto::v1::{
    FollowRequest, ForkCollectionRequest, ForkCollectionResult, ForkRequest, ForkResult, Progress, ResyncRequest,
    ResyncResult, RetireRequest, RetireResult, RollbackRequest, SwitchRequest, SwitchResult,
};
use temporalio_client::envconfig::LoadClientConfigProfileOptions;
use temporalio_client::errors::{WorkflowGetResultError, WorkflowInteractionError, WorkflowStartError};
use temporalio_client::tonic::Code;
use temporalio_client::{
    Client, ClientOptions, NamespacedClient as _, RetryOptions, WorkflowGetResultOptions, WorkflowHandle,
    WorkflowListOptions, WorkflowQueryOptions, WorkflowStartOptions, WorkflowTerminateOptions,
};
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::IncomingError;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_common::protos::temporal::api::enums::v1::{IndexedValueType, TaskQueueType};
use temporalio_common::protos::temporal::api::operatorservice::v1::{
    AddSearchAttributesRequest, ListSearchAttributesRequest,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeTaskQueueRequest;
use workflows::domain::ErrorKind;
use workflows::follow::FollowWorkflow;
use workflows::fork::ForkWorkflow;
use workflows::fork_collection::ForkCollectionWorkflow;
use workflows::resync::ResyncWorkflow;
use workflows::retire::RetireWorkflow;
use workflows::switch::SwitchWorkflow;
use workflows::{
    collection_switch_workflow_id, follow_workflow_id, fork_collection_workflow_id, fork_workflow_id,
    resync_workflow_id, retire_workflow_id, search_attributes, switch_workflow_id,
};

use crate::config::TemporalArgs;
use crate::output::Failure;
use crate::payloads;
use crate::telemetry::propagation::TraceStarts;

/// How often in a row Temporal may refuse at once to say how a workflow ended.
const UNANSWERED: u32 = 30;

/// Between two such questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Connects with Temporal's own configuration: `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, TLS and key variables, or the
/// profile of a `temporal.toml`.
///
/// # Errors
///
/// `InvalidInput` for a configuration that does not read, `Unavailable` when the server does not answer.
pub async fn connect(args: &TemporalArgs) -> Result<Client, Failure> {
    // A completion that is not delivered is work done twice, so keep trying through a restart of the server.
    connect_for(args, Duration::from_secs(60)).await
}

/// [`connect`], with a client that tries a call for as long as `patience` when the server is away.
///
/// # Errors
///
/// As [`connect`].
pub async fn connect_for(args: &TemporalArgs, patience: Duration) -> Result<Client, Failure> {
    let load =
        LoadClientConfigProfileOptions::builder().maybe_config_file_profile(args.temporal_profile.clone()).build();
    let (mut connection, mut client) = ClientOptions::load_from_config(load).map_err(|error| {
        Failure::new(ErrorKind::InvalidInput, format!("Temporal's configuration does not read: {error}"))
    })?;
    if let Some(keys) = &args.payload_keys_file {
        client.data_converter = payloads::sealing_converter(keys)?;
    }
    if let Some(address) = &args.temporal_address {
        connection.target = format!("http://{address}").parse().map_err(|error| {
            Failure::new(ErrorKind::InvalidInput, format!("{address:?} is not a host and port: {error}"))
        })?;
    }
    client.client_interceptors.push(Arc::new(TraceStarts));
    connection.identity = format!("syncmux@{}", std::process::id());
    connection.connect_timeout = Some(Duration::from_secs(5));
    connection.retry_options = RetryOptions::builder().max_elapsed_time(Some(patience)).max_retries(100).build();
    let address = connection.target.to_string();
    Client::connect(connection, client).await.map_err(|error| {
        tracing::debug!(?error, "no connection to Temporal");
        Failure::new(
            ErrorKind::Unavailable,
            format!(
                "no Temporal server answers at {address}; set TEMPORAL_ADDRESS, or start one with `make demo KEEP=1`"
            ),
        )
    })
}

/// Starts a fork. Its workflow id is the lock: a second one to the same destination is refused while the first runs.
///
/// # Errors
///
/// `Conflict` when one is running, otherwise what Temporal says.
pub async fn start_fork(
    client: &Client,
    task_queue: &str,
    request: &ForkRequest,
) -> Result<WorkflowHandle<Client, ForkWorkflow>, Failure> {
    let id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);
    let options = WorkflowStartOptions::new(task_queue, &id)
        .static_summary(format!("fork sync {} to connection {}", request.sync_id, request.destination_connection_id))
        .build();
    client
        .start_workflow(ForkWorkflow::run, argument(request)?, options)
        .await
        .map_err(|error| start_failure(error, &id))?;
    Ok(client.get_workflow_handle(id))
}

/// Starts a follow. Its workflow id is the lock: a sync is followed once.
///
/// # Errors
///
/// `Conflict` when it is followed already, otherwise what Temporal says.
pub async fn start_follow(
    client: &Client,
    task_queue: &str,
    request: &FollowRequest,
) -> Result<WorkflowHandle<Client, FollowWorkflow>, Failure> {
    let id = follow_workflow_id(&request.sync_id);
    let options =
        WorkflowStartOptions::new(task_queue, &id).static_summary(format!("follow sync {}", request.sync_id)).build();
    client
        .start_workflow(FollowWorkflow::run, argument(request)?, options)
        .await
        .map_err(|error| start_failure(error, &id))?;
    Ok(client.get_workflow_handle(id))
}

/// Starts the fork of a collection. Its workflow id is the lock: one of a collection and connection at a time.
///
/// # Errors
///
/// `Conflict` when one is running, otherwise what Temporal says.
pub async fn start_fork_collection(
    client: &Client,
    task_queue: &str,
    request: &ForkCollectionRequest,
) -> Result<WorkflowHandle<Client, ForkCollectionWorkflow>, Failure> {
    let id = fork_collection_workflow_id(&request.collection_id, &request.destination_connection_id);
    let options = WorkflowStartOptions::new(task_queue, &id)
        .static_summary(format!("fork collection {} to {}", request.collection_id, request.destination_connection_id))
        .build();
    client
        .start_workflow(ForkCollectionWorkflow::run, argument(request)?, options)
        .await
        .map_err(|error| start_failure(error, &id))?;
    Ok(client.get_workflow_handle(id))
}

/// Waits for the fork of a collection and shows each new progress on the way, with the phase of each fork that runs.
///
/// # Errors
///
/// What it failed with as a whole.
pub async fn watch_fork_collection(
    client: &Client,
    request: &ForkCollectionRequest,
    handle: &WorkflowHandle<Client, ForkCollectionWorkflow>,
    show: impl FnMut(&Progress),
) -> Result<ForkCollectionResult, Failure> {
    let result = ended(async || handle.get_result(WorkflowGetResultOptions::default()).await);
    let ask = || handle.query(ForkCollectionWorkflow::progress, (), WorkflowQueryOptions::default());
    let ask_each = async || {
        let mut progress = ask().await.ok()?;
        for fork in progress.syncs.iter_mut().filter(|fork| fork.state == "running") {
            let id = fork_workflow_id(&fork.sync_id, &request.destination_connection_id);
            let asked: WorkflowHandle<Client, ForkWorkflow> = client.get_workflow_handle(id);
            if let Ok(of_one) = asked.query(ForkWorkflow::progress, (), WorkflowQueryOptions::default()).await {
                fork.phase = of_one.phase;
            }
        }
        Some(progress)
    };
    watch(result, ask_each, show).await
}

/// Starts a switch. Its workflow id is the lock: one switch of a sync, or of a collection, at a time.
///
/// # Errors
///
/// `Conflict` when one is running, otherwise what Temporal says.
pub async fn start_switch(
    client: &Client,
    task_queue: &str,
    request: &SwitchRequest,
) -> Result<WorkflowHandle<Client, SwitchWorkflow>, Failure> {
    let (id, what) = match request.collection_id.as_str() {
        "" => (switch_workflow_id(&request.sync_id), format!("sync {}", request.sync_id)),
        collection => (collection_switch_workflow_id(collection), format!("all syncs of collection {collection}")),
    };
    let verb = if request.rollback { "roll back" } else { "switch" };
    let to = match request.target_slot_id.as_str() {
        "" => String::new(),
        slot => format!(" to slot {slot}"),
    };
    let options = WorkflowStartOptions::new(task_queue, &id).static_summary(format!("{verb} {what}{to}")).build();
    client
        .start_workflow(SwitchWorkflow::run, argument(request)?, options)
        .await
        .map_err(|error| start_failure(error, &id))?;
    Ok(client.get_workflow_handle(id))
}

/// Starts a rollback: a switch that goes back. It shares the workflow id of the switches of that sync.
///
/// # Errors
///
/// As [`start_switch`].
pub async fn start_rollback(
    client: &Client,
    task_queue: &str,
    request: RollbackRequest,
) -> Result<WorkflowHandle<Client, SwitchWorkflow>, Failure> {
    let request = SwitchRequest {
        organization_id: request.organization_id,
        sync_id: request.sync_id,
        target_slot_id: request.target_slot_id,
        operation_id: request.operation_id,
        requested_by: request.requested_by,
        reason: request.reason,
        reverse_window_seconds: request.reverse_window_seconds,
        rollback: true,
        dry_run: request.dry_run,
        force: request.force,
        time_limit_seconds: request.time_limit_seconds,
        job_wait_seconds: request.job_wait_seconds,
        collection_id: request.collection_id,
        destination_connection_id: request.destination_connection_id,
        ..SwitchRequest::default()
    };
    start_switch(client, task_queue, &request).await
}

/// Starts a retire. Its workflow id is the lock: one retire of a slot at a time.
///
/// # Errors
///
/// `Conflict` when one is running, otherwise what Temporal says.
pub async fn start_retire(
    client: &Client,
    task_queue: &str,
    request: &RetireRequest,
) -> Result<WorkflowHandle<Client, RetireWorkflow>, Failure> {
    let id = retire_workflow_id(&request.slot_id);
    let options = WorkflowStartOptions::new(task_queue, &id)
        .static_summary(format!("retire slot {} of sync {}", request.slot_id, request.sync_id))
        .build();
    client
        .start_workflow(RetireWorkflow::run, argument(request)?, options)
        .await
        .map_err(|error| start_failure(error, &id))?;
    Ok(client.get_workflow_handle(id))
}

/// Starts a resync. Its workflow id is the lock: one resync of a sync at a time.
///
/// # Errors
///
/// `Conflict` when one is running, otherwise what Temporal says.
pub async fn start_resync(
    client: &Client,
    task_queue: &str,
    request: &ResyncRequest,
) -> Result<WorkflowHandle<Client, ResyncWorkflow>, Failure> {
    let id = resync_workflow_id(&request.sync_id);
    let options = WorkflowStartOptions::new(task_queue, &id)
        .static_summary(if request.rebuild_raw_store {
            format!("resync sync {} and rebuild its raw store", request.sync_id)
        } else {
            format!("resync sync {}", request.sync_id)
        })
        .build();
    client
        .start_workflow(ResyncWorkflow::run, argument(request)?, options)
        .await
        .map_err(|error| start_failure(error, &id))?;
    Ok(client.get_workflow_handle(id))
}

/// Waits for a resync and shows each new progress on the way.
///
/// # Errors
///
/// What the resync failed with.
pub async fn watch_resync(
    handle: &WorkflowHandle<Client, ResyncWorkflow>,
    show: impl FnMut(&Progress),
) -> Result<ResyncResult, Failure> {
    let result = ended(async || handle.get_result(WorkflowGetResultOptions::default()).await);
    let ask = async || handle.query(ResyncWorkflow::progress, (), WorkflowQueryOptions::default()).await.ok();
    watch(result, ask, show).await
}

/// Waits for a fork and shows each new progress on the way.
///
/// # Errors
///
/// What the fork failed with.
pub async fn watch_fork(
    handle: &WorkflowHandle<Client, ForkWorkflow>,
    show: impl FnMut(&Progress),
) -> Result<ForkResult, Failure> {
    let result = ended(async || handle.get_result(WorkflowGetResultOptions::default()).await);
    let ask = async || handle.query(ForkWorkflow::progress, (), WorkflowQueryOptions::default()).await.ok();
    watch(result, ask, show).await
}

/// Waits for a switch and shows each new progress on the way.
///
/// # Errors
///
/// What the switch failed with.
pub async fn watch_switch(
    handle: &WorkflowHandle<Client, SwitchWorkflow>,
    show: impl FnMut(&Progress),
) -> Result<SwitchResult, Failure> {
    let result = ended(async || handle.get_result(WorkflowGetResultOptions::default()).await);
    let ask = async || handle.query(SwitchWorkflow::progress, (), WorkflowQueryOptions::default()).await.ok();
    watch(result, ask, show).await
}

/// Waits for `result`, and asks for the progress on the way.
async fn watch<T>(
    result: impl Future<Output = Result<T, Failure>>,
    mut ask: impl AsyncFnMut() -> Option<Progress>,
    mut show: impl FnMut(&Progress),
) -> Result<T, Failure> {
    tokio::pin!(result);
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut result => return done,
            _ = tick.tick() => {
                if let Ok(Some(progress)) = tokio::time::timeout(Duration::from_secs(5), ask()).await {
                    show(&progress);
                }
            }
        }
    }
}

/// Waits for a switch.
///
/// # Errors
///
/// What the switch failed with.
pub async fn wait_switch(handle: &WorkflowHandle<Client, SwitchWorkflow>) -> Result<SwitchResult, Failure> {
    ended(async || handle.get_result(WorkflowGetResultOptions::default()).await).await
}

/// What a workflow ended with, by asking until it has. A server that is slow or away for a while says nothing about the
/// workflow, which goes on meanwhile.
async fn ended<T>(mut ask: impl AsyncFnMut() -> Result<T, WorkflowGetResultError>) -> Result<T, Failure> {
    let mut at_once = 0;
    loop {
        let asked = Instant::now();
        match ask().await {
            Ok(result) => return Ok(result),
            Err(WorkflowGetResultError::Rpc(status)) if may_pass(status.code()) && at_once < UNANSWERED => {
                tracing::debug!(code = %status.code(), "Temporal did not say how the workflow ended; asking again");
                at_once = if asked.elapsed() < PAUSE { at_once + 1 } else { 0 };
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(result_failure(error)),
        }
    }
}

fn may_pass(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
}

/// Waits for a retire.
///
/// # Errors
///
/// What the retire failed with.
pub async fn wait_retire(handle: &WorkflowHandle<Client, RetireWorkflow>) -> Result<RetireResult, Failure> {
    handle.get_result(WorkflowGetResultOptions::default()).await.map_err(result_failure)
}

/// The search attributes of this product that the namespace lacks.
///
/// # Errors
///
/// When the server does not answer.
pub async fn missing_search_attributes(client: &Client) -> Result<Vec<&'static str>, Failure> {
    let request = ListSearchAttributesRequest { namespace: client.namespace() };
    let known = client
        .connection()
        .operator_service()
        .list_search_attributes(tonic_request(request))
        .await
        .map_err(|status| server_failure(&status))?
        .into_inner();
    Ok(search_attributes::NAMES.into_iter().filter(|name| !known.custom_attributes.contains_key(*name)).collect())
}

/// Registers what is missing; returns the names it registered.
///
/// # Errors
///
/// When the server refuses.
pub async fn register_search_attributes(client: &Client) -> Result<Vec<&'static str>, Failure> {
    let missing = missing_search_attributes(client).await?;
    if missing.is_empty() {
        return Ok(missing);
    }
    let attributes: HashMap<_, _> =
        missing.iter().map(|name| ((*name).to_owned(), IndexedValueType::Keyword as i32)).collect();
    let request = AddSearchAttributesRequest { search_attributes: attributes, namespace: client.namespace() };
    match client.connection().operator_service().add_search_attributes(tonic_request(request)).await {
        Ok(_) => Ok(missing),
        // Somebody else registered them in between.
        Err(status) if status.code() == Code::AlreadyExists => Ok(Vec::new()),
        Err(status) => Err(server_failure(&status)),
    }
}

/// The input of a workflow as `json/plain`, which every SDK and the CLI can read.
pub(crate) fn argument(request: &impl serde::Serialize) -> Result<RawValue, Failure> {
    let payload = Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: serde_json::to_vec(request)?,
        ..Payload::default()
    };
    Ok(RawValue::new(vec![payload]))
}

fn start_failure(error: WorkflowStartError, id: &str) -> Failure {
    match error {
        WorkflowStartError::AlreadyStarted { .. } => Failure::new(
            ErrorKind::Conflict,
            format!(
                "the workflow {id} is running; wait for it, or look at it with `temporal workflow describe -w {id}`"
            ),
        ),
        other => Failure::new(ErrorKind::Unavailable, format!("the workflow {id} was not started: {other}")),
    }
}

pub(crate) fn result_failure(error: WorkflowGetResultError) -> Failure {
    match error {
        WorkflowGetResultError::Failed(cause) => match *cause {
            IncomingError::Application(failure) => {
                let kind = failure.type_name().and_then(|name| name.parse().ok()).unwrap_or(ErrorKind::Internal);
                let message = failure.failure().map_or_else(|| failure.to_string(), |it| it.message.clone());
                Failure::new(kind, message)
            }
            other => Failure::new(ErrorKind::Internal, other.to_string()),
        },
        WorkflowGetResultError::Cancelled { .. } => {
            Failure::new(ErrorKind::Conflict, "cancelled; what the operation had made was taken back")
        }
        other => Failure::new(ErrorKind::Unavailable, other.to_string()),
    }
}

pub(crate) fn server_failure(status: &temporalio_client::tonic::Status) -> Failure {
    Failure::new(ErrorKind::Unavailable, format!("Temporal answered {}: {}", status.code(), status.message()))
}

fn tonic_request<T>(message: T) -> temporalio_client::tonic::Request<T> {
    temporalio_client::tonic::Request::new(message)
}

/// How many workers have polled the task queue for workflows lately.
///
/// # Errors
///
/// When the server does not answer.
pub async fn pollers(client: &Client, task_queue: &str) -> Result<usize, Failure> {
    let request = DescribeTaskQueueRequest {
        namespace: client.namespace(),
        task_queue: Some(TaskQueue { name: task_queue.to_owned(), ..TaskQueue::default() }),
        task_queue_type: TaskQueueType::Workflow as i32,
        ..DescribeTaskQueueRequest::default()
    };
    let mut service = client.connection().workflow_service();
    let answer = service.describe_task_queue(tonic_request(request)).await.map_err(|status| server_failure(&status))?;
    Ok(answer.into_inner().pollers.len())
}

/// Ends every workflow that still runs on a task queue, without undo. For throw-away stacks only.
///
/// # Errors
///
/// When the server does not answer.
pub async fn terminate_all(client: &Client, task_queue: &str) -> Result<(), Failure> {
    let query = format!("TaskQueue = '{task_queue}' AND ExecutionStatus = 'Running'");
    let mut running = std::pin::pin!(client.list_workflows(query, WorkflowListOptions::default()));
    while let Some(execution) = running.next().await {
        let execution = execution.map_err(|error| Failure::new(ErrorKind::Unavailable, error.to_string()))?;
        let handle = client.get_workflow_handle::<temporalio_common::UntypedWorkflow>(execution.id());
        match handle.terminate(WorkflowTerminateOptions::default()).await {
            // It ended by itself in between.
            Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => {}
            Err(error) => return Err(Failure::new(ErrorKind::Unavailable, error.to_string())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use temporalio_client::tonic::Status;

    use super::*;

    fn refusing(status: fn() -> Status, times: u32) -> impl AsyncFnMut() -> Result<u32, WorkflowGetResultError> {
        let mut asked = 0;
        async move || {
            asked += 1;
            if asked <= times { Err(WorkflowGetResultError::Rpc(status())) } else { Ok(asked) }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_slow_or_away_does_not_end_the_wait() {
        for status in [|| Status::unavailable("away"), || Status::deadline_exceeded("slow")] {
            assert_eq!(ended(refusing(status, UNANSWERED)).await.expect("it answers in the end"), UNANSWERED + 1);
            let gone = ended(refusing(status, u32::MAX)).await.expect_err("it never answers");
            assert_eq!(gone.kind(), Some(ErrorKind::Unavailable));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_pass_is_not_waited_for() {
        let denied = ended(refusing(|| Status::permission_denied("no"), 1)).await.expect_err("it is refused");
        assert!(denied.to_string().contains("no"), "{denied}");
    }
}
