//! Where a workflow stops when it is told to: before every step and every segment.

use temporalio_workflow::{WaitConditionOptions, WorkflowCancellationToken, WorkflowContext};

use crate::stop::Stop;

/// A workflow that can be paused.
pub(crate) trait Pausable {
    fn is_paused(&self) -> bool;
}

/// Returns at once when running, waits while paused, and stops when cancelled.
pub(crate) async fn pass<W: Pausable + 'static>(ctx: &WorkflowContext<W>) -> Result<(), Stop> {
    // The wait inherits the workflow's cancellation on purpose: it is not in a loop, and a cancelled wait ends here.
    if ctx.state(Pausable::is_paused) && ctx.wait_condition(|state: &W| !state.is_paused()).await.is_err() {
        return Err(Stop::Cancelled);
    }
    if ctx.cancellation_token().is_cancelled() { Err(Stop::Cancelled) } else { Ok(()) }
}

/// Waits while paused, also when cancelled: for what has gone too far to be taken back.
pub(crate) async fn pass_whatever_is_cancelled<W: Pausable + 'static>(ctx: &WorkflowContext<W>) {
    if ctx.state(Pausable::is_paused) {
        let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        // Only a cancelled token ends the wait otherwise, and nobody has this one.
        let _ = ctx.wait_condition_with_options(|state: &W| !state.is_paused(), detached).await;
    }
}
