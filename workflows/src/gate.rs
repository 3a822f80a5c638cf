//! Where a workflow stops when it is told to: before every step and every segment.

use temporalio_workflow::WorkflowContext;

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
