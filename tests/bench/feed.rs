//! Feeds the same documents to Vespa's protocol server with `vespa feed` and with our destination, in turns, and prints how
//! fast each was.
//!
//! `make bench-feed` runs it; `make bench-feed DOCUMENTS=20000 ROUNDS=5` otherwise. The server takes 5 ms for each write.
//! Every turn has a server of its own, on a runtime of its own, and begins with nothing known about it. Both leave the same
//! documents there; the CLI sends them as the server gives them back, with sparse tensors in a shorter form than ours. It is
//! measured by its own watch, which starts when the program is up, and reads documents from a file; ours includes making
//! documents of entities, and looking for what the entities had before.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use activities::destinations::vespa::{
    Vespa, VespaClient, VespaCredentials, VespaEndpoint, VespaLimits, VespaSettings,
};
use activities::destinations::{Chunk, Destination, EntityDocument, EntityRef, Scope, SparseVector};
use harness::required_env;
use harness::vespa::{VespaServer, VespaServerOptions};
use proto::v1::VespaLayout;
use proto::v1::vespa_layout::{Documents, Ids};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

/// As long as those of a small model.
const DIMENSIONS: u32 = 256;

/// A document that the server keeps, by id.
type Stored = (String, Value);

const SERVICE_TIME: Duration = Duration::from_millis(5);

fn main() {
    let number =
        |name: &str, default: u32| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, rounds) = (number("DOCUMENTS", 10_000), number("ROUNDS", 5));
    let entities: Arc<[EntityDocument]> = (0..count).map(entity).collect();
    let documents = documents_of(&entities);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("feed.jsonl");
    write_for_the_cli(&documents, &file);

    println!("{count} documents, {} bytes each; {SERVICE_TIME:?} per write", bytes_each(&file, count));
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        // Who goes first changes, so that a machine that slows down or warms up favours nobody.
        let (theirs, ours) = if round % 2 == 1 {
            let theirs = with_the_cli(&file, &documents);
            (theirs, with_ours(&entities, &documents))
        } else {
            let ours = with_ours(&entities, &documents);
            (with_the_cli(&file, &documents), ours)
        };
        ratios.push(ours / theirs);
        println!("round {round}: vespa feed {theirs:.0}/s, ours {ours:.0}/s, ratio {:.2}", ours / theirs);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio of ours to vespa feed: {:.2}", ratios[ratios.len() / 2]);
}

/// An entity with one chunk of about a kilobyte of text.
fn entity(number: u32) -> EntityDocument {
    let text = format!("document {number} says what many documents say, again and again. ").repeat(16);
    // As long as those of a model, and what bfloat16 holds: of others the CLI would be given what the server keeps, and send
    // other numbers than we do.
    let mut random = fastrand::Rng::with_seed(number.into());
    let value = |_| f32::from_bits((random.f32() - 0.5).to_bits() & 0xffff_0000);
    EntityDocument {
        entity: EntityRef(format!("entity-{number}")),
        class: "SlackMessageEntity".into(),
        content_hash: format!("{number:064x}"),
        chunks: vec![Chunk {
            index: 0,
            text,
            payload: json!({ "channel": "general", "ts": number.to_string() }).to_string(),
            dense: (0..DIMENSIONS).map(value).collect(),
            sparse: SparseVector {
                indices: (0..20).map(|n| n * 1_000 + number % 900).collect(),
                values: vec![1.0; 20],
            },
        }],
    }
}

/// Threads of this name, so that a profiler tells them apart.
fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread().enable_all().thread_name(name).build().expect("a runtime")
}

fn options(service_time: Duration) -> VespaServerOptions {
    VespaServerOptions { dimensions: DIMENSIONS, service_time, ..VespaServerOptions::default() }
}

fn slot(server: &VespaServer) -> Vespa {
    let endpoint = VespaEndpoint::new(&server.url().into(), VespaCredentials::None).expect("a URL");
    let client = Arc::new(VespaClient::new(&endpoint, VespaLimits::default()).expect("a client"));
    let [organization_id, collection_id, sync_id, slot_id] = [1, 2, 3, 4].map(Uuid::from_u128);
    let scope = Scope { organization_id, collection_id, sync_id, slot_id };
    // With ids of our own the writes are as unconditional as those of the CLI.
    let layout = VespaLayout { documents: Documents::Chunk.into(), ids: Ids::Scoped.into(), ..VespaLayout::default() };
    Vespa::new(client, scope, VespaSettings::from_layout(&layout, DIMENSIONS).expect("the layout is valid"))
}

/// What our destination makes of the entities.
fn documents_of(entities: &[EntityDocument]) -> Vec<Stored> {
    let runtime = runtime("server");
    let server = runtime.block_on(VespaServer::start(options(Duration::ZERO)));
    runtime.block_on(slot(&server).upsert(entities)).expect("a feed");
    server.documents()
}

/// Writes a line per document.
fn write_for_the_cli(documents: &[Stored], file: &Path) {
    let mut lines = std::io::BufWriter::new(std::fs::File::create(file).expect("a file"));
    for (id, mut fields) in documents.iter().cloned() {
        // The type is not part of what is fed.
        for tensor in ["dense_embedding", "sparse_embedding"] {
            fields[tensor].as_object_mut().and_then(|tensor| tensor.remove("type")).expect("a tensor");
        }
        writeln!(lines, "{}", json!({ "put": id, "fields": fields })).expect("room on the disk");
    }
    lines.flush().expect("room on the disk");
}

fn bytes_each(file: &Path, count: u32) -> u64 {
    std::fs::metadata(file).expect("it was written").len() / u64::from(count)
}

/// Documents per second of the CLI.
fn with_the_cli(file: &Path, documents: &[Stored]) -> f64 {
    let servers = runtime("server");
    let server = servers.block_on(VespaServer::start(options(SERVICE_TIME)));
    let home = tempfile::tempdir().expect("a folder");
    let output = Command::new(required_env("SYNCMUX_VESPA_CLI"))
        .env_clear()
        .env("VESPA_CLI_HOME", home.path())
        .env("HOME", home.path())
        .args(["--target", &server.url(), "--color", "never", "feed"])
        .arg(file)
        .output()
        .expect("the CLI runs");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("a summary in JSON");
    assert_eq!(summary["feeder.ok.count"], documents.len(), "{summary}");
    assert!(server.documents() == documents, "it fed everything");
    documents.len() as f64 / summary["feeder.seconds"].as_f64().expect("seconds")
}

/// Documents per second of our destination.
fn with_ours(entities: &Arc<[EntityDocument]>, documents: &[Stored]) -> f64 {
    let (servers, clients) = (runtime("server"), runtime("client"));
    let server = servers.block_on(VespaServer::start(options(SERVICE_TIME)));
    let (slot, entities) = (slot(&server), Arc::clone(entities));
    let started = Instant::now();
    // On one of the runtime's threads, where activities are.
    let feed = clients.spawn(async move { slot.upsert(&entities).await });
    let outcome = clients.block_on(feed).expect("no panic").expect("a feed");
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (documents.len(), 0));
    assert!(server.documents() == documents, "it fed everything");
    documents.len() as f64 / seconds
}
