//! `syncmux operations pause`, `resume`, `cancel` and `retry`

use clap::Args;
use serde_json::json;

use super::Which;
use crate::cli::fork::whoami;
use crate::cli::list::parse_uuid;
use crate::output::{Failure, print_json};

/// Stop an operation before its next step or segment; what is being written is finished.
///
/// A switch can be paused behind its fence too, but its time limit goes on.
///
/// Examples:
///
///   syncmux operations pause $OPERATION
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Pause {
    #[command(flatten)]
    which: Which,
}

impl Pause {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (operations, organization, operation) = self.which.open().await?;
        operations.pause(organization, operation).await?;
        println!("{operation} pauses; `syncmux operations resume {operation}` lets it go on");
        Ok(())
    }
}

/// Let a paused operation go on.
///
/// Examples:
///
///   syncmux operations resume $OPERATION
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Resume {
    #[command(flatten)]
    which: Which,
}

impl Resume {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (operations, organization, operation) = self.which.open().await?;
        operations.resume(organization, operation).await?;
        println!("{operation} goes on");
        Ok(())
    }
}

/// Cancel an operation. What it made is taken back.
///
/// Returns when that is asked for; `syncmux operations show` says `cancelled` when it is done. A switch whose roles have
/// changed, and a retire that removed points, go on to their end.
///
/// Examples:
///
///   syncmux operations cancel $OPERATION --reason "wrong connection"
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Cancel {
    #[command(flatten)]
    which: Which,
    /// Why, for the workflow's history
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    reason: String,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (operations, organization, operation) = self.which.open().await?;
        operations.cancel(organization, operation, &self.reason).await?;
        println!("{operation} was asked to end and takes back what it made");
        Ok(())
    }
}

/// Start a failed or cancelled operation again, with the request that is recorded.
///
/// It is a new operation. What the first one left is gone on with: nothing that is written and recorded is written again.
/// A fork that failed or was cancelled has taken back the slot that it made, and begins anew; one that was terminated, or
/// that continued a slot, goes on from its checkpoints.
///
/// Examples:
///
///   syncmux operations retry $OPERATION
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Retry {
    #[command(flatten)]
    which: Which,
    /// Id of the new operation
    #[arg(long, value_name = "UUID")]
    operation_id: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Retry {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let new = self.operation_id.as_deref().map(|id| parse_uuid("--operation-id", id)).transpose()?;
        let (operations, organization, operation) = self.which.open().await?;
        let retried = operations.retry(organization, operation, new, &whoami()).await?;
        if self.json {
            return print_json(&json!({
                "operation_id": retried.operation_id, "workflow_id": retried.workflow_id,
            }));
        }
        println!("operation {} started as {}", retried.operation_id, retried.workflow_id);
        Ok(())
    }
}
