//! Whether a slot may be removed: the rules, without the database.
//!
//! The dry run, the check and the mark judge by the same function, so a retire that was announced as possible is refused
//! only because the world moved in between.

use uuid::Uuid;

use super::operations::OperationKind;
use super::retire::{RetireCommand, Retirement};
use super::reverse_window::ReverseWindow;
use super::roles::Blocker;
use super::slots::Role;
use crate::error::ErrorKind;

/// The slot to remove, as far as this matters.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub role: Option<Role>,
    pub connection_id: Uuid,
    /// Whether this product built it, or adopted it and has finished that.
    pub built: bool,
    pub window: Option<ReverseWindow>,
}

/// An operation that works on the slot.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub operation_id: Uuid,
    pub kind: OperationKind,
}

/// How things stand.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// What this very operation did before, if it did.
    pub by_this_operation: Option<Retirement>,
    /// The removal of this slot by another operation, if it was removed.
    pub removed: Option<Retirement>,
    /// Absent when the sync has no such destination.
    pub target: Option<Target>,
    pub running: Vec<Running>,
}

/// The judgement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It happened already; this is the answer to give again.
    Finished(Retirement),
    /// It may not happen, for all these reasons; the most telling first.
    Blocked(Vec<Blocker>),
    /// It may happen, or this operation began with it.
    Clear,
}

/// Judges a retire.
pub(super) fn judge(command: &RetireCommand, standing: &Standing) -> Verdict {
    let slot_id = command.scope.slot_id;
    if let Some(retirement) = &standing.by_this_operation {
        return if retirement.scope() != command.scope {
            Verdict::Blocked(vec![blocker(
                ErrorKind::Conflict,
                format!("operation {} retired another slot", command.operation_id),
                "use a new operation id",
            )])
        } else if retirement.removed_at.is_some() {
            Verdict::Finished(retirement.clone())
        } else {
            Verdict::Clear
        };
    }
    let Some(target) = &standing.target else {
        let told = standing.removed.as_ref().map_or_else(String::new, |retirement| {
            format!(" any more: operation {} retired it", retirement.operation_id)
        });
        return Verdict::Blocked(vec![blocker(
            ErrorKind::NotFound,
            format!("slot {slot_id} is not a destination of sync {}{told}", command.scope.sync_id),
            "choose one that `syncmux list` shows",
        )]);
    };
    let blockers: Vec<Blocker> = what_it_is(command, target)
        .into_iter()
        .chain(standing.running.iter().map(|running| what_runs(slot_id, running)))
        .collect();
    if blockers.is_empty() { Verdict::Clear } else { Verdict::Blocked(blockers) }
}

fn what_it_is(command: &RetireCommand, target: &Target) -> Option<Blocker> {
    let slot_id = command.scope.slot_id;
    let (message, next_step) = match target.role {
        Some(Role::Active) => (
            format!("slot {slot_id} is the active one, and an active slot is never retired"),
            "switch to another slot first".to_owned(),
        ),
        None => (format!("slot {slot_id} has no role"), "run `syncmux migrate`".to_owned()),
        // Which of the points behind that connection are its own is known to the platform alone.
        Some(Role::Shadow | Role::Deprecated) if !target.built => (
            format!("slot {slot_id} was made by the platform, so its points are not ours to find"),
            "remove that destination from the sync at the platform, and its content from the destination".to_owned(),
        ),
        Some(Role::Deprecated) if !command.force => match target.window {
            Some(window) if window.is_open => (
                format!("slot {slot_id} is kept for a rollback until {}", window.kept_until.format("%F %T UTC")),
                "wait until then, or force it and say why".to_owned(),
            ),
            _ => return None,
        },
        Some(Role::Shadow | Role::Deprecated) => return None,
    };
    Some(blocker(ErrorKind::Conflict, message, &next_step))
}

fn what_runs(slot_id: Uuid, running: &Running) -> Blocker {
    let Running { operation_id, kind } = running;
    blocker(
        ErrorKind::Conflict,
        format!("{kind} {operation_id} works on slot {slot_id}"),
        "wait for its end, or cancel it; if its workflow was terminated, start the same once more and let it end",
    )
}

fn blocker(kind: ErrorKind, message: String, next_step: &str) -> Blocker {
    Blocker { kind, message, next_step: next_step.to_owned() }
}
