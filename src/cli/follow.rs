//! `syncmux follow`

use activities::database::Database;
use clap::Args;
use proto::v1::{FollowOptions, FollowRequest};
use workflows::follow_workflow_id;

use super::fork::whoami;
use super::list::{behind, destinations, parse_uuid};
use crate::config::{DatabaseArgs, TemporalArgs, TenantArgs};
use crate::output::{Failure, print_json, table};
use crate::temporal;

/// Keep every slot of a sync that is not active caught up with the raw store, or show how they stand.
///
/// A fork that made a slot ready and a switch start this by themselves; here it is started again after it was cancelled, or
/// with other settings. It ends when no slot is left to follow. What a slot lacks is written, what the raw store no longer has
/// is deleted, and what was changed is read back and compared.
///
/// It is paused and resumed with the signals `pause` and `resume` of the workflow follow/SYNC.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux follow --sync $SYNC --show
  syncmux follow --sync $SYNC --interval-seconds 300")]
pub(super) struct Follow {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// Start nothing; show how the slots stand
    #[arg(long)]
    show: bool,
    /// Seconds between two rounds
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    interval_seconds: u32,
    /// Segments worked on at a time
    #[arg(long, default_value_t = 4, value_name = "N")]
    lanes: u32,
    /// Entities of a batch; 0 leaves it to the worker
    #[arg(long, default_value_t = 0, value_name = "N", hide_default_value = true)]
    batch_entities: u32,
    /// Percent of a slot's entities that may be gone without a confirmation
    #[arg(long, default_value_t = 20, value_name = "PERCENT")]
    max_drop_percent: u32,
    /// Believe that an entity is gone although the platform still knows it
    #[arg(long)]
    allow_incomplete: bool,
    /// Dead letters that a slot may have; by default 10, or one percent of what the raw store lists
    #[arg(long, value_name = "N")]
    dead_letter_budget: Option<u32>,
    /// Repeating a request with the same id is one operation
    #[arg(long, default_value = "", value_name = "UUID", hide_default_value = true)]
    operation_id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Follow {
    pub(super) async fn run(self) -> Result<(), Failure> {
        if self.show {
            return self.print().await;
        }
        let request = FollowRequest {
            organization_id: self.tenant.organization,
            sync_id: self.sync,
            interval_seconds: self.interval_seconds,
            options: Some(FollowOptions {
                lanes: self.lanes,
                batch_entities: self.batch_entities,
                segment_entities: 0,
                max_drop_percent: Some(self.max_drop_percent),
                allow_incomplete: self.allow_incomplete,
                dead_letter_budget: self.dead_letter_budget,
            }),
            operation_id: self.operation_id,
            requested_by: whoami(),
            wait_first: false,
        };
        let client = temporal::connect(&self.temporal).await?;
        temporal::start_follow(&client, &self.temporal.task_queue, &request).await?;
        let id = follow_workflow_id(&request.sync_id);
        if self.json {
            return print_json(&serde_json::json!({ "workflow_id": id }));
        }
        println!("started {id}; leaving this command does not stop it. `--show` shows how the slots stand");
        Ok(())
    }

    async fn print(&self) -> Result<(), Failure> {
        let organization = parse_uuid("--organization", &self.tenant.organization)?;
        let sync = parse_uuid("--sync", &self.sync)?;
        let database = Database::connect(&self.database.database_url, 2).await?;
        let listed = destinations(&database, organization, sync).await?;
        let followed: Vec<_> = listed.slots.iter().filter(|slot| slot.followed.is_some()).collect();
        if self.json {
            return print_json(&followed.iter().filter_map(|slot| slot.followed.as_ref()).collect::<Vec<_>>());
        }
        let mut rows = table(&["SLOT", "CONNECTION", "LAG", "HAS EVERYTHING OF", "FAILING SINCE"]);
        for slot in followed {
            let shown = slot.followed.clone().unwrap_or_default();
            rows.add_row([
                slot.slot_id.clone(),
                slot.connection_name.clone(),
                behind(slot),
                time(shown.caught_up_at_ms),
                time(shown.failing_since_ms),
            ]);
        }
        println!("{rows}");
        for slot in &listed.slots {
            if let Some(followed) = slot.followed.as_ref().filter(|followed| followed.failing_since_ms > 0) {
                println!("slot {}: {}: {}", slot.slot_id, followed.error_kind, followed.error_message);
            }
        }
        Ok(())
    }
}

/// A time as it is shown.
pub(super) fn time(at_ms: u64) -> String {
    let time = i64::try_from(at_ms).ok().filter(|at_ms| *at_ms > 0).and_then(chrono::DateTime::from_timestamp_millis);
    time.map_or_else(|| "-".to_owned(), |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}
