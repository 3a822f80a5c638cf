//! `syncmux rollback`

use clap::Args;
use proto::v1::{RollbackRequest, RollbackResult};

use super::fork::whoami;
use super::switch::{SwitchOptions, SwitchScope, blocked, print_result, tell_waits};
use crate::config::{TemporalArgs, TenantArgs};
use crate::output::{Failure, print_json};
use crate::temporal;

/// Go back to a slot that was active before.
///
/// The same workflow as a switch, pointed at a deprecated slot: what was written since it was left is carried over first, so
/// nothing is lost. Refused when the slot's reverse window is over, or the slot is not as complete as when it was left. The slot
/// that is left now gets a reverse window of its own, so a rollback can be rolled back.
///
/// Of a collection all syncs go back in one transaction, each to where its last switch came from.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux rollback --sync $SYNC --reason \"worse answers\"
  syncmux rollback --sync $SYNC --to $SLOT --reason \"worse answers\"")]
pub(super) struct Rollback {
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    #[command(flatten)]
    scope: SwitchScope,
    /// The slot to go back to [default: the one that was active before the last switch]
    #[arg(long, default_value = "", value_name = "SLOT", hide_default_value = true)]
    to: String,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    how: SwitchOptions,
}

impl Rollback {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let request = RollbackRequest {
            organization_id: self.tenant.organization,
            sync_id: self.scope.sync,
            target_slot_id: self.to,
            operation_id: self.how.operation_id,
            requested_by: whoami(),
            reason: self.reason,
            reverse_window_seconds: self.how.reverse_window_seconds,
            dry_run: self.how.dry_run,
            force: self.how.force,
            time_limit_seconds: self.how.time_limit,
            job_wait_seconds: self.how.job_wait,
            collection_id: self.scope.collection,
            destination_connection_id: self.scope.destination,
        };
        let dry_run = request.dry_run;
        let client = temporal::connect(&self.temporal).await?;
        let handle = temporal::start_rollback(&client, &self.temporal.task_queue, request).await?;
        let switched = temporal::watch_switch(&handle, tell_waits()).await?;
        if self.how.json {
            print_json(&RollbackResult { switched: Some(switched.clone()) })?;
        } else {
            print_result(&switched, dry_run);
        }
        blocked(&switched)
    }
}
