//! The switch as somebody might change it without care: it flips the roles without looking first.

use proto::v1::{FlipRolesInput, SwitchRequest, SwitchResult};
use temporalio_common::data_converters::RawValue;
use temporalio_sdk::workflows::{workflow, workflow_methods};
use temporalio_workflow::{ActivityOptions, WorkflowContext, WorkflowContextView, WorkflowResult};
use workflows::definitions::Steps;

/// Registered under the name of the real one.
#[workflow]
pub(crate) struct ChangedSwitch {
    input: RawValue,
}

#[workflow_methods]
impl ChangedSwitch {
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        Self { input }
    }

    #[run(name = "SwitchWorkflow")]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<SwitchResult> {
        let request: SwitchRequest =
            ctx.state(|state| workflows::decode(&state.input.payloads)).expect("the recorded request reads");
        let input = FlipRolesInput { request: Some(request), members: Vec::new() };
        let options = ActivityOptions::with_start_to_close_timeout(std::time::Duration::from_secs(60)).build();
        ctx.execute_activity(Steps::flip_roles, input, options).await?;
        Ok(SwitchResult::default())
    }
}
