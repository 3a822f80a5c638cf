//! `syncmux switch`

use clap::Args;
use proto::v1::{Progress, SwitchRequest, SwitchResult, SwitchedSync};
use workflows::domain::ErrorKind;

use super::fork::whoami;
use crate::config::{TemporalArgs, TenantArgs};
use crate::output::{Failure, print_json};
use crate::temporal;

/// Promote a ready slot to active; the active one becomes deprecated.
///
/// The slot is caught up with the raw store, the last time behind a fence that keeps jobs of the platform away; then all roles
/// change in one transaction or none do. Of a collection all syncs change in that one transaction. Repeating a finished switch
/// answers with the result it had.
///
/// The slot that becomes deprecated is kept until its reverse window ends: `syncmux rollback` goes back to it.
///
/// With --dry-run nothing is changed: every blocker is listed with what to do, and the exit code is that of the first one.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux switch --sync $SYNC --to $SLOT --dry-run
  syncmux switch --sync $SYNC --to $SLOT --reason \"smaller chunks\"
  syncmux switch --collection $COLLECTION --reason \"smaller chunks\"")]
pub(super) struct Switch {
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
    #[command(flatten)]
    scope: SwitchScope,
    /// The slot to promote; see `syncmux list`
    #[arg(
        long,
        default_value = "",
        value_name = "SLOT",
        hide_default_value = true,
        required_unless_present = "collection",
        conflicts_with = "collection"
    )]
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
    #[command(flatten)]
    how: SwitchOptions,
}

/// What is switched.
#[derive(Debug, Args)]
pub(super) struct SwitchScope {
    /// The sync
    #[arg(
        long,
        default_value = "",
        value_name = "UUID",
        hide_default_value = true,
        required_unless_present = "collection"
    )]
    pub(super) sync: String,
    /// All syncs of this collection at once, instead of one sync
    #[arg(long, default_value = "", value_name = "UUID", hide_default_value = true, conflicts_with = "sync")]
    pub(super) collection: String,
    /// Of a collection: the connection whose slots are meant [default: the one ready shadow of each sync]
    #[arg(long, default_value = "", value_name = "CONNECTION", hide_default_value = true, requires = "collection")]
    pub(super) destination: String,
}

/// How it is done, there and back.
#[derive(Debug, Args)]
pub(super) struct SwitchOptions {
    /// Seconds that the slot which is left is kept for a rollback, up to 90 days; 0 for not at all [default: 7 days]
    #[arg(long, value_name = "SECONDS")]
    pub(super) reverse_window_seconds: Option<u32>,
    /// List what is in the way and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Although the last catch-up or its verification cannot be done; what was left out is recorded
    #[arg(long, requires = "reason")]
    pub(super) force: bool,
    /// Seconds that it may take behind the fence, up to 600 [default: 30]
    #[arg(long, default_value_t = 0, value_name = "SECONDS", hide_default_value = true)]
    pub(super) time_limit: u32,
    /// Seconds to wait for running jobs of the platform, up to 7200 [default: 600]
    #[arg(long, value_name = "SECONDS")]
    pub(super) job_wait: Option<u32>,
    /// Repeating a request with the same id is one operation
    #[arg(long, default_value = "", value_name = "UUID", hide_default_value = true)]
    pub(super) operation_id: String,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Switch {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let request = SwitchRequest {
            organization_id: self.tenant.organization,
            sync_id: self.scope.sync,
            target_slot_id: self.to,
            expected_active_slot_id: self.expect_active,
            expected_generation: self.expect_generation,
            operation_id: self.how.operation_id,
            requested_by: whoami(),
            reason: self.reason,
            reverse_window_seconds: self.how.reverse_window_seconds,
            rollback: false,
            dry_run: self.how.dry_run,
            force: self.how.force,
            time_limit_seconds: self.how.time_limit,
            job_wait_seconds: self.how.job_wait,
            collection_id: self.scope.collection,
            destination_connection_id: self.scope.destination,
        };
        let client = temporal::connect(&self.temporal).await?;
        let handle = temporal::start_switch(&client, &self.temporal.task_queue, &request).await?;
        let result = temporal::watch_switch(&handle, tell_waits()).await?;
        if self.how.json {
            print_json(&result)?;
        } else {
            print_result(&result, request.dry_run);
        }
        blocked(&result)
    }
}

/// Says on stderr what a switch waits for, once for each thing.
pub(super) fn tell_waits() -> impl FnMut(&Progress) {
    let mut told = String::new();
    move |progress| {
        if progress.waits_for != told {
            told.clone_from(&progress.waits_for);
            if !told.is_empty() {
                eprintln!("waiting for {told}");
            }
        }
    }
}

/// Prints what a switch did, or would do, in words.
pub(super) fn print_result(result: &SwitchResult, dry_run: bool) {
    for blocker in &result.blockers {
        println!("{}: {}\n  {}", blocker.kind, blocker.message, blocker.next_step);
    }
    for what in &result.waits_for {
        println!("would wait for {what}");
    }
    for sync in &result.syncs {
        if dry_run && sync.generation == 0 { print_prospect(sync) } else { print_switched(sync) }
    }
    if result.cancelled_too_late {
        println!("it was cancelled when the roles had changed already, so it stands");
    }
}

/// The exit of a dry run that found something in the way.
pub(super) fn blocked(result: &SwitchResult) -> Result<(), Failure> {
    match result.blockers.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(Failure::new(
            first.kind.parse().unwrap_or(ErrorKind::Conflict),
            format!("{} in the way", result.blockers.len()),
        )),
    }
}

fn print_prospect(sync: &SwitchedSync) {
    if let Some(lag) = sync.lag {
        println!(
            "slot {} can be promoted; it is {} entities behind the raw store",
            sync.new_active_slot_id, lag.entities
        );
    }
}

fn print_switched(sync: &SwitchedSync) {
    println!("slot {} is active, generation {}", sync.new_active_slot_id, sync.generation);
    if !sync.previous_active_slot_id.is_empty() {
        let kept = match sync.kept_until.as_str() {
            "" => "not kept for a rollback".to_owned(),
            until => format!("kept for a rollback until {until}"),
        };
        println!("slot {} is deprecated, {kept}", sync.previous_active_slot_id);
    }
    for skipped in &sync.skipped {
        println!("left out by force: {skipped}");
    }
    if !sync.not_announced.is_empty() {
        println!("readers of its alias were not pointed at it; repeat the switch to try again: {}", sync.not_announced);
    }
}
