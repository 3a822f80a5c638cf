//! `syncmux dead-letters`

use activities::database::dead_letters::{self, DeadLetter};
use activities::database::{Database, SlotScope};
use clap::Args;
use serde_json::json;

use super::list::parse_uuid;
use crate::config::{DatabaseArgs, TenantArgs};
use crate::output::{Failure, print_json, table};

/// List the entities of a slot that could not be carried over, each with the reason.
///
/// Another fork with the same profile tries them again; what is carried over then is listed no more.
///
/// Examples:
///
///   syncmux dead-letters --sync $SYNC --slot $SLOT
///   syncmux dead-letters --sync $SYNC --slot $SLOT --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct DeadLetters {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// The slot; see `syncmux list`
    #[arg(long, value_name = "UUID")]
    slot: String,
    /// How many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl DeadLetters {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let scope = SlotScope {
            organization_id: parse_uuid("--organization", &self.tenant.organization)?,
            sync_id: parse_uuid("--sync", &self.sync)?,
            slot_id: parse_uuid("--slot", &self.slot)?,
        };
        let database = Database::connect(&self.database.database_url, 2).await?;
        let all = dead_letters::count(&database, &scope).await?;
        let listed = dead_letters::list(&database, &scope, self.limit).await?;
        if self.json {
            let listed: Vec<_> = listed.iter().map(as_json).collect();
            return print_json(&json!({ "count": all, "dead_letters": listed }));
        }
        let mut rows = table(&["OBJECT", "STAGE", "KIND", "ATTEMPTS", "LAST SEEN", "MESSAGE"]);
        for DeadLetter { letter, attempts, last_seen, .. } in &listed {
            rows.add_row([
                letter.object_key.clone(),
                letter.stage.as_str().to_owned(),
                letter.kind.name().to_owned(),
                attempts.to_string(),
                last_seen.format("%Y-%m-%d %H:%M:%S").to_string(),
                letter.message.replace('\n', " "),
            ]);
        }
        println!("{rows}");
        println!("{} of {all} dead letters", listed.len());
        Ok(())
    }
}

fn as_json(dead: &DeadLetter) -> serde_json::Value {
    json!({
        "object_key": dead.letter.object_key,
        "entity_id": dead.letter.entity_id,
        "stage": dead.letter.stage.as_str(),
        "kind": dead.letter.kind.name(),
        "message": dead.letter.message,
        "attempts": dead.attempts,
        "first_seen": dead.first_seen,
        "last_seen": dead.last_seen,
    })
}
