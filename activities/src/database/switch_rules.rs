//! Whether a slot may be promoted: the rules, without the database.
//!
//! The dry run and the flip judge by the same function, so a switch that was announced as possible fails only because the
//! world moved in between.
//!
//! A deprecated slot is promoted again only inside its reverse window, and only by a rollback that says so. It was complete
//! when it was left, or when a fork had adopted it from the platform. That nothing which was written since is missing, is not
//! for these rules to know: following the slot and the last catch-up behind the fence see to it. After the window nobody feeds
//! the slot.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::reverse_window::ReverseWindow;
use super::roles::{Blocker, FlipCommand, FlipOutcome};
use super::slots::{Role, SlotState};
use crate::error::ErrorKind;

/// A destination of the sync, as far as a switch is concerned.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Candidate {
    pub slot_id: Uuid,
    pub role: Option<Role>,
    /// Absent when the platform built the slot.
    pub state: Option<SlotState>,
    /// The columns of its reverse window, when it has one.
    pub kept_until: Option<DateTime<Utc>>,
    pub is_open: Option<bool>,
    /// The operation that is removing it.
    pub retired_by: Option<Uuid>,
}

/// A switch that happened.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct AuditEntry {
    pub sync_id: Uuid,
    pub organization_id: Uuid,
    pub previous_active: Option<Uuid>,
    pub new_active: Uuid,
    #[sqlx(try_from = "i64")]
    pub generation: u64,
    pub at: DateTime<Utc>,
    pub kept_until: Option<DateTime<Utc>>,
    pub skipped: Vec<String>,
}

/// How things stand in the sync.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub generation: u64,
    pub candidates: Vec<Candidate>,
    /// What this very operation did before, if it did.
    pub by_this_operation: Option<AuditEntry>,
    /// The newest switch of the sync.
    pub last: Option<AuditEntry>,
}

impl Standing {
    /// The active slot.
    pub fn active(&self) -> Option<Uuid> {
        self.candidates.iter().find(|slot| slot.role == Some(Role::Active)).map(|slot| slot.slot_id)
    }

    /// Whether that slot was left by an earlier switch.
    pub fn is_deprecated(&self, slot_id: Uuid) -> bool {
        self.candidates.iter().any(|slot| slot.slot_id == slot_id && slot.role == Some(Role::Deprecated))
    }
}

/// The judgement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It happened already; this is the answer to give again.
    Finished(FlipOutcome),
    /// It may not happen, for all these reasons; the most telling first.
    Blocked(Vec<Blocker>),
    /// It may happen.
    Clear,
}

/// Judges a switch.
pub(super) fn judge(command: &FlipCommand, standing: &Standing) -> Verdict {
    if let Some(entry) = &standing.by_this_operation {
        let same = entry.sync_id == command.sync_id
            && entry.organization_id == command.organization_id
            && entry.new_active == command.target_slot_id;
        return if same {
            Verdict::Finished(outcome(entry))
        } else {
            Verdict::Blocked(vec![blocker(
                ErrorKind::Conflict,
                format!("operation {} was another switch", command.operation_id),
                "use a new operation id",
            )])
        };
    }
    if let Some(entry) = finished_by_another(command, standing) {
        return Verdict::Finished(outcome(entry));
    }
    let blockers: Vec<Blocker> = target(command, standing).into_iter().chain(expectations(command, standing)).collect();
    if blockers.is_empty() { Verdict::Clear } else { Verdict::Blocked(blockers) }
}

/// The last switch, when it is what the command asks for: same target, and begun from where the command expects to begin.
fn finished_by_another<'a>(command: &FlipCommand, standing: &'a Standing) -> Option<&'a AuditEntry> {
    standing.last.as_ref().filter(|entry| {
        entry.new_active == command.target_slot_id
            && standing.active() == Some(command.target_slot_id)
            && entry.generation == standing.generation
            && command.expected_active.is_none_or(|expected| entry.previous_active == Some(expected))
            && command.expected_generation.is_none_or(|expected| entry.generation.checked_sub(1) == Some(expected))
    })
}

/// What is wrong with the target.
fn target(command: &FlipCommand, standing: &Standing) -> Option<Blocker> {
    let slot_id = command.target_slot_id;
    let Some(target) = standing.candidates.iter().find(|slot| slot.slot_id == slot_id) else {
        return Some(blocker(
            ErrorKind::NotFound,
            format!("slot {slot_id} is not a destination of sync {}", command.sync_id),
            "choose one that `syncmux list` shows",
        ));
    };
    if let Some(operation_id) = target.retired_by {
        return Some(blocker(
            ErrorKind::Conflict,
            format!("slot {slot_id} is being retired (operation {operation_id})"),
            "choose another slot",
        ));
    }
    let (message, next_step) = match (target.role, target.state) {
        (Some(Role::Shadow), _) if command.rollback => (
            format!("slot {slot_id} is a shadow, and a rollback goes to a slot that was active before"),
            "use `syncmux switch`, or name a deprecated slot",
        ),
        (Some(Role::Shadow), Some(SlotState::Ready)) => return None,
        (Some(Role::Active), _) => {
            (format!("slot {slot_id} is the active one already"), "nothing to do, or choose another slot")
        }
        (Some(Role::Deprecated), None) => (
            format!("slot {slot_id} is deprecated and was made by the platform, so nothing is known of its content"),
            if target.is_open == Some(true) { ADOPT } else { FORK_AWAY },
        ),
        (Some(Role::Deprecated), Some(SlotState::Ready)) => {
            match ReverseWindow::from_columns(target.kept_until, target.is_open) {
                Some(window) if window.is_open && command.rollback => return None,
                // A switch that is repeated late must not turn into a way back.
                Some(window) if window.is_open => (
                    format!("slot {slot_id} is deprecated, and going back to it is a rollback"),
                    "use `syncmux rollback --to`, or choose a shadow",
                ),
                Some(window) => {
                    let ended = window.kept_until.format("%F %T UTC");
                    (format!("slot {slot_id} is deprecated, and its reverse window ended at {ended}"), FORK_AGAIN)
                }
                None => (format!("slot {slot_id} is deprecated and was left without a reverse window"), FORK_AGAIN),
            }
        }
        // A slot that was active was ready before, unless the platform made it.
        (Some(Role::Deprecated), Some(SlotState::Empty | SlotState::Building)) => (
            format!("slot {slot_id} is deprecated, was made by the platform, and is not yet adopted"),
            if target.is_open == Some(true) {
                "wait for the fork to its connection, or run it again"
            } else {
                FORK_AWAY
            },
        ),
        (None, _) => (format!("slot {slot_id} has no role"), "run `syncmux migrate`"),
        (Some(Role::Shadow), None) => {
            (format!("slot {slot_id} was made by the platform, so nothing is known of its content"), FORK_AWAY)
        }
        (Some(Role::Shadow), Some(SlotState::Empty)) => {
            (format!("slot {slot_id} is empty"), "run a fork to its connection")
        }
        (Some(Role::Shadow), Some(SlotState::Building)) => {
            (format!("slot {slot_id} is still being built"), "wait for its fork, or run it again if it failed")
        }
    };
    Some(blocker(ErrorKind::Conflict, message, next_step))
}

/// The way back to a slot that the platform made.
const ADOPT: &str = "fork to its connection to adopt it, then roll back";

/// The way out when nothing is known of a slot.
const FORK_AWAY: &str = "fork to another connection and switch to that shadow";

/// The way out when a deprecated slot may lack what was written since it was left.
const FORK_AGAIN: &str =
    "fork to another connection, or retire that slot and fork to its connection again; then switch to that shadow";

/// What the caller believed and is not so.
fn expectations(command: &FlipCommand, standing: &Standing) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    if let Some(expected) = command.expected_active
        && standing.active() != Some(expected)
    {
        let now = standing.active().map_or_else(|| "none".to_owned(), |slot_id| slot_id.to_string());
        blockers.push(blocker(
            ErrorKind::Conflict,
            format!("the active slot is {now}, not {expected}"),
            "look at `syncmux list` and decide again",
        ));
    }
    if let Some(expected) = command.expected_generation
        && standing.generation != expected
    {
        blockers.push(blocker(
            ErrorKind::Conflict,
            format!("the sync is at generation {}, not {expected}", standing.generation),
            "look at `syncmux list` and decide again",
        ));
    }
    blockers
}

/// The answer that was given to this switch.
pub(super) fn outcome(entry: &AuditEntry) -> FlipOutcome {
    FlipOutcome {
        previous_active: entry.previous_active,
        new_active: entry.new_active,
        generation: entry.generation,
        switched_at: entry.at,
        kept_until: entry.kept_until,
        skipped: entry.skipped.clone(),
    }
}

fn blocker(kind: ErrorKind, message: String, next_step: &str) -> Blocker {
    Blocker { kind, message, next_step: next_step.to_owned() }
}
