//! Schemathesis asks the API what its description allows, and what it does not: no answer is a server error, none is of a
//! status, a type or a shape that is not described.

use std::time::Duration;

use futures::StreamExt as _;
use harness::{World, required_env, until};
use temporalio_client::WorkflowListOptions;
use tokio::process::Command;

/// How long it asks; on a slow machine it asks less.
const SECONDS: &str = "40";

/// Requests of each kind and route in one pass.
const EXAMPLES: &str = "3";

/// When it is given up.
const LONGEST: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn a_fuzzer_finds_no_server_error_and_nothing_undescribed() {
    let seed = std::env::var("SYNCMUX_FUZZ_SEED").unwrap_or_else(|_| "20260".to_owned());
    println!("fuzzer seed {seed}; SYNCMUX_FUZZ_SEED takes another");
    let world = World::new().await;
    // What gets as far as a workflow is refused there, so nothing is left running.
    let worker = world.worker();
    let limits = ["--answer-wait-seconds", "0", "--requests-per-second", "10000", "--request-burst", "10000"];
    let api = world.api(&limits).await;
    let key = world.api_key(world.ids.organization_id, "1 day").await;

    // Real ids get further than random ones.
    let config = world.store_root().join("schemathesis.toml");
    let ids = &world.ids;
    let parameters = format!(
        "[parameters]\n\"path.sync_id\" = \"{}\"\n\"path.collection_id\" = \"{}\"\n\"header.X-Organization-ID\" = \"{}\"\n",
        ids.sync_id, ids.collection_id, ids.organization_id
    );
    std::fs::write(&config, parameters).expect("the configuration can be written");
    let mut fuzzer = Command::new("python3");
    fuzzer
        .current_dir(world.store_root())
        .env("PYTHONPATH", required_env("SYNCMUX_SCHEMATHESIS_DIR"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(&config)
        .args(["run", &format!("{}/openapi.json", api.url), "--header", &format!("X-API-Key: {key}")])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        .args(["--checks", "response_schema_conformance,response_headers_conformance,unsupported_method"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", &seed])
        .args(["--max-time", SECONDS, "--request-timeout", "45", "--workers", "1", "--no-shrink"])
        // The compatible routes are the same handlers once more.
        .args(["--exclude-path-regex", "^/sync/"])
        .args(["--suppress-health-check", "all", "--warnings", "off", "--no-color"]);
    let ran = tokio::time::timeout(LONGEST, fuzzer.kill_on_drop(true).output()).await;
    let output = ran.unwrap_or_else(|_| panic!("seed {seed}: the fuzzer did not end")).expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "seed {seed}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", said.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"));

    let running = format!("TaskQueue = '{}' AND ExecutionStatus = 'Running'", world.task_queue);
    until("everything that was begun to end", Duration::from_secs(60), || async {
        let listed = world.client.list_workflows(running.clone(), WorkflowListOptions::default());
        listed.collect::<Vec<_>>().await.is_empty()
    })
    .await;
    drop((api, worker));
    world.done().await;
}
