//! Operations that are held back: by a limit of all operations, by one of their own, by the destination. Each says so, with
//! since when, and goes on when it may.

use std::time::Duration;

use harness::qdrant::{Fault, Method, QdrantServer, QdrantServerOptions};
use harness::{AnyWorkflow, Ended, World, ended, payload, progress, scheduled, signal, until, until_some};
use proto::v1::profile::Destination;
use proto::v1::{ForkOptions, ForkRequest, Profile, Progress, QdrantLayout};
use serde_json::{Value, json};
use temporalio_client::{UntypedQuery, WorkflowFetchHistoryOptions, WorkflowQueryOptions};
use temporalio_common::data_converters::RawValue;
use workflows::fork_workflow_id;

const PATIENCE: Duration = Duration::from_secs(30);

async fn start(world: &World, request: &ForkRequest) -> AnyWorkflow {
    world.start_fork(request).await.expect("the fork starts");
    world.any_workflow(&fork_workflow_id(&request.sync_id, &request.destination_connection_id))
}

async fn at(handle: &AnyWorkflow, what: &str, state: impl Fn(&Progress) -> bool) -> Progress {
    until_some(what, PATIENCE, || async { progress(handle).await.filter(&state) }).await
}

/// What a command of the program prints.
fn syncmux(world: &World, arguments: &[&str]) -> String {
    let organization = world.ids.organization_id.to_string();
    let output = world
        .command()
        .args(arguments)
        .env("SYNCMUX_ORGANIZATION_ID", organization)
        .env("USER", "ann")
        .output()
        .expect("the program runs");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}{complained}");
    said.into_owned()
}

fn shown(world: &World, operation: &str) -> Value {
    serde_json::from_str(&syncmux(world, &["operations", "show", operation, "--json"])).expect("it is JSON")
}

/// The current details, as the Temporal UI asks for them.
async fn details(handle: &AnyWorkflow) -> String {
    let query = UntypedQuery::new("__temporal_workflow_metadata");
    let asked = handle.query(query, RawValue::new(Vec::new()), WorkflowQueryOptions::default()).await;
    String::from_utf8_lossy(&asked.expect("it answers").payloads[0].data).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_held_back_by_limits_says_so_and_is_let_go_while_it_runs() {
    let world = World::new().await;
    syncmux(&world, &["throttle", "--all", "--stop", "--reason", "backup | tonight"]);
    let worker = world.worker();
    let options = ForkOptions { lanes: 2, batch_entities: 5, segment_entities: 30, ..ForkOptions::default() };
    let request = ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) };
    let handle = start(&world, &request).await;

    // Stopped, by whom and why: in the query, in the UI, in the terminal.
    let by = |who: &'static str| move |it: &Progress| it.throttle.as_ref().is_some_and(|it| it.by == who);
    let stopped = at(&handle, "the stop to be told", by("global")).await;
    let throttle = stopped.throttle.clone().expect("somebody throttles");
    assert!(throttle.why.starts_with("0 entities/s for all operations together, set by ann"), "{}", throttle.why);
    assert!(throttle.why.ends_with(": backup | tonight") && throttle.since_ms > 1_600_000_000_000, "{throttle:?}");
    at(&handle, "both lanes to wait on", |it| it.segments_in_flight == 2 && it.segments_done == 0).await;
    let details = details(&handle).await;
    assert!(details.contains("| held back by | global: 0 entities/s"), "{details}");
    let status = syncmux(&world, &["status", "--sync", &world.ids.sync_id.to_string()]);
    assert!(
        status.contains("is held back by global: 0 entities/s for all operations together, set by ann"),
        "{status}"
    );
    assert_eq!(world.stored_entities(&stopped.slot_id).await.len(), 0, "nothing is written");

    // A limit of its own, told to the workflow as anybody may; then all is let go, and the limit of its own remains.
    let slow = r#"{"entities_per_second": 4, "requested_by": "bob", "reason": "by day"}"#;
    signal(&handle, "throttle", vec![payload("json/plain", slow)]).await;
    let limits = || async { syncmux(&world, &["throttle", "--show"]) };
    until("the limit to be recorded", PATIENCE, || async { limits().await.contains("4 entities/s") }).await;
    syncmux(&world, &["throttle", "--all", "--none", "--reason", "done"]);
    let operation = stopped.operation_id.as_str();
    let moving = until_some("entities of segments that run", PATIENCE, || async {
        let progress = shown(&world, operation)["progress"].clone();
        (progress["entities_done"].as_str().is_some_and(|done| done != "0")).then_some(progress)
    })
    .await;
    assert_eq!(moving["segments_done"].as_u64().unwrap_or(0), 0, "live, not from segments that ended: {moving}");
    until("its own limit to be told", PATIENCE, || async {
        shown(&world, operation)["progress"]["throttle"]["by"] == json!("operation")
    })
    .await;

    syncmux(&world, &["throttle", "--operation", operation, "--none", "--lanes", "3"]);
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    let done = progress(&handle).await.expect("a finished fork answers");
    assert_eq!((done.phase.as_str(), done.entities_done, done.lanes, done.throttle), ("done", 60, 3, None));
    assert_eq!(world.stored_entities(&done.slot_id).await.len(), 60);
    let history = handle.fetch_history(WorkflowFetchHistoryOptions::builder().build());
    let events = history.into_events().await.expect("the history can be read").len();
    assert!(events < 150, "being held back costs few events: {events}");
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM sync_multiplexer.throttle) + (SELECT count(*) FROM sync_multiplexer.throttled)
              + (SELECT count(*) FROM sync_multiplexer.lane)",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("the tables are there");
    assert_eq!(left, 0, "limits end with their operation");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_destination_gets_fewer_batches_and_is_named() {
    let world = World::new().await;
    let server = QdrantServer::start(QdrantServerOptions::default()).await;
    let connection =
        world.connect_destination("qdrant", json!({ "url": server.url(), "grpc_port": server.port() })).await;
    let layout = QdrantLayout { collection: "blue".to_owned(), ..QdrantLayout::default() };
    let profile: Profile = world.profile_of(Destination::Qdrant(layout));
    let options = ForkOptions { lanes: 4, batch_entities: 5, segment_entities: 15, ..ForkOptions::default() };
    let request = ForkRequest { profile: Some(profile), options: Some(options), ..world.fork_request(connection) };
    syncmux(&world, &["throttle", "--all", "--stop", "--reason", "until all lanes are there"]);
    let worker = world.worker();
    let handle = start(&world, &request).await;
    let begun = at(&handle, "four lanes", |it| it.segments_in_flight == 4).await;
    // Seven seconds of "slow down" for the first batch, which goes alone because nothing is known yet.
    server.script(Method::Upsert, 7, Fault::RateLimited(1));
    syncmux(&world, &["throttle", "--all", "--none", "--reason", "all lanes are there"]);
    let named = until_some("the destination to be named", PATIENCE, || async {
        let throttle = shown(&world, &begun.operation_id)["progress"]["throttle"].clone();
        (throttle["by"] == json!("destination") && throttle["why"].to_string().contains("less")).then_some(throttle)
    })
    .await;
    assert_eq!(named["why"], json!("the destination asked to be given less: one batch at a time"));
    let status = syncmux(&world, &["status", "--sync", &world.ids.sync_id.to_string()]);
    assert!(status.contains("is held back by destination: the destination asked to be given less"), "{status}");
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    assert!(scheduled(&handle, "replay_segment").await > 4, "attempts ended early to tell it");
    let done = progress(&handle).await.expect("a finished fork answers");
    assert_eq!((done.entities_done, done.dead_letters, done.throttle), (60, 0, None));
    drop(worker);
    world.done().await;
}
