//! `syncmux resync`

use clap::Args;
use proto::v1::{ResyncOptions, ResyncRequest, ResyncResult};
use workflows::domain::ErrorKind;
use workflows::resync_workflow_id;

use super::fork::whoami;
use super::progress_bar::ForkBar;
use crate::config::{TemporalArgs, TenantArgs};
use crate::output::{Failure, print_json};
use crate::temporal;

/// Make the platform pull a sync again, so that its raw store is complete.
///
/// Starts one job at the platform and watches it to its end. Then compares the raw store with what the platform knows,
/// and brings every slot that is kept fresh up to it. The workers need PLATFORM_API_URL and, unless the platform wants
/// none, PLATFORM_API_KEY.
///
/// An ordinary job captures only what changed: an entity that the raw store lost stays lost. With --rebuild the
/// platform captures everything and writes nothing else; that takes a key for administrators, and a platform of January
/// 2026 or later.
///
/// Cancelling the resync cancels its job. A job that ends as a success without having seen an entity is no success.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux resync --sync $SYNC
  syncmux resync --sync $SYNC --rebuild --wait-seconds 3600")]
pub(super) struct Resync {
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// Capture every entity anew, also those that did not change
    #[arg(long)]
    rebuild: bool,
    /// Wait so long for a job of the platform that runs already, up to 7 days; 0 refuses at once
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait_seconds: u32,
    /// How long the job may take [default: 7 days]
    #[arg(long, default_value_t = 0, value_name = "SECONDS", hide_default_value = true)]
    job_limit_seconds: u32,
    /// How long to go on trying while the platform's API does not answer [default: 10 minutes]
    #[arg(long, default_value_t = 0, value_name = "SECONDS", hide_default_value = true)]
    away_limit_seconds: u32,
    /// Percent of a slot's entities that may be gone from the raw store
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    max_drop_percent: u32,
    /// As many entities may be gone in any case: the number that a refusal named
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    confirm_drop: u64,
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

impl Resync {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let request = ResyncRequest {
            organization_id: self.tenant.organization,
            sync_id: self.sync,
            rebuild_raw_store: self.rebuild,
            operation_id: self.operation_id,
            requested_by: whoami(),
            options: Some(ResyncOptions {
                wait_seconds: self.wait_seconds,
                job_limit_seconds: self.job_limit_seconds,
                away_limit_seconds: self.away_limit_seconds,
                max_drop_percent: Some(self.max_drop_percent),
                confirm_drop: self.confirm_drop,
                ..ResyncOptions::default()
            }),
        };
        let client = temporal::connect(&self.temporal).await?;
        let handle = temporal::start_resync(&client, &self.temporal.task_queue, &request).await?;
        let id = resync_workflow_id(&request.sync_id);
        if self.detach {
            println!("started {id}");
            return Ok(());
        }
        eprintln!("started {id}; leaving this command does not stop it");
        let bar = ForkBar::new();
        let outcome = temporal::watch_resync(&handle, |progress| bar.show(progress)).await;
        bar.done();
        let result = outcome?;
        if self.json {
            print_json(&result)?;
        } else {
            print_result(&result);
        }
        match result.slots.iter().find(|slot| !slot.problem.is_empty()) {
            None => Ok(()),
            Some(slot) => Err(Failure::new(
                slot.problem_kind.parse().unwrap_or(ErrorKind::Internal),
                format!("the raw store is fresh, and slot {} is not: {}", slot.slot_id, slot.problem),
            )),
        }
    }
}

fn print_result(result: &ResyncResult) {
    if let Some(job) = &result.job {
        println!(
            "job {} {}: {} encountered, {} inserted, {} updated, {} deleted, {} kept",
            job.sync_job_id, job.status, job.encountered, job.inserted, job.updated, job.deleted, job.kept
        );
    }
    println!(
        "raw store: {} entities before, {} now; the platform knows {}, before {}",
        result.entities_before, result.entities_after, result.known_after, result.known_before
    );
    if result.missing > 0 {
        println!("{} that the platform knows are not in the raw store; --rebuild captures them:", result.missing);
        for id in &result.missing_sample {
            println!("  missing  {id:?}");
        }
    }
    for gap in &result.gaps {
        println!("  gap  {}  ×{}", gap.what, gap.count);
    }
    for slot in &result.slots {
        let behind = slot.lag.unwrap_or_default().entities;
        println!(
            "slot {} was {behind} entities behind: {} written, {} deleted, {} dead letters",
            slot.slot_id, slot.written, slot.deleted, slot.dead_letters
        );
    }
}
