//! Replays many small entities and prints how fast that was and how much memory the worker took at most.
//!
//! `make bench` runs it; `make bench ENTITIES=20000` with fewer. It measures, it does not judge: the figures depend on the
//! machine. Memory must not grow with the store, so compare two sizes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use harness::{World, WorldOptions};
use proto::v1::ForkOptions;

#[tokio::main]
async fn main() {
    let entities: usize = std::env::var("ENTITIES").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let world = World::with(WorldOptions { entities: 0, ..WorldOptions::default() }).await;
    write_small_entities(&world.store().join("entities"), entities);

    let worker = world.worker_with(&["--log", "warn"]);
    let mut request = world.fork_request(world.ids.connection_v0);
    request.options = Some(ForkOptions::default());
    let started = Instant::now();
    let result = world.fork(&request).await.expect("the fork completes");
    let seconds = started.elapsed().as_secs_f64();

    let peak_kib = peak_memory_kib(worker.pid());
    println!(
        "{} entities as {} points in {seconds:.1} s: {:.0} entities/s",
        result.entities,
        result.points,
        result.entities as f64 / seconds
    );
    println!("peak memory of the worker: {} MiB", peak_kib / 1024);
    assert_eq!(result.entities, entities as u64, "every entity is carried over");
    drop(worker);
    world.done().await;
}

/// Messages of a few words each, in the form of the raw store.
fn write_small_entities(folder: &Path, entities: usize) {
    std::fs::create_dir_all(folder).expect("the store is writable");
    let words =
        ["invoice", "release", "outage", "customer", "database", "meeting", "latency", "contract", "design", "hiring"];
    for number in 0..entities {
        let mut text = String::new();
        for position in 0..12 {
            let _ = write!(
                text,
                "{} {} ",
                words[(number * 7 + position * 3) % words.len()],
                (number / (position + 1)) % 97
            );
        }
        let json = format!(
            r#"{{"entity_id":"message-{number}","breadcrumbs":[],"name":"message {number}","created_at":"2024-01-15T10:30:00Z","updated_at":null,"textual_representation":null,"airweave_system_metadata":null,"text":"{text}","username":"user {}","ts":"{number}","channel_id":"C1","channel_name":"general","__entity_class__":"SlackMessageEntity","__entity_module__":"airweave.platform.entities.slack","__captured_at__":"2026-01-05T09:00:00+00:00"}}"#,
            number % 50
        );
        std::fs::write(folder.join(format!("message-{number}.json")), json).expect("the store is writable");
    }
}

/// The most memory the process has had resident so far, as Linux counts it.
fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says VmHWM");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}
