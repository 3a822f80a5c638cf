//! What the program says of itself: one trace through everything, numbers that are right, logs that can be searched by id,
//! and nothing of a document or a tenant where it does not belong.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use activities::metrics::{INSTRUMENTS, Instrument};
use harness::qdrant::{QdrantServer, QdrantServerOptions};
use harness::vespa::{Generation, VespaServer, VespaServerOptions};
use harness::{Collector, EmbeddingsServer, Samples, SpanRecord, Worker, World, WorldOptions, until, until_some};
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::Documents;
use proto::v1::{ForkRequest, ForkResult, Profile, QdrantLayout, VespaLayout};
use serde_json::{Value, json};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);

/// Words of a document, to be looked for where they must not be.
const WORDS: &str = "zebra calibrates its sextant";

/// A worker's log, line by line. A line that is no JSON fails the test.
fn log(worker: &Worker) -> Vec<Value> {
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    worker.log().lines().filter(|line| line.ends_with('}')).map(line).collect()
}

async fn metrics_address(worker: &Worker) -> String {
    until_some("the worker says where its metrics are", SOON, async || {
        log(worker).iter().find_map(|line| line["address"].as_str().map(str::to_owned))
    })
    .await
}

fn named<'a>(spans: &'a [SpanRecord], name: &str) -> Vec<&'a SpanRecord> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn one<'a>(spans: &'a [SpanRecord], name: &str, trace: &str) -> &'a SpanRecord {
    let found: Vec<_> = named(spans, name).into_iter().filter(|span| span.trace_id == trace).collect();
    let [span] = found.as_slice() else {
        let all: Vec<_> = spans.iter().map(|span| (&span.name, &span.trace_id)).collect();
        panic!("{} spans of {trace} are named {name:?}: {all:#?}", found.len())
    };
    span
}

/// Fails unless each `traceparent` names `trace` and one of `spans` whose name begins so.
fn assert_told(traceparents: &BTreeSet<String>, trace: &str, spans: &[SpanRecord], name: &str) {
    let known = spans.iter().filter(|span| span.name.starts_with(name));
    let known: BTreeSet<String> = known.map(|span| format!("00-{trace}-{}-01", span.span_id)).collect();
    assert!(!traceparents.is_empty(), "no request named a trace");
    assert!(traceparents.is_subset(&known), "{traceparents:?} are not all of {known:?}");
}

/// A fork by the command, with a collector of its own to report to.
async fn fork_by_command(world: &World, connection: Uuid, profile: &Profile, collector: &Collector) -> ForkResult {
    let file = world.store_root().join("profile.json");
    fs::write(&file, serde_json::to_vec(profile).expect("a profile is JSON")).expect("the folder is writable");
    let mut command = world.command();
    command
        .args(["fork", "--json", "--batch", "8", "--sync", &world.ids.sync_id.to_string()])
        .args(["--destination", &connection.to_string(), "--profile", &file.to_string_lossy()])
        .envs(collector.environment());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the result is JSON")
}

/// Fails unless a scrape shows what is defined, all of it that a worker has, and nothing else.
fn assert_as_defined(samples: &Samples, world: &World) {
    let suffixes = |name: &str| ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}"));
    let mut ids: BTreeSet<String> = world.entity_ids.iter().cloned().collect();
    ids.extend([world.ids.sync_id.to_string(), world.ids.organization_id.to_string(), world.task_queue.clone()]);
    for sample in &samples.0 {
        let defined = INSTRUMENTS.iter().find(|(name, instrument, _)| match instrument {
            Instrument::Histogram => suffixes(name).contains(&sample.name),
            Instrument::Counter | Instrument::Gauge => *name == sample.name,
        });
        let (_, _, labels) = defined.unwrap_or_else(|| panic!("{} is not defined", sample.name));
        let shown: BTreeSet<&str> = sample.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        assert_eq!(shown, labels.iter().copied().collect(), "labels of {}", sample.name);
        for value in sample.labels.values() {
            assert!(!ids.contains(value) && Uuid::try_parse(value).is_err(), "{} has the id {value}", sample.name);
        }
    }
    // Only an API has requests, and only a throttle waits.
    let elsewhere = ["syncmux_http_", "syncmux_throttle_"];
    for (name, ..) in INSTRUMENTS.iter().filter(|(name, ..)| !elsewhere.iter().any(|it| name.starts_with(it))) {
        assert!(samples.0.iter().any(|sample| sample.name.starts_with(name)), "{name} is not shown");
    }
}

/// Fails unless the fork by the command is one trace from there down to the destination, and the other is one of its own.
/// Answers both.
fn assert_two_traces(spans: &[SpanRecord]) -> [String; 2] {
    let command = named(spans, "syncmux")[0];
    let trace = command.trace_id.as_str();
    let start = one(spans, "start ForkWorkflow", trace);
    let workflow = one(spans, "workflow ForkWorkflow", trace);
    assert_eq!((command.parent_id.as_str(), &start.parent_id), ("", &command.span_id));
    assert_eq!(workflow.parent_id, start.span_id);
    let own = named(spans, "workflow ForkWorkflow").into_iter().find(|span| span.trace_id != trace);
    let own = own.expect("the fork without a trace has one of its own");
    assert_eq!(own.parent_id, "");
    for run in [workflow, own] {
        let of_run = |name: &str| one(spans, name, &run.trace_id);
        for name in ["activity begin_fork", "activity create_shadow", "activity mark_ready", "activity end_operation"] {
            assert_eq!(of_run(name).parent_id, run.span_id, "{name}");
        }
        let operation = &of_run("activity end_operation").attributes["operation_id"];
        assert_eq!(&of_run("activity mark_ready").attributes["operation_id"], operation);
    }
    let segments = named(spans, "activity replay_segment");
    for upsert in spans.iter().filter(|span| ["qdrant upsert", "vespa upsert"].contains(&span.name.as_str())) {
        let above = segments.iter().find(|segment| segment.span_id == upsert.parent_id);
        assert_eq!(above.map(|segment| &segment.trace_id), Some(&upsert.trace_id), "{upsert:?}");
    }
    [trace.to_owned(), own.trace_id.clone()]
}

/// Fails unless the numbers are those of the two forks and one switch.
fn assert_counted(samples: &Samples, first: &ForkResult, second: &ForkResult) {
    let entities = |kind: &str, outcome: &str| {
        samples.sum("syncmux_entities_total", &[("destination_kind", kind), ("outcome", outcome)])
    };
    for (kind, result) in [("qdrant", first), ("vespa", second)] {
        let (carried, textless) = (result.entities as f64, result.textless as f64);
        assert_eq!((entities(kind, "written"), entities(kind, "textless")), (carried - textless, textless), "{kind}");
        assert_eq!((entities(kind, "dead_letter"), entities(kind, "deleted")), (1.0, 0.0), "{kind}");
        let requests = [("destination_kind", kind), ("outcome", "ok")];
        assert!(samples.sum("syncmux_destination_requests_total", &requests) > 0.0);
        assert!(samples.sum("syncmux_destination_bytes_total", &[("destination_kind", kind)]) > 0.0);
        assert!(samples.sum("syncmux_batch_duration_seconds_count", &[("destination_kind", kind)]) >= 4.0);
    }
    let stored = first.listed as f64;
    assert_eq!(entities("pgvector", "written"), 0.0);
    assert_eq!(stored, entities("qdrant", "written") + entities("qdrant", "textless") + 1.0);
    let chunks = |vectors: &str| samples.sum("syncmux_chunks_total", &[("vectors", vectors)]);
    assert_eq!((chunks("new"), chunks("reused")), (first.chunks_embedded as f64, second.chunks_reused as f64));
    let dead = samples.sum("syncmux_dead_letters_total", &[("kind", "RawStoreInvalid")]);
    assert_eq!((dead, samples.sum("syncmux_dead_letters_total", &[])), (2.0, 2.0));
    let ended = |operation: &str| {
        let labels = [("operation", operation), ("outcome", "completed")];
        samples.sum("syncmux_operations_ended_total", &labels)
    };
    assert_eq!((ended("fork"), ended("switch"), samples.sum("syncmux_operations_ended_total", &[])), (2.0, 1.0, 3.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_runs_from_the_command_to_the_servers_and_what_was_done_is_counted_exactly() {
    let world = World::with(WorldOptions { entities: 30, ..WorldOptions::default() }).await;
    world.put_entity("needle", WORDS);
    world.put_entity_text(&world.entity_ids[3], "[\"an entity is an object\"]");
    let collector = Collector::start().await;
    let embeddings = EmbeddingsServer::start().await;
    let qdrant = QdrantServer::start(QdrantServerOptions::default()).await;
    let on_qdrant =
        world.connect_destination("qdrant", json!({ "url": qdrant.url(), "grpc_port": qdrant.port() })).await;
    let vespa_options =
        VespaServerOptions { generation: Generation::Chunks, dimensions: 8, ..VespaServerOptions::default() };
    let vespa = VespaServer::start(vespa_options).await;
    let on_vespa = world.connect_destination("vespa", json!({ "url": vespa.url() })).await;
    let mut environment = collector.environment();
    environment
        .extend([("SYNCMUX_METRICS_ADDRESS", "127.0.0.1:0".to_owned()), ("SYNCMUX_LOG_FORMAT", "json".to_owned())]);
    let worker = world.worker_among(&environment);
    let address = metrics_address(&worker).await;
    for probe in ["livez", "readyz"] {
        until(probe, SOON, async || {
            reqwest::get(format!("http://{address}/{probe}")).await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    let profile = |destination| Profile { embedder: Some(embeddings.embedder("one")), ..world.profile_of(destination) };
    let first_profile = profile(Destination::Qdrant(QdrantLayout::default()));
    let first = fork_by_command(&world, on_qdrant, &first_profile, &collector).await;
    assert_eq!((first.listed, first.dead_letter_count), (31, 1));
    let embedded_by = embeddings.traceparents();
    // Whoever starts it here has no trace, as most callers: it gets one of its own.
    let layout = VespaLayout { documents: Documents::Chunk.into(), ..VespaLayout::default() };
    let second = ForkRequest { profile: Some(profile(Destination::Vespa(layout))), ..world.fork_request(on_vespa) };
    let second = world.fork(&second).await.expect("the second fork completes");
    assert_eq!((second.chunks_embedded, second.chunks_reused), (0, first.chunks_embedded));
    world.switch(&world.switch_request(&second.slot_id)).await.expect("the switch completes");

    let spans = until_some("both forks and the switch are traced", SOON, async || {
        let spans = collector.spans();
        let ended = named(&spans, "workflow ForkWorkflow").len() + named(&spans, "workflow SwitchWorkflow").len();
        (ended == 3 && named(&spans, "syncmux").len() == 1).then_some(spans)
    })
    .await;
    let [trace, own] = assert_two_traces(&spans);
    assert_told(&embedded_by, &trace, &spans, "activity replay_segment");
    let told = qdrant.journal().traceparents();
    assert!(told.iter().any(|it| it.contains(&trace)) && told.iter().all(|it| it.len() == 55), "{told:?}");
    let puts = vespa.journal().requests().into_iter().filter(|request| request.method == "POST");
    let puts = puts.map(|request| request.traceparent.expect("a write names its trace")).collect();
    assert_told(&puts, &own, &spans, "vespa ");

    let samples = Samples::scrape(&address).await;
    assert_as_defined(&samples, &world);
    assert_counted(&samples, &first, &second);
    assert_eq!(world.entity_files().len() as u64, first.listed);
    assert_eq!(vespa.ids().len() as u64, second.points);
    until("metrics arrive at the collector", SOON, async || {
        collector.metrics().iter().any(|name| name == "syncmux.entities")
    })
    .await;

    let flipped = log(&worker).into_iter().find(|line| line["message"] == "the active slot changed");
    let flipped = flipped.expect("the worker logs the flip");
    let around = &flipped["span"];
    let switch = one(&spans, "activity flip_roles", around["trace_id"].as_str().expect("it has a trace"));
    assert_eq!(around["activity"], "flip_roles");
    assert_eq!(around["sync_id"], world.ids.sync_id.to_string());
    for id in ["operation_id", "workflow_id", "run_id"] {
        assert_eq!(around[id].as_str(), switch.attributes.get(id).map(String::as_str), "{id}");
    }
    assert!(around["attempt"] == 1 && Uuid::try_parse(around["operation_id"].as_str().unwrap_or_default()).is_ok());
    assert!(!format!("{spans:?}{}", worker.log()).contains(WORDS), "words of a document left the worker");
    assert!(worker.stop(), "a worker that reports ends well");

    // A collector that is away costs a command nothing but its spans.
    let mut command = world.command();
    command.args(["list", "--json", "--sync", &world.ids.sync_id.to_string()]);
    let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed: Value = serde_json::from_slice(&output.stdout).expect("data alone is on stdout");
    assert_eq!(listed["slots"].as_array().map(Vec::len), Some(2));
    world.done().await;
}
