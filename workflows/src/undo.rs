//! What to take back when a journey stops, newest first.
//!
//! An undo is registered before the step it undoes: a step that failed after its effect, or whose answer was lost, is
//! undone too. So every undo must do nothing when its step did nothing.

use std::time::Duration;

use proto::v1::{SlotRef, UndoInput};
use temporalio_workflow::WorkflowContext;

use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::step;
use crate::stop::Stop;

/// One thing to take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undo {
    DropShadow,
    ClearScope,
    DropPlan,
}

/// What could not be taken back, and why.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub kind: ErrorKind,
    pub words: String,
}

/// Takes everything back. Stops at the first step that cannot be taken back: what it left must stay on record, so the
/// steps before it are kept too.
pub(crate) async fn unwind<W: 'static>(
    ctx: &WorkflowContext<W>,
    slot: &SlotRef,
    undo: Vec<Undo>,
    limit: Duration,
) -> Option<Leftover> {
    for undo in undo.into_iter().rev() {
        let input = UndoInput { slot: Some(slot.clone()) };
        let (what, result) = match undo {
            Undo::DropShadow => {
                let options = step::undo("undo: remove the slot", limit);
                ("the slot was not removed", ctx.execute_activity(Steps::drop_shadow, input, options).await)
            }
            Undo::ClearScope => {
                let options = step::undo("undo: remove the points", limit);
                ("the points were not removed", ctx.execute_activity(Steps::clear_scope, input, options).await)
            }
            Undo::DropPlan => {
                let options = step::undo("undo: remove the plan", limit);
                ("the plan was not removed", ctx.execute_activity(Steps::drop_plan, input, options).await)
            }
        };
        match result.map_err(Stop::from) {
            Ok(_) => {}
            Err(Stop::Failed { kind, message }) => {
                let words =
                    format!("{what} ({message}); the slot stays listed, and a fork with the same profile continues it");
                return Some(Leftover { kind, words });
            }
            // The token is detached, so this is a step that somebody cancelled by hand.
            Err(Stop::Cancelled | Stop::ContinueAsNew(_)) => {
                return Some(Leftover {
                    kind: ErrorKind::Conflict,
                    words: format!("{what}, because that was cancelled"),
                });
            }
        }
    }
    None
}
