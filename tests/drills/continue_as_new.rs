//! A fork that is longer than one history should be: it continues as new, with everything it knew.

use harness::{World, WorldOptions, until};
use proto::v1::{ForkOptions, ForkRequest};
use sync_multiplexer::temporal;
use temporalio_client::{
    Client, NamespacedClient as _, WorkflowExecutionInfo, WorkflowFetchHistoryOptions, WorkflowSignalOptions,
};
use temporalio_common::data_converters::RawValue;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::history::v1::{HistoryEvent, WorkflowExecutionStartedEventAttributes};
use workflows::fork::ForkWorkflow;
use workflows::fork_workflow_id;

use crate::write_log::{PATIENCE, assert_whole, progress};

/// More than an execution works on, 200.
const SEGMENTS: usize = 230;

/// Well below the 4,096 events at which the server asks for a new execution.
const MOST_EVENTS: usize = 1500;

async fn history(client: &Client, workflow_id: &str, run_id: &str) -> Vec<HistoryEvent> {
    WorkflowExecutionInfo::builder()
        .namespace(client.namespace())
        .workflow_id(workflow_id)
        .run_id(run_id.to_owned())
        .build()
        .bind_untyped(client.clone())
        .fetch_history(WorkflowFetchHistoryOptions::default())
        .into_events()
        .await
        .expect("the history is readable")
}

fn started(history: &[HistoryEvent]) -> &WorkflowExecutionStartedEventAttributes {
    match history.first().and_then(|event| event.attributes.as_ref()) {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => started,
        other => panic!("a history begins with its start, not with {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_fork_continues_as_new() {
    let world = World::with(WorldOptions { entities: SEGMENTS, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let options = ForkOptions { lanes: 3, batch_entities: 1, segment_entities: 1, ..ForkOptions::default() };
    let request = ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) };
    let fork = world.start_fork(&request).await.expect("a fork starts");

    // What operators said in the first execution holds in the next one.
    until("the replay has begun", PATIENCE, async || progress(&world).await.0 > 0).await;
    let lanes = Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: br#"{"lanes":7}"#.to_vec(),
        ..Payload::default()
    };
    fork.signal(ForkWorkflow::throttle, RawValue::new(vec![lanes]), WorkflowSignalOptions::default())
        .await
        .expect("the signal is taken");

    let result = temporal::watch_fork(&fork, |_| {}).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (SEGMENTS as u64, 0));
    assert_whole(&world, &result.slot_id).await;

    let workflow_id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);
    // The operation is named after the first execution.
    let first = history(&world.client, &workflow_id, &result.operation_id).await;
    let last = history(&world.client, &workflow_id, "").await;
    assert_eq!(started(&last).continued_execution_run_id, result.operation_id, "two executions, one after the other");
    eprintln!("events: {} and {}", first.len(), last.len());
    for history in [&first, &last] {
        assert!(history.len() < MOST_EVENTS, "{} events", history.len());
    }
    let input = started(&last).input.as_ref().expect("it carries something over");
    let carried: serde_json::Value = serde_json::from_slice(&input.payloads[1].data).expect("it is JSON");
    assert_eq!((&carried["lanes"], &carried["next_segment"]), (&7.into(), &200.into()), "{carried}");
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}
