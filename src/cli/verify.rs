//! `syncmux verify`

use activities::database::verifications::{self, Verification};
use activities::database::{Database, SlotScope};
use clap::Args;
use proto::v1::VerifyResult;
use serde_json::json;
use workflows::domain::ErrorKind;

use super::list::parse_uuid;
use crate::config::{DatabaseArgs, TenantArgs};
use crate::output::{Failure, print_json, table};

/// Show what the verifications of a slot compared, and what differed. Exits with 9 when the newest one failed.
///
/// Every fork verifies its slot before it is ready, a follow what each round carried over, a switch its last catch-up. To
/// have a slot verified anew, fork to its connection again with the same profile: that carries over what changed, counts
/// all points and reads a sample back.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux verify --sync $SYNC --slot $SLOT")]
pub(super) struct Verify {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    /// The sync
    #[arg(long, value_name = "UUID")]
    sync: String,
    /// The slot; see `syncmux list`
    #[arg(long, value_name = "SLOT")]
    slot: String,
    /// How many
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let scope = SlotScope {
            organization_id: parse_uuid("--organization", &self.tenant.organization)?,
            sync_id: parse_uuid("--sync", &self.sync)?,
            slot_id: parse_uuid("--slot", &self.slot)?,
        };
        let database = Database::connect(&self.database.database_url, 2).await?;
        let verified = verifications::list(&database, &scope, self.limit).await?;
        if self.json {
            print_json(&verified.iter().map(as_json).collect::<Vec<_>>())?;
        } else {
            print(&verified)?;
        }
        match verified.first() {
            None => Err(Failure::new(ErrorKind::Conflict, "the slot was never verified: fork it to its end")),
            Some(newest) if !newest.passed => Err(Failure::new(
                ErrorKind::VerificationFailed,
                "the slot differed from the raw store when it was verified last",
            )),
            Some(_) => Ok(()),
        }
    }
}

fn print(verified: &[Verification]) -> Result<(), Failure> {
    let mut rows = table(&["VERIFIED", "PASSED", "ENTITIES", "POINTS", "READ BACK", "DIFFERED", "OPERATION"]);
    let mut examples = Vec::new();
    for verification in verified {
        let result: VerifyResult = serde_json::from_value(verification.result.clone())?;
        let differing = result.entities_missing_points
            + result.entities_surplus_points
            + result.entities_unknown
            + result.sample_differences;
        rows.add_row([
            verification.verified_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            if verification.passed { "yes" } else { "no" }.to_owned(),
            result.entities_compared.to_string(),
            format!("{} of {}", result.points_found, result.points_expected),
            result.sampled.to_string(),
            differing.to_string(),
            verification.operation_id.to_string(),
        ]);
        examples.extend(result.examples.into_iter().map(|words| (verification.verified_at, words)));
    }
    println!("{rows}");
    for (at, words) in examples {
        println!("  {}  {words}", at.format("%Y-%m-%d %H:%M:%S"));
    }
    Ok(())
}

fn as_json(verification: &Verification) -> serde_json::Value {
    json!({
        "verification_id": verification.verification_id,
        "operation_id": verification.operation_id,
        "passed": verification.passed,
        "result": verification.result,
        "verified_at": verification.verified_at,
    })
}
