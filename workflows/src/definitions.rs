//! The activities by name, input and output. The names are frozen: histories refer to them.
//!
//! They are implemented in the crate `activities`, one file each under `steps/`.

#![allow(
    missing_docs,
    clippy::unimplemented,
    reason = "the macro generates undocumented markers and wants this very body"
)]

use proto::v1::{
    AnnounceSwitchInput, BeginFollowInput, BeginForkCollectionInput, BeginForkCollectionOutput, BeginForkInput,
    BeginForkOutput, BeginResyncInput, BeginResyncOutput, CancelResyncInput, CancelResyncOutput, CheckRetireInput,
    CheckRetireOutput, CheckSwitchInput, CheckSwitchOutput, CloseReplayInput, CloseReplayOutput, CreateShadowInput,
    CreateShadowOutput, Done, EndOperationInput, FindInTheWayInput, FindInTheWayOutput, FinishDestinationInput,
    FlipRolesInput, FlipRolesOutput, FollowedSlotsInput, FollowedSlotsOutput, LimitOperationInput, LowerFenceInput,
    LowerFenceOutput, MarkReadyInput, MarkRetiringInput, MeasureLagInput, MeasureLagOutput, PlanReplayInput,
    PlanReplayOutput, PlatformJob, PrepareDestinationInput, RaiseFenceInput, RaiseFenceOutput, RecordFollowInput,
    RemovePointsInput, RemovePointsOutput, RemoveSlotInput, RenewFenceInput, ReplaySegmentInput, ReplaySegmentOutput,
    RetireResult, Throttle, TriggerResyncInput, UndoInput, UnmarkRetiringInput, UnmarkRetiringOutput,
    ValidateRawStoreInput, ValidateRawStoreOutput, VerifyDeltaInput, VerifyResult, VerifySlotInput, WatchResyncInput,
};
use temporalio_common::ActivityError;
use temporalio_macros::activity_definitions;

/// Every step a workflow can ask for.
pub struct Steps;

#[activity_definitions]
impl Steps {
    /// Validates the request and opens the operation's record. Changes nothing else.
    #[activity(name = "begin_fork")]
    pub fn begin_fork(_: BeginForkInput) -> Result<BeginForkOutput, ActivityError> {
        unimplemented!()
    }

    /// Proves that the raw store is complete and readable. Read only.
    #[activity(name = "validate_raw_store")]
    pub fn validate_raw_store(_: ValidateRawStoreInput) -> Result<ValidateRawStoreOutput, ActivityError> {
        unimplemented!()
    }

    /// Adds the slot with role shadow, or finds the one to continue. Undo: `drop_shadow`.
    #[activity(name = "create_shadow")]
    pub fn create_shadow(_: CreateShadowInput) -> Result<CreateShadowOutput, ActivityError> {
        unimplemented!()
    }

    /// Removes the slot, if this operation made it and it is still a shadow.
    #[activity(name = "drop_shadow")]
    pub fn drop_shadow(_: UndoInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Makes the destination match the profile. Undo: `clear_scope`.
    #[activity(name = "prepare_destination")]
    pub fn prepare_destination(_: PrepareDestinationInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Removes the slot's points, if this operation made the slot and it is still a shadow.
    #[activity(name = "clear_scope")]
    pub fn clear_scope(_: UndoInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Freezes what the slot lacks into segments. Undo: `drop_plan`.
    #[activity(name = "plan_replay")]
    pub fn plan_replay(_: PlanReplayInput) -> Result<PlanReplayOutput, ActivityError> {
        unimplemented!()
    }

    /// Removes the plan.
    #[activity(name = "drop_plan")]
    pub fn drop_plan(_: UndoInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Works through one segment, batch by batch, from its checkpoint.
    #[activity(name = "replay_segment")]
    pub fn replay_segment(_: ReplaySegmentInput) -> Result<ReplaySegmentOutput, ActivityError> {
        unimplemented!()
    }

    /// Records the rates of a running operation; those hold at once, also for segments that run.
    #[activity(name = "limit_operation")]
    pub fn limit_operation(_: LimitOperationInput) -> Result<Throttle, ActivityError> {
        unimplemented!()
    }

    /// Proves that every segment is done and that the dead letters are within the budget.
    #[activity(name = "close_replay")]
    pub fn close_replay(_: CloseReplayInput) -> Result<CloseReplayOutput, ActivityError> {
        unimplemented!()
    }

    /// Leaves bulk load and waits until everything is indexed and countable.
    #[activity(name = "finish_destination")]
    pub fn finish_destination(_: FinishDestinationInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Compares the slot with what was recorded and with the raw store.
    #[activity(name = "verify_slot")]
    pub fn verify_slot(_: VerifySlotInput) -> Result<VerifyResult, ActivityError> {
        unimplemented!()
    }

    /// Puts the slot into the only state that a switch accepts.
    #[activity(name = "mark_ready")]
    pub fn mark_ready(_: MarkReadyInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Closes the operation's record.
    #[activity(name = "end_operation")]
    pub fn end_operation(_: EndOperationInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Validates a switch, opens the operation's record and lists every blocker. Changes no role.
    #[activity(name = "check_switch")]
    pub fn check_switch(_: CheckSwitchInput) -> Result<CheckSwitchOutput, ActivityError> {
        unimplemented!()
    }

    /// Changes the roles of all syncs in one transaction, or answers what this operation did before, or what broke through
    /// the fence.
    #[activity(name = "flip_roles")]
    pub fn flip_roles(_: FlipRolesInput) -> Result<FlipRolesOutput, ActivityError> {
        unimplemented!()
    }

    /// Validates a retire, opens the operation's record and lists every blocker. Changes nothing else.
    #[activity(name = "check_retire")]
    pub fn check_retire(_: CheckRetireInput) -> Result<CheckRetireOutput, ActivityError> {
        unimplemented!()
    }

    /// Keeps everything from promoting or continuing the slot. Undo: `unmark_retiring`.
    #[activity(name = "mark_retiring")]
    pub fn mark_retiring(_: MarkRetiringInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Takes the mark back, unless points may be gone.
    #[activity(name = "unmark_retiring")]
    pub fn unmark_retiring(_: UnmarkRetiringInput) -> Result<UnmarkRetiringOutput, ActivityError> {
        unimplemented!()
    }

    /// Removes the points of a slot that is marked as retiring.
    #[activity(name = "remove_points")]
    pub fn remove_points(_: RemovePointsInput) -> Result<RemovePointsOutput, ActivityError> {
        unimplemented!()
    }

    /// Removes a cleared slot with all its records in one transaction.
    #[activity(name = "remove_slot")]
    pub fn remove_slot(_: RemoveSlotInput) -> Result<RetireResult, ActivityError> {
        unimplemented!()
    }

    /// Points readers that address the destination by a name of its own at the slot, if it is the active one.
    #[activity(name = "announce_switch")]
    pub fn announce_switch(_: AnnounceSwitchInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Lists the slots of a sync that are to be kept fresh. Read only.
    #[activity(name = "followed_slots")]
    pub fn followed_slots(_: FollowedSlotsInput) -> Result<FollowedSlotsOutput, ActivityError> {
        unimplemented!()
    }

    /// Validates a request to follow and opens the operation's record. Changes nothing else.
    #[activity(name = "begin_follow")]
    pub fn begin_follow(_: BeginFollowInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Lists what a fence would have to wait for now. Read only.
    #[activity(name = "find_in_the_way")]
    pub fn find_in_the_way(_: FindInTheWayInput) -> Result<FindInTheWayOutput, ActivityError> {
        unimplemented!()
    }

    /// Keeps jobs of the platform and everybody else's plans away from syncs, or says what is in the way. Undo:
    /// `lower_fence`.
    #[activity(name = "raise_fence")]
    pub fn raise_fence(_: RaiseFenceInput) -> Result<RaiseFenceOutput, ActivityError> {
        unimplemented!()
    }

    /// Moves the end of a fence.
    #[activity(name = "renew_fence")]
    pub fn renew_fence(_: RenewFenceInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Takes a fence down, and says what its owner switched behind it.
    #[activity(name = "lower_fence")]
    pub fn lower_fence(_: LowerFenceInput) -> Result<LowerFenceOutput, ActivityError> {
        unimplemented!()
    }

    /// Measures how far a slot is behind the raw store. Read only.
    #[activity(name = "measure_lag")]
    pub fn measure_lag(_: MeasureLagInput) -> Result<MeasureLagOutput, ActivityError> {
        unimplemented!()
    }

    /// Compares exactly the entities that a finished plan changed, and the count of all points.
    #[activity(name = "verify_delta")]
    pub fn verify_delta(_: VerifyDeltaInput) -> Result<VerifyResult, ActivityError> {
        unimplemented!()
    }

    /// Records how a followed slot stands.
    #[activity(name = "record_follow")]
    pub fn record_follow(_: RecordFollowInput) -> Result<Done, ActivityError> {
        unimplemented!()
    }

    /// Validates a resync, opens the operation's record and counts what is there. Changes nothing else.
    #[activity(name = "begin_resync")]
    pub fn begin_resync(_: BeginResyncInput) -> Result<BeginResyncOutput, ActivityError> {
        unimplemented!()
    }

    /// Makes the platform start one job, and one only. Undo: `cancel_resync`.
    #[activity(name = "trigger_resync")]
    pub fn trigger_resync(_: TriggerResyncInput) -> Result<PlatformJob, ActivityError> {
        unimplemented!()
    }

    /// Looks at the job until it ends, its status changes, or patience is over. Read only.
    #[activity(name = "watch_resync")]
    pub fn watch_resync(_: WatchResyncInput) -> Result<PlatformJob, ActivityError> {
        unimplemented!()
    }

    /// Cancels the job that this operation started, if it did, and waits until it has ended.
    #[activity(name = "cancel_resync")]
    pub fn cancel_resync(_: CancelResyncInput) -> Result<CancelResyncOutput, ActivityError> {
        unimplemented!()
    }

    /// Validates the request, lists the syncs of the collection and opens the operation's record. Changes nothing else.
    #[activity(name = "begin_fork_collection")]
    pub fn begin_fork_collection(_: BeginForkCollectionInput) -> Result<BeginForkCollectionOutput, ActivityError> {
        unimplemented!()
    }
}

/// Marker types of the definitions, for `#[activity(definition = ...)]` and for calls from workflows.
pub mod markers {
    pub use super::steps::{
        AnnounceSwitch, BeginFollow, BeginFork, BeginForkCollection, BeginResync, CancelResync, CheckRetire,
        CheckSwitch, ClearScope, CloseReplay, CreateShadow, DropPlan, DropShadow, EndOperation, FindInTheWay,
        FinishDestination, FlipRoles, FollowedSlots, LimitOperation, LowerFence, MarkReady, MarkRetiring, MeasureLag,
        PlanReplay, PrepareDestination, RaiseFence, RecordFollow, RemovePoints, RemoveSlot, RenewFence, ReplaySegment,
        TriggerResync, UnmarkRetiring, ValidateRawStore, VerifyDelta, VerifySlot, WatchResync,
    };
}
