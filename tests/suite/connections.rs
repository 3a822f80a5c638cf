//! How a destination is found: by credentials of the organisation, or by the worker's settings.

use harness::qdrant::{QdrantServer, QdrantServerOptions};
use harness::vespa::{VespaServer, VespaServerOptions};
use harness::{World, syncmux};
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::Documents;
use proto::v1::{ForkRequest, Profile, QdrantLayout, VespaLayout};
use serde_json::{Value, json};
use uuid::Uuid;
use workflows::domain::ErrorKind;

/// The platform's own layout in Qdrant.
fn on_qdrant() -> Destination {
    Destination::Qdrant(QdrantLayout::default())
}

/// The platform's own layout in Vespa.
fn on_vespa() -> Destination {
    Destination::Vespa(VespaLayout { documents: Documents::Chunk.into(), ..VespaLayout::default() })
}

fn request(world: &World, connection: Uuid, destination: Destination) -> ForkRequest {
    let profile = Profile { destination: Some(destination), ..world.profile(512) };
    ForkRequest { profile: Some(profile), ..world.fork_request(connection) }
}

#[tokio::test(flavor = "multi_thread")]
async fn native_destinations_are_found_by_the_workers_settings() {
    let world = World::new().await;
    let options = QdrantServerOptions { api_key: Some("right".to_owned()), ..QdrantServerOptions::default() };
    let qdrant = QdrantServer::start(options).await;
    let vespa = VespaServer::start(VespaServerOptions { dimensions: 256, ..VespaServerOptions::default() }).await;
    let (to_qdrant, to_vespa) =
        (world.connect_native("qdrant_native").await, world.connect_native("vespa_native").await);

    // A worker that was not told where they are says what to tell it.
    let worker = world.worker();
    for (connection, destination, setting) in
        [(to_qdrant, on_qdrant(), "set QDRANT_HOST and QDRANT_PORT"), (to_vespa, on_vespa(), "set VESPA_URL")]
    {
        let failure = world.fork(&request(&world, connection, destination)).await.expect_err("not found");
        assert_eq!(failure.kind(), Some(ErrorKind::DestinationDenied), "{failure}");
        assert!(failure.to_string().contains(setting), "{failure}");
    }
    assert!(worker.stop(), "the worker ends well");

    let (rest_port, grpc_port, url) = ((qdrant.port() - 1).to_string(), qdrant.port().to_string(), vespa.url());
    let settings = ["--qdrant-host", "127.0.0.1", "--qdrant-port", &rest_port, "--qdrant-api-key", "right"];
    let worker = world.worker_with(&[&settings[..], &["--vespa-url", &url]].concat());
    for (connection, destination) in [(to_qdrant, on_qdrant()), (to_vespa, on_vespa())] {
        let result = world.fork(&request(&world, connection, destination)).await.expect("the fork completes");
        assert_eq!((result.state.as_str(), result.entities), ("ready", 60));
    }
    assert!(qdrant.stored_points("airweave_vectors_256").len() >= 60, "the platform's shared collection");
    assert!(vespa.ids().len() >= 60);

    let findings = doctor(&world, &settings);
    let derived = format!("gRPC port {grpc_port} derived from {rest_port}; set QDRANT_GRPC_PORT to change it");
    assert_eq!(findings["qdrant"]["ok"], true, "{findings}");
    assert!(findings["qdrant"]["says"].as_str().is_some_and(|says| says.contains(&derived)), "{findings}");
    let findings =
        doctor(&world, &["--qdrant-host", "127.0.0.1", "--qdrant-grpc-port", &grpc_port, "--vespa-url", &url]);
    assert_eq!((&findings["qdrant"]["ok"], &findings["vespa"]["ok"]), (&json!(false), &json!(true)), "{findings}");
    let said = findings["qdrant"]["says"].as_str().expect("words");
    assert!(
        said.starts_with("DestinationDenied") && !said.contains("derived"),
        "a key is missing, not the server: {said}"
    );
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

/// What the doctor finds, by what it looked at.
fn doctor(world: &World, arguments: &[&str]) -> Value {
    let output = world.command().args(["doctor", "--json"]).args(arguments).output().expect("the program runs");
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    findings.into_iter().map(|it| (it["what"].as_str().expect("a name").to_owned(), it)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_asks_the_destination_behind_a_connection() {
    let world = World::new().await;
    let qdrant = QdrantServer::start(QdrantServerOptions::default()).await;
    let vespa = VespaServer::start(VespaServerOptions::default()).await;
    let (host, port) = (format!("http://127.0.0.1:{}", qdrant.port() - 1), qdrant.port());
    let derived = format!("gRPC port {port} derived from {}; set `grpc_port` in its credentials", port - 1);
    let nowhere = world.database_url.replace("/world_", "/no_world_");
    for (kind, credentials, ok, words) in [
        ("qdrant", json!({ "url": host }), true, derived.as_str()),
        ("qdrant", json!({ "url": "http://127.0.0.1:1" }), false, "Unavailable"),
        ("qdrant", json!({ "url": "ftp://somewhere" }), false, "http://, https://, grpc:// or grpcs://"),
        ("qdrant", json!({ "api_key": "k" }), false, "no text field `url`"),
        ("vespa", json!({ "url": vespa.url(), "token": "" }), true, &vespa.url()),
        ("vespa", json!({ "url": "http://127.0.0.1:1" }), false, "http://127.0.0.1:1"),
        ("vespa", json!({ "url": "https://v", "certificate": "c" }), false, "no text field `key`"),
        ("vespa", json!({ "url": "https://v", "certificate": "c", "token": "t" }), false, "one or the other"),
        ("pgvector", json!({ "url": world.database_url }), true, "Postgres of its credentials"),
        ("pgvector", json!({ "url": nowhere }), false, "names a database that does not exist"),
        ("s3", json!({ "bucket_name": "b" }), false, "connections of kind s3 are not known"),
    ] {
        let before = (qdrant.journal().writes(), vespa.ids().len());
        let connection = world.connect_destination(kind, credentials.clone()).await.to_string();
        let finding = &doctor(&world, &["--connection", &connection])["connection"];
        assert_eq!(finding["ok"], ok, "{kind} {credentials}: {finding}");
        assert!(finding["says"].as_str().is_some_and(|says| says.contains(words)), "{kind} {credentials}: {finding}");
        assert_eq!((qdrant.journal().writes(), vespa.ids().len()), before, "the doctor only looks");
    }
    let unknown = Uuid::new_v4().to_string();
    let finding = &doctor(&world, &["--connection", &unknown])["connection"];
    assert!(finding["says"].as_str().is_some_and(|says| says.starts_with("NotFound")), "{finding}");
    let mut alone = std::process::Command::new(syncmux());
    let output = alone.args(["doctor", "--connection", &unknown]).env_clear().output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    world.done().await;
}
