//! `syncmux switch`

use clap::Args;
use proto::v1::SwitchRequest;

use super::fork::whoami;
use crate::config::{TemporalArgs, TenantArgs};
use crate::output::{Failure, print_json};
use crate::temporal;

/// Promote a ready slot to active; the active one becomes deprecated.
///
/// All roles change in one transaction or none do. Refused unless the slot is ready. Repeating a finished switch answers
/// with the result it had.
#[derive(Debug, Args)]
pub(super) struct Switch {
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// The slot to promote; see `syncmux list`
    #[arg(long, value_name = "SLOT")]
    to: String,
    /// Refuse unless this slot is the active one now
    #[arg(long, default_value = "", value_name = "SLOT", hide_default_value = true)]
    expect_active: String,
    /// Refuse unless the sync is at this generation now
    #[arg(long, value_name = "N")]
    expect_generation: Option<u64>,
    /// Why, for the audit trail
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    reason: String,
    /// Repeating a request with the same id is one operation
    #[arg(long, default_value = "", value_name = "UUID", hide_default_value = true)]
    operation_id: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Switch {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let request = SwitchRequest {
            organization_id: self.tenant.organization,
            sync_id: self.sync,
            target_slot_id: self.to,
            expected_active_slot_id: self.expect_active,
            expected_generation: self.expect_generation,
            operation_id: self.operation_id,
            requested_by: whoami(),
            reason: self.reason,
        };
        let client = temporal::connect(&self.temporal).await?;
        let handle = temporal::start_switch(&client, &self.temporal.task_queue, &request).await?;
        let result = temporal::wait_switch(&handle).await?;
        if self.json {
            return print_json(&result);
        }
        println!("slot {} is active, generation {}", result.new_active_slot_id, result.generation);
        if !result.previous_active_slot_id.is_empty() {
            println!("slot {} is deprecated", result.previous_active_slot_id);
        }
        if !result.not_announced.is_empty() {
            println!(
                "readers of its alias were not pointed at it; repeat the switch to try again: {}",
                result.not_announced
            );
        }
        Ok(())
    }
}
