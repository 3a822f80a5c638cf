//! `syncmux operations show`

use activities::database::operations::Operation;
use clap::Args;
use proto::v1::Progress;
use serde_json::{Value, json};

use super::Which;
use crate::cli::follow::time;
use crate::operations::OperationView;
use crate::output::{Failure, print_json};

/// Show one operation: its record, and where it is just now.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux operations show $OPERATION
  syncmux operations show $OPERATION --json")]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (operations, organization, operation) = self.which.open().await?;
        let view = operations.get(organization, operation).await?;
        if self.json {
            let mut shown = as_json(&view.record);
            shown["progress"] = serde_json::to_value(&view.progress)?;
            shown["silent"] = json!(view.silent);
            return print_json(&shown);
        }
        print(&view);
        print_end(&view.record)
    }
}

fn print(OperationView { record, progress, silent }: &OperationView) {
    let state = if record.terminated { "terminated" } else { record.state.as_str() };
    println!("{} {} is {state}, in phase {}", record.kind, record.operation_id, record.phase);
    println!("asked for by {} at {}", record.requested_by, record.started_at.format("%Y-%m-%d %H:%M:%S UTC"));
    if let Some(ended) = record.ended_at {
        println!("ended at {}", ended.format("%Y-%m-%d %H:%M:%S UTC"));
    }
    println!("workflow {}", record.workflow_id);
    if let Some(progress) = progress {
        println!("{}", line(progress));
    }
    if let Some(silent) = silent {
        println!("{silent}");
    }
}

/// Result or failure of an operation that ended.
pub(in crate::cli) fn print_end(operation: &Operation) -> Result<(), Failure> {
    if let (Some(kind), Some(message)) = (&operation.error_kind, &operation.error_message) {
        println!("\n{kind}: {message}\n  `syncmux explain {kind}` says what that means");
    }
    if let Some(result) = &operation.result {
        println!("\n{}", serde_json::to_string_pretty(result)?);
    }
    Ok(())
}

/// Where an operation is, in one line.
pub(in crate::cli) fn line(progress: &Progress) -> String {
    let mut words = vec![progress.phase.clone()];
    if progress.paused {
        words.push("paused".to_owned());
    }
    if let Some(percent) = progress.entities_done.saturating_mul(100).checked_div(progress.entities_total) {
        words.push(format!("{} of {} entities, {percent} %", progress.entities_done, progress.entities_total));
    }
    if progress.entities_per_second > 0.0 && progress.entities_done < progress.entities_total {
        words.push(format!("{:.0}/s, {} s left", progress.entities_per_second, progress.eta_seconds));
    }
    if progress.dead_letters > 0 {
        words.push(format!("{} dead letters", progress.dead_letters));
    }
    if !progress.waits_for.is_empty() {
        words.push(format!("waits for {}", progress.waits_for));
    }
    if let Some(it) = progress.throttle.as_ref().filter(|_| !progress.paused) {
        words.push(format!("held back by {}: {}, since {}", it.by, it.why, time(it.since_ms)));
    }
    if let Some(job) = &progress.platform_job {
        words.push(format!("the platform's job is {}", job.status));
    }
    for fork in &progress.syncs {
        words.push(format!("sync {} {}", fork.sync_id, fork.state));
    }
    words.join("; ")
}

/// A record as JSON.
pub(in crate::cli) fn as_json(operation: &Operation) -> Value {
    json!({
        "operation_id": operation.operation_id,
        "sync_id": operation.sync_id,
        "collection_id": operation.collection_id,
        "slot_id": operation.slot_id,
        "kind": operation.kind.as_str(),
        "state": operation.state.as_str(),
        "terminated": operation.terminated,
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
