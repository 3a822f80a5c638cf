//! Making sure that a sync is followed.

use proto::v1::FollowRequest;
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::{ChildWorkflowStartError, StartChildWorkflowExecutionFailedCause};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_workflow::{
    ChildWorkflowOptions, ParentClosePolicy, SignalWorkflowOptions, WorkflowCancellationToken, WorkflowContext,
};

use super::FollowWorkflow;
use crate::follow_workflow_id;

/// How often a follow that ends in the moment it is wanted is started anew.
const ATTEMPTS: u32 = 3;

/// Starts the follow of a sync, or tells the one that runs that there is something to follow, should it be about to end: it
/// sees it in its next round. It outlives the workflow that asks, and a
/// cancellation of that workflow does not reach it.
///
/// Never fails whoever asks: what it did stands. What could not be started is logged, and `syncmux follow` starts it.
pub(crate) async fn keep<W: 'static>(ctx: &WorkflowContext<W>, organization_id: &str, sync_id: &str) {
    let id = follow_workflow_id(sync_id);
    let request = FollowRequest {
        organization_id: organization_id.to_owned(),
        sync_id: sync_id.to_owned(),
        requested_by: ctx.workflow_id().to_owned(),
        wait_first: true,
        ..FollowRequest::default()
    };
    let Ok(data) = serde_json::to_vec(&request) else { return };
    let payload =
        Payload { metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(), data, ..Payload::default() };
    for _ in 0..ATTEMPTS {
        let options = ChildWorkflowOptions::builder()
            .workflow_id(id.clone())
            .parent_close_policy(ParentClosePolicy::Abandon)
            .cancellation_token(WorkflowCancellationToken::new())
            .static_summary(format!("follow sync {sync_id}"))
            .build();
        let input = RawValue::new(vec![payload.clone()]);
        match ctx.start_child_workflow(FollowWorkflow::run, input, options).await {
            Ok(_) => return,
            Err(ChildWorkflowStartError::StartFailed {
                cause: StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists,
                ..
            }) => {}
            Err(error) => {
                warn(ctx, &error);
                return;
            }
        }
        let options = SignalWorkflowOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        let running = ctx.external_workflow(id.clone(), None);
        if running.signal(FollowWorkflow::look_again, RawValue::new(Vec::new()), options).await.is_ok() {
            return;
        }
        // It ended in between.
    }
    warn(ctx, &"it ended each time it was told to look");
}

fn warn<W: 'static>(ctx: &WorkflowContext<W>, error: &dyn std::fmt::Display) {
    if !ctx.is_replaying() {
        tracing::warn!(%error, "the follow was not started; start it with `syncmux follow`");
    }
}
