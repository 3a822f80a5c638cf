//! `syncmux status`

use activities::database::Database;
use activities::database::operation_list::{self, Filter};
use activities::database::operations::{self, Operation};
use clap::Args;
use serde_json::json;

use super::follow::time;
use super::list::{behind, destinations, parse_uuid};
use crate::config::{DatabaseArgs, TenantArgs};
use crate::output::{Failure, print_json, table};

/// Show operations and where they are, newest first.
///
/// Reads the records in the database, which say more than a workflow's history keeps: requester, outcome, reasons. Of one
/// sync it also says which of its slots are kept for a rollback, and until when, and how those stand that are followed.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// Only operations of this sync
    #[arg(long, value_name = "UUID")]
    sync: Option<String>,
    /// One operation, with its result or failure
    #[arg(long, value_name = "UUID", conflicts_with = "sync")]
    operation: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let organization = parse_uuid("--organization", &self.tenant.organization)?;
        let sync = self.sync.as_deref().map(|sync| parse_uuid("--sync", sync)).transpose()?;
        let database = Database::connect(&self.database.database_url, 2).await?;
        let listed = match &self.operation {
            Some(id) => vec![operations::get(&database, organization, parse_uuid("--operation", id)?).await?],
            None => {
                let filter = Filter { sync_id: sync, ..Filter::default() };
                operation_list::page(&database, organization, &filter, None, self.limit).await?.operations
            }
        };
        if self.json {
            return print_json(&listed.iter().map(as_json).collect::<Vec<_>>());
        }
        let mut rows = table(&["OPERATION", "KIND", "STATE", "PHASE", "STARTED", "BY", "WORKFLOW"]);
        for operation in &listed {
            rows.add_row([
                operation.operation_id.to_string(),
                operation.kind.as_str().to_owned(),
                operation.state.as_str().to_owned(),
                operation.phase.clone(),
                operation.started_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                operation.requested_by.clone(),
                operation.workflow_id.clone(),
            ]);
        }
        println!("{rows}");
        if let Some(sync) = sync {
            let listed = destinations(&database, organization, sync).await?;
            for slot in listed.slots.iter().filter(|slot| slot.kept) {
                println!("slot {} is kept until {}", slot.slot_id, slot.kept_until);
            }
            for slot in &listed.slots {
                let Some(followed) = &slot.followed else { continue };
                println!(
                    "slot {} has everything of {}; lag {}",
                    slot.slot_id,
                    time(followed.caught_up_at_ms),
                    behind(slot)
                );
                if followed.failing_since_ms > 0 {
                    let since = time(followed.failing_since_ms);
                    println!("  failing since {since}: {}: {}", followed.error_kind, followed.error_message);
                }
            }
        }
        if let (Some(_), [operation]) = (&self.operation, listed.as_slice()) {
            if let (Some(kind), Some(message)) = (&operation.error_kind, &operation.error_message) {
                println!("\n{kind}: {message}");
            }
            if let Some(result) = &operation.result {
                println!("\n{}", serde_json::to_string_pretty(result)?);
            }
        }
        Ok(())
    }
}

fn as_json(operation: &Operation) -> serde_json::Value {
    json!({
        "operation_id": operation.operation_id,
        "sync_id": operation.sync_id,
        "collection_id": operation.collection_id,
        "slot_id": operation.slot_id,
        "kind": operation.kind.as_str(),
        "state": operation.state.as_str(),
        "phase": operation.phase,
        "workflow_id": operation.workflow_id,
        "run_id": operation.run_id,
        "requested_by": operation.requested_by,
        "request": operation.options,
        "error_kind": operation.error_kind,
        "error_message": operation.error_message,
        "result": operation.result,
        "started_at": operation.started_at,
        "updated_at": operation.updated_at,
        "ended_at": operation.ended_at,
    })
}
