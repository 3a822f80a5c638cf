//! Other people's clients against the server: the Vespa CLI and pyvespa. They show that transport, addresses, bodies,
//! paging and statuses are as the real clients expect them; what they do not look at, they do not prove.
//!
//! `SYNCMUX_VESPA_CLI` and `SYNCMUX_PYVESPA_DIR` name them; `make test` sets both. The CLI's exit code says nothing about
//! the operations it fed, so its summary is read instead.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use harness::required_env;
use harness::vespa::{Fault, FaultRule, Security, VespaServer, VespaServerOptions, Victim};
use hyper::Version;
use serde_json::{Value, json};
use tokio::process::Command;

async fn start() -> VespaServer {
    VespaServer::start(VespaServerOptions::default()).await
}

/// A command of the CLI that cannot look anything up elsewhere.
fn cli(server: &VespaServer, home: &Path) -> Command {
    let mut command = Command::new(required_env("SYNCMUX_VESPA_CLI"));
    command.env_clear().env("VESPA_CLI_HOME", home).env("HOME", home);
    command.args(["--target", &server.url(), "--color", "never"]).kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> Output {
    let output = command.output().await.expect("the program runs");
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output
}

/// Feeds lines and reads the summary.
async fn feed(server: &VespaServer, lines: &str, more: impl FnOnce(&mut Command)) -> Value {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("feed.jsonl");
    std::fs::write(&file, lines).expect("a file");
    let mut command = cli(server, home.path());
    command.arg("feed").arg(&file);
    more(&mut command);
    let output = run(&mut command).await;
    serde_json::from_slice(&output.stdout).expect("a summary in JSON")
}

fn put(id: &str, text: &str) -> String {
    let dense: Vec<f32> = vec![0.25; 8];
    let fields = json!({ "name": id, "textual_representation": text, "dense_embedding": { "values": dense } });
    json!({ "put": format!("id:airweave:base_entity::{id}"), "fields": fields }).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cli_feeds_everything_over_http_2() {
    // Slow enough that requests are under way together.
    let options = VespaServerOptions { service_time: Duration::from_millis(2), ..VespaServerOptions::default() };
    let server = VespaServer::start(options).await;
    let ids = ["plain", "a b", "weird/id", "per%cent", "https://x//y?q=1#z", "é漢\u{1f980}", "trail/", "q&a=;,:@!"];
    let mut lines = String::new();
    for n in 0..2_000 {
        writeln!(lines, "{}", put(&format!("bulk {n}"), "some words")).expect("memory");
    }
    for id in ids {
        writeln!(lines, "{}", put(id, &"long text ".repeat(200))).expect("memory");
    }
    let summary = feed(&server, &lines, |_| {}).await;
    assert_eq!(summary["feeder.ok.count"], 2_008, "{summary}");
    assert_eq!(summary["http.response.code.counts"], json!({ "200": 2_008 }));
    let stored = server.ids();
    assert_eq!(stored.len(), 2_008);
    for id in ids {
        assert!(stored.contains(&format!("id:airweave:base_entity::{id}")), "{id}");
    }
    let requests = server.journal().requests();
    assert!(requests.iter().all(|request| request.version == Version::HTTP_2));
    assert!(requests.iter().any(|request| request.compressed), "long bodies are compressed");
    assert!(server.journal().connections() > 1 && server.journal().most_in_flight() > 8);
}

/// A fault of the CLI, which leaves a plus as it is: our own client has to do better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cli_stores_a_plus_as_a_space() {
    let server = start().await;
    feed(&server, &put("a+b", "text"), |_| {}).await;
    assert_eq!(server.ids(), ["id:airweave:base_entity::a b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cli_updates_removes_and_reports_refusals() {
    let server = start().await;
    let lines = [
        put("kept", "text"),
        put("gone", "text"),
        r#"{"update":"id:airweave:base_entity::kept","fields":{"name":{"assign":"new"}}}"#.into(),
        r#"{"update":"id:airweave:base_entity::made","create":true,"fields":{"name":{"assign":"made"}}}"#.into(),
        r#"{"remove":"id:airweave:base_entity::gone"}"#.into(),
        r#"{"put":"id:airweave:base_entity::never","condition":"base_entity.name=='x'","fields":{"name":"x"}}"#.into(),
        r#"{"put":"id:airweave:base_entity::bad","fields":{"nothing":1}}"#.into(),
        "{\"put\":\"id:airweave:base_entity::control\",\"fields\":{\"name\":\"a\\u0008\"}}".into(),
    ];
    let summary = feed(&server, &lines.join("\n"), |_| {}).await;
    assert_eq!(summary["http.response.code.counts"], json!({ "200": 5, "400": 2, "412": 1 }), "{summary}");
    assert_eq!(server.ids(), ["id:airweave:base_entity::kept", "id:airweave:base_entity::made"]);
    let kept = server.document("id:airweave:base_entity::kept").expect("it is there");
    assert_eq!(kept["name"], "new");
    assert_eq!(server.journal().most_on_one_document(), 1, "operations on one document wait for each other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cli_outlasts_overload_and_unavailability() {
    let server = start().await;
    server.inject(FaultRule::new(Fault::Overload).on(Victim::Writes).times(40));
    server.inject(FaultRule::new(Fault::Unavailable).on(Victim::Document("doc 7".into())).times(2));
    server.inject(FaultRule::new(Fault::GoAway).on(Victim::Document("doc 9".into())).times(1));
    let lines: Vec<String> = (0..200).map(|n| put(&format!("doc {n}"), "text")).collect();
    let summary = feed(&server, &lines.join("\n"), |_| {}).await;
    assert_eq!(summary["feeder.ok.count"], 200, "{summary}");
    assert_eq!(server.ids().len(), 200);
    assert_eq!(server.journal().statuses()[&429], 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cli_comes_in_with_its_certificate() {
    let options = VespaServerOptions { security: Security::MutualTls, ..VespaServerOptions::default() };
    let server = VespaServer::start(options).await;
    let folder = tempfile::tempdir().expect("a folder");
    let identity = server.client_identity().expect("it speaks TLS");
    let authority = server.authority_pem().expect("it speaks TLS");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let (ca, certificate, key) =
        (write("ca.pem", authority), write("cert.pem", &identity.certificate_pem), write("key.pem", &identity.key_pem));
    let summary = feed(&server, &put("a", "text"), |command| {
        command.env("VESPA_CLI_DATA_PLANE_CA_CERT_FILE", ca);
        command.env("VESPA_CLI_DATA_PLANE_CERT_FILE", certificate).env("VESPA_CLI_DATA_PLANE_KEY_FILE", key);
    })
    .await;
    assert_eq!(summary["feeder.ok.count"], 1, "{summary}");
    assert_eq!(server.journal().requests()[0].version, Version::HTTP_2, "agreed on by ALPN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cli_gets_visits_and_queries() {
    let server = start().await;
    let lines: Vec<String> = (0..500).map(|n| put(&format!("doc {n}"), "some words")).collect();
    feed(&server, &lines.join("\n"), |_| {}).await;
    let home = tempfile::tempdir().expect("a folder");

    let output = run(cli(&server, home.path()).args(["document", "get", "id:airweave:base_entity::doc 7"])).await;
    let got: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&got["id"], &got["fields"]["name"]), (&json!("id:airweave:base_entity::doc 7"), &json!("doc 7")));
    let absent = run(cli(&server, home.path()).args(["document", "get", "id:airweave:base_entity::absent"])).await;
    assert!(!absent.status.success(), "this command does tell by its exit code");

    for more in [&[][..], &["--stream"][..], &["--selection", "base_entity.name != 'doc 7'"][..]] {
        let mut command = cli(&server, home.path());
        let output = run(command.args(["visit", "--field-set", "[id]"]).args(more)).await;
        assert!(output.status.success());
        let lines = String::from_utf8(output.stdout).expect("text");
        let ids: std::collections::BTreeSet<String> = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["id"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(ids.len(), if more.len() == 2 { 499 } else { 500 }, "{more:?}");
    }

    let yql = "yql=select * from sources * where name contains 'doc 7'";
    let output = run(cli(&server, home.path()).args(["query", yql])).await;
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["root"]["fields"]["totalCount"], 1, "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyvespa_feeds_gets_updates_removes_and_visits() {
    let server = start().await;
    let mut command = Command::new("python3");
    command
        .args(["-W", "ignore", "-c", include_str!("pyvespa_client.py"), &server.url()])
        .env("PYTHONPATH", required_env("SYNCMUX_PYVESPA_DIR"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    let output = run(&mut command).await;
    assert!(output.status.success());
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        told,
        json!({
            "fed": { "200": 60 }, "fed over HTTP/2": { "200": 60 }, "refused": 400, "got": "doc 7", "absent": 404,
            "updated": "new", "made": 200, "condition": 412, "removed": 200, "visited": 120, "found": 1, "left": 0,
        })
    );
    let versions: Vec<Version> = server.journal().requests().iter().map(|request| request.version).collect();
    assert!(versions.contains(&Version::HTTP_11) && versions.contains(&Version::HTTP_2));
    assert_eq!(server.ids(), [""; 0]);
}
