//! What to take back when a journey stops, newest first.
//!
//! An undo is registered before the step it undoes: a step that failed after its effect, or whose answer was lost, is
//! undone too. So every undo must do nothing when its step did nothing.

use proto::v1::{SlotRef, UndoInput};
use temporalio_workflow::WorkflowContext;

use crate::definitions::Steps;
use crate::step;

/// One thing to take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undo {
    DropShadow,
    ClearScope,
    DropPlan,
}

/// Takes everything back and returns what could not be, in words.
pub(crate) async fn unwind<W: 'static>(ctx: &WorkflowContext<W>, slot: &SlotRef, undo: Vec<Undo>) -> Vec<String> {
    let mut leftovers = Vec::new();
    for undo in undo.into_iter().rev() {
        let input = UndoInput { slot: Some(slot.clone()) };
        let (what, result) = match undo {
            Undo::DropShadow => (
                "drop_shadow",
                ctx.execute_activity(Steps::drop_shadow, input, step::detached("undo: remove the slot")).await,
            ),
            Undo::ClearScope => (
                "clear_scope",
                ctx.execute_activity(Steps::clear_scope, input, step::detached("undo: remove the points")).await,
            ),
            Undo::DropPlan => (
                "drop_plan",
                ctx.execute_activity(Steps::drop_plan, input, step::detached("undo: remove the plan")).await,
            ),
        };
        if let Err(error) = result {
            leftovers.push(format!("{what} failed: {error}"));
        }
    }
    leftovers
}
