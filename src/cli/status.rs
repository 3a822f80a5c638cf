//! `syncmux status`

use activities::database::Database;
use activities::database::operation_list::{self, Filter};
use activities::database::operations;
use activities::database::throttled::{self, Throttled};
use clap::Args;

use super::follow::time;
use super::list::{behind, destinations, parse_uuid};
use super::operations::{as_json, print_end, rows};
use super::throttle::shown;
use super::watch;
use crate::config::{DatabaseArgs, TemporalArgs, TenantArgs};
use crate::operations::Operations;
use crate::output::{Failure, print_json};
use crate::temporal;

/// Show operations and where they are, newest first.
///
/// Reads the records in the database, which say more than a workflow's history keeps: requester,
/// outcome, reasons. Of one sync it also says which of its slots are kept for a rollback, and
/// until when, and how those stand that are followed.
///
/// With --watch it asks the workflows that run, again and again: of one operation until it has
/// ended, with its exit code, otherwise until you interrupt it.
///
/// Examples:
///
///   syncmux status --sync $SYNC
///   syncmux status --operation $OPERATION --watch
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Status {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// Only operations of this sync
    #[arg(long, value_name = "UUID")]
    sync: Option<String>,
    /// One operation, with its result or failure
    #[arg(long, value_name = "UUID", conflicts_with = "sync")]
    operation: Option<String>,
    /// Go on showing what runs
    #[arg(long, conflicts_with_all = ["json", "limit"])]
    watch: bool,
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
        let operation = self.operation.as_deref().map(|id| parse_uuid("--operation", id)).transpose()?;
        if self.watch {
            let client = temporal::connect(&self.temporal).await?;
            let operations = Operations::new(database, client, &self.temporal.task_queue);
            return match operation {
                Some(operation) => watch::one(&operations, organization, operation).await,
                None => watch::all(&operations, organization, sync).await,
            };
        }
        let listed = match operation {
            Some(id) => vec![operations::get(&database, organization, id).await?],
            None => {
                let filter = Filter { sync_id: sync, ..Filter::default() };
                operation_list::page(&database, organization, &filter, None, self.limit).await?.operations
            }
        };
        if self.json {
            return print_json(&listed.iter().map(as_json).collect::<Vec<_>>());
        }
        println!("{}", rows(&listed));
        for held in throttled::current(&database, organization, None).await? {
            if listed.iter().any(|operation| operation.workflow_id == held.workflow_id && operation.ended_at.is_none())
            {
                let Throttled { workflow_id, throttled_by, why, since } = held;
                println!("{workflow_id} is held back by {throttled_by}: {why}, since {}", shown(since));
            }
        }
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
            print_end(operation)?;
        }
        Ok(())
    }
}
