//! Where a workflow stops when it is told to: before every step and every segment.

use temporalio_workflow::{WaitConditionOptions, WorkflowCancellationToken, WorkflowContext};

use crate::stop::Stop;

/// A workflow that can be paused.
pub(crate) trait Pausable {
    fn is_paused(&self) -> bool;

    /// What the present part of the workflow is cancelled by, when that is not the workflow's own cancellation alone.
    fn scope(&self) -> Option<WorkflowCancellationToken> {
        None
    }
}

/// The token that whatever begins now is cancelled by.
pub(crate) fn token<W: Pausable + 'static>(ctx: &WorkflowContext<W>) -> WorkflowCancellationToken {
    ctx.state(Pausable::scope).unwrap_or_else(|| ctx.cancellation_token())
}

/// Returns at once when running, waits while paused, and stops when cancelled.
pub(crate) async fn pass<W: Pausable + 'static>(ctx: &WorkflowContext<W>) -> Result<(), Stop> {
    let token = token(ctx);
    if ctx.state(Pausable::is_paused) {
        // The wait takes the cancellation on purpose: it is not in a loop, and a cancelled wait ends here.
        let options = WaitConditionOptions::builder().cancellation_token(token.clone()).build();
        if ctx.wait_condition_with_options(|state: &W| !state.is_paused(), options).await.is_err() {
            return Err(Stop::Cancelled);
        }
    }
    if token.is_cancelled() { Err(Stop::Cancelled) } else { Ok(()) }
}

/// Waits while paused, also when cancelled: for what has gone too far to be taken back.
pub(crate) async fn pass_whatever_is_cancelled<W: Pausable + 'static>(ctx: &WorkflowContext<W>) {
    if ctx.state(Pausable::is_paused) {
        let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        // Only a cancelled token ends the wait otherwise, and nobody has this one.
        let _ = ctx.wait_condition_with_options(|state: &W| !state.is_paused(), detached).await;
    }
}
