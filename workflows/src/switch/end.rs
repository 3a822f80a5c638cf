//! What a switch ends with: the records closed, the readers told, the result put together.

use std::time::Duration;

use proto::v1::{AnnounceSwitchInput, EndOperationInput, SlotRef, SwitchRequest, SwitchResult, SwitchedSync};
use temporalio_workflow::WorkflowContext;

use super::SwitchWorkflow;
use crate::controls::set_phase;
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::step;
use crate::stop::Stop;

type Context = WorkflowContext<SwitchWorkflow>;

/// How long a destination that is away may hold up the end of a switch that stands. The next switch waits for that end.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(120);

/// Tells the destinations that their slots are the active ones now; what went wrong is part of the result.
pub(super) async fn announce(ctx: &Context, opened: &[SlotRef], switched: &mut [SwitchedSync]) {
    set_phase(ctx, "announce");
    for sync in switched {
        let Some(asked) = opened.iter().find(|slot| slot.sync_id == sync.sync_id) else { continue };
        let slot = SlotRef { slot_id: sync.new_active_slot_id.clone(), ..asked.clone() };
        let options = step::afterwards("point readers of the destination at the slot", ANNOUNCE_LIMIT);
        let input = AnnounceSwitchInput { slot: Some(slot) };
        match ctx.execute_activity(Steps::announce_switch, input, options).await.map_err(Stop::from) {
            Ok(_) => {}
            Err(Stop::Failed { kind, message }) => sync.not_announced = format!("{kind}: {message}"),
            Err(Stop::Cancelled | Stop::ContinueAsNew(_)) => "cancelled".clone_into(&mut sync.not_announced),
        }
    }
}

/// The result of a switch that was made.
pub(super) fn result(request: &SwitchRequest, operation_id: &str, switched: Vec<SwitchedSync>) -> SwitchResult {
    let mut result =
        SwitchResult { operation_id: operation_id.to_owned(), forced: request.force, ..SwitchResult::default() };
    if let ([sync], true) = (switched.as_slice(), request.collection_id.is_empty()) {
        result.sync_id.clone_from(&sync.sync_id);
        result.new_active_slot_id.clone_from(&sync.new_active_slot_id);
        result.previous_active_slot_id.clone_from(&sync.previous_active_slot_id);
        result.generation = sync.generation;
        result.switched_at.clone_from(&sync.switched_at);
        result.kept_until.clone_from(&sync.kept_until);
        result.not_announced.clone_from(&sync.not_announced);
    }
    result.syncs = switched;
    result
}

/// Closes the record of every sync. Detached: what stands is recorded also when a cancellation arrives now.
///
/// # Errors
///
/// The first record that could not be closed.
pub(super) async fn close_records(
    ctx: &Context,
    opened: &[SlotRef],
    outcome: Result<&SwitchResult, &Stop>,
) -> Result<(), Stop> {
    for slot in opened {
        let mut input = EndOperationInput {
            organization_id: slot.organization_id.clone(),
            operation_id: slot.operation_id.clone(),
            ..EndOperationInput::default()
        };
        match outcome {
            Ok(result) => {
                "completed".clone_into(&mut input.outcome);
                input.result_json = serde_json::to_string(result)
                    .map_err(|error| Stop::failed(ErrorKind::Internal, error.to_string()))?;
            }
            Err(Stop::Failed { kind, message }) => {
                "failed".clone_into(&mut input.outcome);
                kind.name().clone_into(&mut input.error_kind);
                input.error_message.clone_from(message);
            }
            Err(Stop::Cancelled | Stop::ContinueAsNew(_)) => "cancelled".clone_into(&mut input.outcome),
        }
        ctx.execute_activity(Steps::end_operation, input, step::detached("close the record")).await?;
    }
    Ok(())
}
