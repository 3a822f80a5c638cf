//! The activities as Temporal sees them. Each hands over to its file under `steps/`.

#![allow(missing_docs, reason = "the macro generates undocumented markers")]

use std::sync::Arc;

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
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use uuid::Uuid;
use workflows::definitions::markers;

use crate::activity_error::gives_way;
use crate::context::{Context, Settings};
use crate::database::active_destination::ActiveDestination;
use crate::database::{Database, SlotScope, fence};
use crate::destinations::Hit;
use crate::error::Result as CrateResult;
use crate::heartbeat::with_heartbeat;
use crate::metrics::metrics;
use crate::steps::replay_segment::Attempt;
use crate::trace_context::within;
use crate::{active_search, activity_span, search, steps};

/// Every step, with what they share. One per worker process.
#[derive(Clone)]
pub struct Activities {
    context: Arc<Context>,
}

impl Activities {
    /// Connects to the database and opens the raw store.
    ///
    /// # Errors
    ///
    /// What is not reachable or not configured; `Conflict` when the schema is not up to date.
    pub async fn connect(settings: Settings) -> CrateResult<Self> {
        Ok(Self { context: Arc::new(Context::connect(settings).await?) })
    }

    /// The platform's database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.context.database
    }

    /// Removes what expired fences left: housekeeping that every worker does now and then. Answers how many there were.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn sweep_fences(&self) -> CrateResult<u64> {
        let swept = fence::sweep(&self.context.database).await?;
        metrics().fences_swept(swept);
        Ok(swept)
    }

    /// Makes replays end at their next batch, because this worker is being stopped. Another attempt goes on from there.
    pub fn drain(&self) {
        self.context.drain.begin();
    }

    /// Searches a slot the way a reader would.
    ///
    /// # Errors
    ///
    /// `NotFound` for another organisation's slot, `InvalidInput` for a question that cannot be embedded, or what the
    /// destination answers.
    pub async fn search(&self, scope: SlotScope, question: &str, limit: u32) -> CrateResult<Vec<Hit>> {
        search::search(&self.context, scope, question, limit).await
    }

    /// Searches the active slot of a sync, and says which one that was, and at which generation.
    ///
    /// # Errors
    ///
    /// `NotFound` for another organisation's sync or one without an active slot, `Unavailable` when flips keep falling into
    /// the search, otherwise as [`Self::search`].
    pub async fn search_active(
        &self,
        organization_id: Uuid,
        sync_id: Uuid,
        question: &str,
        limit: u32,
    ) -> CrateResult<(ActiveDestination, Vec<Hit>)> {
        active_search::search_active(&self.context, organization_id, sync_id, question, limit).await
    }
}

macro_rules! step {
    ($self:ident, $ctx:ident, $step:ident, $input:ident) => {{
        let span = activity_span::of(&$ctx, &$input);
        within(span, with_heartbeat(&$ctx, Box::pin(steps::$step::run(&$self.context, $input)))).await
    }};
}

#[activities]
impl Activities {
    #[activity(definition = markers::BeginFork)]
    pub async fn begin_fork(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: BeginForkInput,
    ) -> Result<BeginForkOutput, ActivityError> {
        step!(self, ctx, begin_fork, input)
    }

    #[activity(definition = markers::ValidateRawStore)]
    pub async fn validate_raw_store(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: ValidateRawStoreInput,
    ) -> Result<ValidateRawStoreOutput, ActivityError> {
        step!(self, ctx, validate_raw_store, input)
    }

    #[activity(definition = markers::CreateShadow)]
    pub async fn create_shadow(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: CreateShadowInput,
    ) -> Result<CreateShadowOutput, ActivityError> {
        step!(self, ctx, create_shadow, input)
    }

    #[activity(definition = markers::DropShadow)]
    pub async fn drop_shadow(self: Arc<Self>, ctx: ActivityContext, input: UndoInput) -> Result<Done, ActivityError> {
        step!(self, ctx, drop_shadow, input)
    }

    #[activity(definition = markers::PrepareDestination)]
    pub async fn prepare_destination(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: PrepareDestinationInput,
    ) -> Result<Done, ActivityError> {
        step!(self, ctx, prepare_destination, input)
    }

    #[activity(definition = markers::ClearScope)]
    pub async fn clear_scope(self: Arc<Self>, ctx: ActivityContext, input: UndoInput) -> Result<Done, ActivityError> {
        step!(self, ctx, clear_scope, input)
    }

    #[activity(definition = markers::PlanReplay)]
    pub async fn plan_replay(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: PlanReplayInput,
    ) -> Result<PlanReplayOutput, ActivityError> {
        step!(self, ctx, plan_replay, input)
    }

    #[activity(definition = markers::DropPlan)]
    pub async fn drop_plan(self: Arc<Self>, ctx: ActivityContext, input: UndoInput) -> Result<Done, ActivityError> {
        step!(self, ctx, drop_plan, input)
    }

    #[activity(definition = markers::ReplaySegment)]
    pub async fn replay_segment(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: ReplaySegmentInput,
    ) -> Result<ReplaySegmentOutput, ActivityError> {
        let span = activity_span::of(&ctx, &input);
        let workflow_id = ctx.info().workflow_id.clone().unwrap_or_default();
        let work = Box::pin(steps::replay_segment::run(&self.context, &workflow_id, input));
        match within(span, with_heartbeat(&ctx, work)).await? {
            Attempt::Ended(output) => Ok(output),
            Attempt::GivesWay(why) => Err(gives_way(&why)),
        }
    }

    #[activity(definition = markers::LimitOperation)]
    pub async fn limit_operation(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: LimitOperationInput,
    ) -> Result<Throttle, ActivityError> {
        step!(self, ctx, limit_operation, input)
    }

    #[activity(definition = markers::CloseReplay)]
    pub async fn close_replay(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: CloseReplayInput,
    ) -> Result<CloseReplayOutput, ActivityError> {
        step!(self, ctx, close_replay, input)
    }

    #[activity(definition = markers::FinishDestination)]
    pub async fn finish_destination(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: FinishDestinationInput,
    ) -> Result<Done, ActivityError> {
        step!(self, ctx, finish_destination, input)
    }

    #[activity(definition = markers::VerifySlot)]
    pub async fn verify_slot(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: VerifySlotInput,
    ) -> Result<VerifyResult, ActivityError> {
        step!(self, ctx, verify_slot, input)
    }

    #[activity(definition = markers::MarkReady)]
    pub async fn mark_ready(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: MarkReadyInput,
    ) -> Result<Done, ActivityError> {
        step!(self, ctx, mark_ready, input)
    }

    #[activity(definition = markers::EndOperation)]
    pub async fn end_operation(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: EndOperationInput,
    ) -> Result<Done, ActivityError> {
        step!(self, ctx, end_operation, input)
    }

    #[activity(definition = markers::CheckSwitch)]
    pub async fn check_switch(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: CheckSwitchInput,
    ) -> Result<CheckSwitchOutput, ActivityError> {
        step!(self, ctx, check_switch, input)
    }

    #[activity(definition = markers::FlipRoles)]
    pub async fn flip_roles(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: FlipRolesInput,
    ) -> Result<FlipRolesOutput, ActivityError> {
        step!(self, ctx, flip_roles, input)
    }

    #[activity(definition = markers::CheckRetire)]
    pub async fn check_retire(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: CheckRetireInput,
    ) -> Result<CheckRetireOutput, ActivityError> {
        step!(self, ctx, check_retire, input)
    }

    #[activity(definition = markers::MarkRetiring)]
    pub async fn mark_retiring(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: MarkRetiringInput,
    ) -> Result<Done, ActivityError> {
        step!(self, ctx, mark_retiring, input)
    }

    #[activity(definition = markers::UnmarkRetiring)]
    pub async fn unmark_retiring(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: UnmarkRetiringInput,
    ) -> Result<UnmarkRetiringOutput, ActivityError> {
        step!(self, ctx, unmark_retiring, input)
    }

    #[activity(definition = markers::RemovePoints)]
    pub async fn remove_points(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: RemovePointsInput,
    ) -> Result<RemovePointsOutput, ActivityError> {
        let span = activity_span::of(&ctx, &input);
        let workflow_id = ctx.info().workflow_id.clone().unwrap_or_default();
        let work = Box::pin(steps::remove_points::run(&self.context, &workflow_id, input));
        within(span, with_heartbeat(&ctx, work)).await
    }

    #[activity(definition = markers::RemoveSlot)]
    pub async fn remove_slot(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: RemoveSlotInput,
    ) -> Result<RetireResult, ActivityError> {
        step!(self, ctx, remove_slot, input)
    }

    #[activity(definition = markers::AnnounceSwitch)]
    pub async fn announce_switch(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: AnnounceSwitchInput,
    ) -> Result<Done, ActivityError> {
        step!(self, ctx, announce_switch, input)
    }

    #[activity(definition = markers::BeginForkCollection)]
    pub async fn begin_fork_collection(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: BeginForkCollectionInput,
    ) -> Result<BeginForkCollectionOutput, ActivityError> {
        step!(self, ctx, begin_fork_collection, input)
    }

    #[activity(definition = markers::FollowedSlots)]
    pub async fn followed_slots(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: FollowedSlotsInput,
    ) -> Result<FollowedSlotsOutput, ActivityError> {
        step!(self, ctx, followed_slots, input)
    }

    #[activity(definition = markers::BeginFollow)]
    pub async fn begin_follow(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: BeginFollowInput,
    ) -> Result<Done, ActivityError> {
        step!(self, ctx, begin_follow, input)
    }

    #[activity(definition = markers::FindInTheWay)]
    pub async fn find_in_the_way(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: FindInTheWayInput,
    ) -> Result<FindInTheWayOutput, ActivityError> {
        step!(self, ctx, find_in_the_way, input)
    }

    #[activity(definition = markers::RaiseFence)]
    pub async fn raise_fence(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: RaiseFenceInput,
    ) -> Result<RaiseFenceOutput, ActivityError> {
        step!(self, ctx, raise_fence, input)
    }

    #[activity(definition = markers::RenewFence)]
    pub async fn renew_fence(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: RenewFenceInput,
    ) -> Result<Done, ActivityError> {
        step!(self, ctx, renew_fence, input)
    }

    #[activity(definition = markers::LowerFence)]
    pub async fn lower_fence(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: LowerFenceInput,
    ) -> Result<LowerFenceOutput, ActivityError> {
        step!(self, ctx, lower_fence, input)
    }

    #[activity(definition = markers::MeasureLag)]
    pub async fn measure_lag(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: MeasureLagInput,
    ) -> Result<MeasureLagOutput, ActivityError> {
        step!(self, ctx, measure_lag, input)
    }

    #[activity(definition = markers::VerifyDelta)]
    pub async fn verify_delta(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: VerifyDeltaInput,
    ) -> Result<VerifyResult, ActivityError> {
        step!(self, ctx, verify_delta, input)
    }

    #[activity(definition = markers::RecordFollow)]
    pub async fn record_follow(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: RecordFollowInput,
    ) -> Result<Done, ActivityError> {
        step!(self, ctx, record_follow, input)
    }

    #[activity(definition = markers::BeginResync)]
    pub async fn begin_resync(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: BeginResyncInput,
    ) -> Result<BeginResyncOutput, ActivityError> {
        step!(self, ctx, begin_resync, input)
    }

    #[activity(definition = markers::TriggerResync)]
    pub async fn trigger_resync(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: TriggerResyncInput,
    ) -> Result<PlatformJob, ActivityError> {
        step!(self, ctx, trigger_resync, input)
    }

    #[activity(definition = markers::WatchResync)]
    pub async fn watch_resync(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: WatchResyncInput,
    ) -> Result<PlatformJob, ActivityError> {
        step!(self, ctx, watch_resync, input)
    }

    #[activity(definition = markers::CancelResync)]
    pub async fn cancel_resync(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: CancelResyncInput,
    ) -> Result<CancelResyncOutput, ActivityError> {
        step!(self, ctx, cancel_resync, input)
    }
}
