//! `syncmux fork --collection`

use std::collections::HashMap;

use proto::v1::{ForkCollectionRequest, ForkCollectionResult, Progress, SyncFork};
use workflows::domain::ErrorKind;
use workflows::fork_collection_workflow_id;

use super::fork::started;
use crate::config::TemporalArgs;
use crate::output::{Failure, print_json, table};
use crate::temporal;

/// Starts the forks and waits for their ends. A sync that is not ready is a failure, of the kind of the first of them.
pub(super) async fn run(
    temporal: &TemporalArgs,
    request: &ForkCollectionRequest,
    detach: bool,
    json: bool,
) -> Result<(), Failure> {
    let client = temporal::connect(temporal).await?;
    let handle = temporal::start_fork_collection(&client, &temporal.task_queue, request).await?;
    let id = fork_collection_workflow_id(&request.collection_id, &request.destination_connection_id);
    if detach {
        return started(&request.operation_id, &id, json);
    }
    eprintln!("started {id}, operation {}; leaving this command does not stop it", request.operation_id);
    let mut told = Told::default();
    let result = temporal::watch_fork_collection(&client, request, &handle, |progress| told.tell(progress)).await?;
    if json {
        print_json(&result)?;
    } else {
        print_result(&result);
    }
    let not_ready: Vec<&SyncFork> =
        result.syncs.iter().filter(|fork| matches!(fork.state.as_str(), "failed" | "cancelled")).collect();
    let Some(first) = not_ready.iter().find(|fork| fork.state == "failed").or(not_ready.first()) else {
        return Ok(());
    };
    Err(Failure::new(
        first.error_kind.parse().unwrap_or(ErrorKind::Conflict),
        format!(
            "{} of {} syncs are not ready; the others are, and repeating the command goes on with the rest",
            not_ready.len(),
            result.syncs.len()
        ),
    ))
}

/// What was said of each sync last.
#[derive(Default)]
struct Told(HashMap<String, String>);

impl Told {
    /// One line on stderr for each sync that is in another state, or at another step, than before.
    fn tell(&mut self, progress: &Progress) {
        for fork in progress.syncs.iter().filter(|fork| fork.state != "waiting") {
            let now = if fork.phase.is_empty() { &fork.state } else { &fork.phase };
            if self.0.insert(fork.sync_id.clone(), now.clone()).as_ref() != Some(now) {
                eprintln!("sync {} {now}", fork.sync_id);
            }
        }
    }
}

fn print_result(result: &ForkCollectionResult) {
    let mut rows = table(&["SYNC", "STATE", "SLOT", "ENTITIES", "POINTS", "DEAD", "WHY"]);
    for fork in &result.syncs {
        let why = if fork.error_kind.is_empty() {
            String::new()
        } else {
            format!("{}: {}", fork.error_kind, fork.error_message)
        };
        rows.add_row([
            fork.sync_id.clone(),
            fork.state.clone(),
            fork.slot_id.clone(),
            fork.entities.to_string(),
            fork.points.to_string(),
            fork.dead_letter_count.to_string(),
            why,
        ]);
    }
    println!("{rows}");
    println!("{} ready, {} failed, {} cancelled", result.ready, result.failed, result.cancelled);
}
