//! `syncmux retire`

use clap::Args;
use proto::v1::RetireRequest;
use workflows::domain::ErrorKind;
use workflows::retire_workflow_id;

use super::fork::whoami;
use crate::config::{TemporalArgs, TenantArgs};
use crate::output::{Failure, print_json};
use crate::temporal;

/// Remove a deprecated slot, or a shadow that nobody wants any more: its points, its records, its row.
///
/// Never an active slot, never one that the platform made, and not while an operation works on it. A slot inside its reverse
/// window is removed only by force, with a reason. From the first removed point on there is no way back: a cancellation
/// that comes later is noted, and the retire goes on to its end.
///
/// With --dry-run nothing is changed: every blocker is listed with what to do, and the exit code is that of the first one.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux retire --sync $SYNC --slot $SLOT --dry-run
  syncmux retire --sync $SYNC --slot $SLOT --force --reason \"nobody goes back there\"")]
pub(super) struct Retire {
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// The slot to remove; see `syncmux list`
    #[arg(long, value_name = "SLOT")]
    slot: String,
    /// Although its reverse window is not over: no rollback to it is possible any more
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why, for the audit trail
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    reason: String,
    /// List what is in the way and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Repeating a request with the same id is one operation
    #[arg(long, default_value = "", value_name = "UUID", hide_default_value = true)]
    operation_id: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Retire {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let request = RetireRequest {
            organization_id: self.tenant.organization,
            sync_id: self.sync,
            slot_id: self.slot,
            force: self.force,
            operation_id: self.operation_id,
            requested_by: whoami(),
            reason: self.reason,
            dry_run: self.dry_run,
        };
        let client = temporal::connect(&self.temporal).await?;
        let handle = temporal::start_retire(&client, &self.temporal.task_queue, &request).await?;
        if !request.dry_run {
            let id = retire_workflow_id(&request.slot_id);
            eprintln!("started {id}; leaving this command does not stop it");
        }
        let result = temporal::wait_retire(&handle).await?;
        if self.json {
            print_json(&result)?;
        } else if request.dry_run {
            for blocker in &result.blockers {
                println!("{}: {}\n  {}", blocker.kind, blocker.message, blocker.next_step);
            }
            if result.blockers.is_empty() {
                println!("slot {} can be retired", result.slot_id);
            }
        } else {
            println!("slot {} is gone, and {} points with it", result.slot_id, result.points_removed);
            if result.cancelled_too_late {
                println!("it was cancelled when points were gone already, so it went on");
            }
        }
        match result.blockers.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(Failure::new(
                first.kind.parse().unwrap_or(ErrorKind::Conflict),
                format!("{} in the way", result.blockers.len()),
            )),
        }
    }
}
