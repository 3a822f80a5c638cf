//! `syncmux probe`, by which containers are asked for their health.

use std::process::{Command, Output};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use harness::syncmux;
use tokio::net::TcpListener;

async fn probe(address: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(syncmux());
    command.env_clear().arg("probe").args(arguments).env("SYNCMUX_PROBE_ADDRESS", address);
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the program runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_who_is_ready_from_who_only_lives() {
    let app = Router::new()
        .route("/livez", get(async || "alive"))
        .route("/readyz", get(async || (StatusCode::SERVICE_UNAVAILABLE, "the database is away")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address").to_string();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    assert_eq!(probe(&address, &["--live"]).await.status.code(), Some(0));
    let output = probe(&address, &[]).await;
    assert_eq!(output.status.code(), Some(10));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/readyz answers 503"), "{output:?}");
    serving.abort();

    let output = probe("127.0.0.1:1", &[]).await;
    assert_eq!(output.status.code(), Some(10));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nobody answers"), "{output:?}");
    assert_eq!(probe("not an address", &[]).await.status.code(), Some(2));
}
