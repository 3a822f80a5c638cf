//! `syncmux rollback`

use clap::Args;
use proto::v1::{RollbackRequest, RollbackResult};

use super::fork::whoami;
use super::switch::print_result;
use crate::config::{TemporalArgs, TenantArgs};
use crate::output::{Failure, print_json};
use crate::temporal;

/// Go back to a slot that was active before.
///
/// The same workflow as a switch, pointed at a deprecated slot. Refused when the slot's reverse window is over, or the slot
/// is not as complete as when it was left. The slot that is left now gets a reverse window of its own, so a rollback can be
/// rolled back.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// The slot to go back to [default: the one that was active before the last switch]
    #[arg(long, default_value = "", value_name = "SLOT", hide_default_value = true)]
    to: String,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Seconds that the slot which is left is kept, up to 90 days; 0 for not at all [default: 7 days]
    #[arg(long, value_name = "SECONDS")]
    reverse_window_seconds: Option<u32>,
    /// Repeating a request with the same id is one operation
    #[arg(long, default_value = "", value_name = "UUID", hide_default_value = true)]
    operation_id: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Rollback {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let request = RollbackRequest {
            organization_id: self.tenant.organization,
            sync_id: self.sync,
            target_slot_id: self.to,
            operation_id: self.operation_id,
            requested_by: whoami(),
            reason: self.reason,
            reverse_window_seconds: self.reverse_window_seconds,
        };
        let client = temporal::connect(&self.temporal).await?;
        let handle = temporal::start_rollback(&client, &self.temporal.task_queue, request).await?;
        let switched = temporal::wait_switch(&handle).await?;
        if self.json {
            return print_json(&RollbackResult { switched: Some(switched) });
        }
        print_result(&switched);
        Ok(())
    }
}
