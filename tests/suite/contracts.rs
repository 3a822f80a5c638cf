//! What other people's programs hold on to: how a workflow may be started, how its answer reads, what the terminal shows.

use std::process::{Command, Output};
use std::time::Duration;

use harness::{Ended, World, ended, payload, required_env, until};
use prost::Message as _;
use proto::v1::{ForkRequest, Progress};
use serde_json::Value;
use workflows::fork_workflow_id;

/// The request as JSON with the names of the `.proto` files, or in camel case.
fn json(request: &ForkRequest, camel_case: bool) -> String {
    let text = serde_json::to_string(request).expect("a request has a JSON form");
    if !camel_case {
        assert!(text.contains("\"sync_id\""), "{text}");
        return text;
    }
    [
        ("organization_id", "organizationId"),
        ("sync_id", "syncId"),
        ("destination_connection_id", "destinationConnectionId"),
        ("requested_by", "requestedBy"),
        ("batch_entities", "batchEntities"),
        ("segment_entities", "segmentEntities"),
        ("max_tokens", "maxTokens"),
    ]
    .into_iter()
    .fold(text, |text, (snake, camel)| {
        assert!(text.contains(&format!("\"{snake}\"")), "the request has no {snake}");
        text.replace(&format!("\"{snake}\""), &format!("\"{camel}\""))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_starts_from_every_encoding_and_answers_in_readable_json() {
    let world = World::new().await;
    let worker = world.worker();
    let asked_by =
        |who: &str| ForkRequest { requested_by: who.to_owned(), ..world.fork_request(world.ids.connection_v0) };
    let starts = [
        ("plain", payload("json/plain", json(&asked_by("plain"), false))),
        ("camel", payload("json/plain", json(&asked_by("camel"), true))),
        ("json protobuf", payload("json/protobuf", json(&asked_by("json protobuf"), true))),
        ("binary protobuf", payload("binary/protobuf", asked_by("binary protobuf").encode_to_vec())),
    ];
    let mut slots = Vec::new();
    for (position, (who, argument)) in starts.into_iter().enumerate() {
        let handle = world.start_any("ForkWorkflow", &format!("{}/{who}", world.task_queue), vec![argument]).await;
        let Ended::Completed(answer) = ended(&handle).await else { panic!("the fork asked for as {who} failed") };
        assert_eq!(answer.metadata["encoding"], b"json/plain", "{who}");
        let result: Value = serde_json::from_slice(&answer.data).expect("the result is JSON");
        assert_eq!(result["state"], "ready", "{who}: {result}");
        assert_eq!(result["listed"], "60", "{who}: 64-bit integers are text in proto3 JSON; {result}");
        // The first fills the slot, the others find everything there.
        assert_eq!(result["continued"].as_bool().unwrap_or_default(), position > 0, "{who}: {result}");
        slots.push(result["slot_id"].as_str().expect("a slot id").to_owned());
    }
    slots.dedup();
    assert_eq!(slots.len(), 1, "all of them filled the same slot");

    let asked: Vec<String> = sqlx::query_scalar(
        "SELECT requested_by FROM sync_multiplexer.operation WHERE kind = 'fork' ORDER BY started_at",
    )
    .fetch_all(world.database.pool())
    .await
    .expect("the operations can be read");
    assert_eq!(asked, ["plain", "camel", "json protobuf", "binary protobuf"]);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_of_temporal_is_enough_to_run_a_fork() {
    let world = World::new().await;
    let request = world.fork_request(world.ids.connection_v0);
    let id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);
    let start = ["start", "--task-queue", &world.task_queue, "--type", "ForkWorkflow", "-w", &id, "--input"];
    temporal(&world, &[&start[..], &[&json(&request, false)]].concat());
    temporal(&world, &["signal", "-w", &id, "--name", "pause"]);

    let worker = world.worker();
    let handle = world.any_workflow(&id);
    until("a worker answers", Duration::from_secs(20), || async {
        harness::progress(&handle).await.is_some_and(|progress| progress.paused)
    })
    .await;
    let shown = temporal(&world, &["query", "-w", &id, "--type", "progress", "--output", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("the terminal prints JSON");
    let progress: Progress =
        serde_json::from_value(shown["queryResult"][0].clone()).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert_eq!((progress.operation.as_str(), progress.phase.as_str(), progress.paused), ("fork", "start", true));

    temporal(&world, &["signal", "-w", &id, "--name", "resume"]);
    let result = temporal(&world, &["result", "-w", &id, "--output", "json"]);
    let result: Value = serde_json::from_slice(&result.stdout).expect("the terminal prints JSON");
    assert_eq!(result["result"]["state"], "ready", "{result}");
    assert_eq!(result["result"]["entities"], "60", "{result}");
    drop(worker);
    world.done().await;
}

/// Runs `temporal workflow ...` against the world's server.
fn temporal(world: &World, arguments: &[&str]) -> Output {
    let output = Command::new(required_env("SYNCMUX_TEMPORAL_BIN"))
        .arg("workflow")
        .args(arguments)
        .args(["--address", &world.temporal_address])
        .output()
        .expect("Temporal's program runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "temporal workflow {arguments:?}: {words}");
    output
}
