//! `syncmux fork`

use std::path::PathBuf;

use clap::Args;
use proto::v1::{ForkCollectionRequest, ForkOptions, ForkRequest, ForkResult};
use uuid::Uuid;
use workflows::fork_workflow_id;

use super::fork_collection;
use super::progress_bar::ForkBar;
use crate::config::{TemporalArgs, TenantArgs};
use crate::output::{Failure, print_json};
use crate::{profile_file, temporal};

/// Add a shadow destination to a sync and fill it from the raw store.
///
/// Validates the raw store, adds the slot, fills it in checkpointed batches, verifies it
/// and marks it ready to switch. The active slot is not touched. When it fails or is
/// cancelled, what it made is taken back. Repeating it with the same profile continues from
/// its checkpoints; a finished one only replays what is new.
///
/// With --collection it does so for every sync of a collection, some at a time. A sync that
/// fails stops none of the others; what is ready stays ready, and repeating the command goes
/// on with the rest.
///
/// A connection whose slot the platform made, and which is kept for a rollback since the
/// first switch, is adopted: every entity is written anew, and then a rollback can go there.
///
/// The profile is a JSON or TOML file, for example:
///
///   name = "v1"
///   chunker = { max_tokens = 256 }
///   pgvector = { vector_type = "VECTOR_TYPE_HALFVEC", hnsw = {} }
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Fork {
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync to fork
    #[arg(long, value_name = "UUID", required_unless_present = "collection")]
    sync: Option<String>,
    /// Fork every sync of this collection
    #[arg(long, value_name = "UUID", conflicts_with = "sync")]
    collection: Option<String>,
    /// Syncs of the collection forked at a time, 1 to 16
    #[arg(long, default_value_t = 2, value_name = "N", conflicts_with = "sync")]
    concurrency: u32,
    /// Connection of type DESTINATION to fill
    #[arg(long, value_name = "UUID")]
    destination: String,
    /// How the slot is built: a .json or .toml file
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Create the slot but write nothing; a later fork fills it
    #[arg(long)]
    without_replay: bool,
    /// Go on although the platform knows entities that the raw store lacks
    #[arg(long)]
    allow_incomplete: bool,
    /// Segments worked on at a time, 1 to 64
    #[arg(long, default_value_t = 4, value_name = "N")]
    lanes: u32,
    /// Entities written and checkpointed as one batch
    #[arg(long, default_value_t = 64, value_name = "N")]
    batch: u32,
    /// Percent of a slot's entities that may be gone from the raw store
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    max_drop_percent: u32,
    /// As many entities may be gone in any case: the number that a refused fork named
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    confirm_drop: u64,
    /// Entities that may end as dead letters; default 10 or 1 %, whichever is more
    #[arg(long, value_name = "N")]
    dead_letter_budget: Option<u32>,
    /// Repeating a request with the same id is one operation
    #[arg(long, default_value = "", value_name = "UUID", hide_default_value = true)]
    operation_id: String,
    /// Start it and return at once
    #[arg(long)]
    detach: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Fork {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (profile, options) = (Some(profile_file::read(&self.profile)?), Some(self.options()));
        let operation_id = if self.operation_id.is_empty() { Uuid::now_v7().to_string() } else { self.operation_id };
        if let Some(collection_id) = self.collection {
            let request = ForkCollectionRequest {
                organization_id: self.tenant.organization,
                collection_id,
                destination_connection_id: self.destination,
                profile,
                options,
                concurrency: self.concurrency,
                operation_id,
                requested_by: whoami(),
            };
            return fork_collection::run(&self.temporal, &request, self.detach, self.json).await;
        }
        let request = ForkRequest {
            organization_id: self.tenant.organization,
            sync_id: self.sync.unwrap_or_default(),
            destination_connection_id: self.destination,
            profile,
            options,
            operation_id,
            requested_by: whoami(),
        };
        let client = temporal::connect(&self.temporal).await?;
        let handle = temporal::start_fork(&client, &self.temporal.task_queue, &request).await?;
        let id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);
        if self.detach {
            return started(&request.operation_id, &id, self.json);
        }
        eprintln!("started {id}, operation {}; leaving this command does not stop it", request.operation_id);
        let bar = ForkBar::new();
        let outcome = temporal::watch_fork(&handle, |progress| bar.show(progress)).await;
        bar.done();
        let result = outcome?;
        if self.json {
            return print_json(&result);
        }
        print_result(&result);
        Ok(())
    }

    fn options(&self) -> ForkOptions {
        ForkOptions {
            without_replay: self.without_replay,
            allow_incomplete: self.allow_incomplete,
            lanes: self.lanes,
            batch_entities: self.batch,
            dead_letter_budget: self.dead_letter_budget,
            max_drop_percent: Some(self.max_drop_percent),
            confirm_drop: self.confirm_drop,
            ..ForkOptions::default()
        }
    }
}

/// Says what was started, and how to look at it.
pub(super) fn started(operation: &str, workflow: &str, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&serde_json::json!({ "operation_id": operation, "workflow_id": workflow }));
    }
    println!("started {workflow}, operation {operation}");
    println!("`syncmux status --operation {operation} --watch` shows where it is");
    Ok(())
}

/// Prints what a fork did, in words.
pub(crate) fn print_result(result: &ForkResult) {
    println!("slot {} is {}", result.slot_id, result.state);
    println!(
        "{} listed, {} unchanged, {} written as {} points, {} without text, {} deleted, {} dead letters",
        result.listed,
        result.unchanged,
        result.entities,
        result.points,
        result.textless,
        result.deleted,
        result.dead_letter_count
    );
    if let Some(lag) = result.lag.filter(|_| result.catch_up_rounds > 0) {
        println!(
            "{} rounds of catching up; {} entities changed before the last of them",
            result.catch_up_rounds, lag.entities
        );
    }
    println!("{} chunks embedded, {} reused", result.chunks_embedded, result.chunks_reused);
    for letter in &result.dead_letters {
        println!("  dead letter  {}  {}: {} ({})", letter.object_key, letter.stage, letter.message, letter.kind);
    }
    for gap in &result.gaps {
        println!("  gap  {}  ×{}", gap.what, gap.count);
    }
    if let Some(verification) = &result.verification {
        println!(
            "verified {} entities and {} points, {} read back",
            verification.entities_compared, verification.points_found, verification.sampled
        );
    }
}

/// Who asks, for the audit trail.
pub(super) fn whoami() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown user".to_owned());
    format!("{user} by command line")
}
