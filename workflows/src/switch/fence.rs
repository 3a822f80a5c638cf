//! Behind the fence: the last difference, its verification, and the flip, under one time limit.
//!
//! The fence is lowered whatever happens, also when raising it seemed to fail, on a token of its own. It is lowered at once:
//! what was cancelled is not waited for. A flip that was under way then is over when the fence is down, because both take the
//! same lock, so lowering also tells whether the switch was made after all.

use std::time::Duration;

use futures::FutureExt as _;
use proto::v1::{
    FlipRolesInput, InTheWay, LowerFenceInput, RaiseFenceInput, RenewFenceInput, SwitchMember, SwitchRequest,
    SwitchedSync, VerifyDeltaInput,
};
use temporalio_workflow::{TimerOptions, WorkflowCancellationToken, WorkflowContext, select};

use super::SwitchWorkflow;
use super::approach::skipped_within;
use super::limits::Limits;
use super::members::{each, settings, slot, slots};
use crate::catch_up::{self, CatchUp, Outcome};
use crate::controls::{Controlled as _, set_phase};
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::stop::Stop;
use crate::{gate, step};

type Context = WorkflowContext<SwitchWorkflow>;

/// How long a fence outlives its last renewal, in seconds: what a crash costs the platform.
const LASTS_SECONDS: u32 = 30;

/// Between two renewals.
const RENEWAL: Duration = Duration::from_secs(10);

/// How going behind the fence ended.
#[derive(Debug)]
pub(super) enum Passage {
    Switched(Vec<SwitchedSync>),
    /// The fence could not be raised, or a job slipped in while it was. Nothing changed; it may be tried again.
    InTheWay(Vec<InTheWay>),
}

/// How it ended when the fence is still to be lowered, or was never raised.
enum Ended {
    Switched(Vec<SwitchedSync>),
    /// The fence was not raised.
    Busy(Vec<InTheWay>),
    /// A job came in between.
    Breached(InTheWay),
}

/// Raises the fence, switches behind it, and lowers it.
pub(super) async fn pass(
    ctx: &Context,
    request: &SwitchRequest,
    members: &mut [SwitchMember],
    limits: Limits,
) -> Result<Passage, Stop> {
    gate::pass(ctx).await?;
    set_phase(ctx, "fence");
    let scope = ctx.cancellation_token().child_token();
    ctx.state_mut(|state| state.controls_mut().scope = Some(scope.clone()));
    let slots = slots(members);
    let ended = within_limit(ctx, request, members, limits, &scope).await;
    scope.cancel_with_reason("the fence is lowered");
    ctx.state_mut(|state| state.controls_mut().scope = None);
    if let Ok(Ended::Busy(in_the_way)) = ended {
        return Ok(Passage::InTheWay(in_the_way));
    }

    let options = step::fenced("take the fence down", WorkflowCancellationToken::new());
    let lowered = ctx.execute_activity(Steps::lower_fence, LowerFenceInput { slots }, options).await?;
    if !lowered.switched.is_empty() {
        return Ok(Passage::Switched(lowered.switched));
    }
    // A job that wrote behind the fence makes the slots differ from what was planned, and the verification fail; only one
    // that nobody disturbed says that a slot is wrong.
    if !lowered.came_in_between.is_empty()
        && matches!(ended, Err(Stop::Failed { kind: ErrorKind::VerificationFailed, .. }))
    {
        return Ok(Passage::InTheWay(lowered.came_in_between));
    }
    match ended? {
        Ended::Switched(switched) => Ok(Passage::Switched(switched)),
        Ended::Busy(in_the_way) => Ok(Passage::InTheWay(in_the_way)),
        Ended::Breached(by) => Ok(Passage::InTheWay(vec![by])),
    }
}

/// Works behind the fence until it is done, or the limit is over, or the fence is lost, or somebody cancels.
async fn within_limit(
    ctx: &Context,
    request: &SwitchRequest,
    members: &mut [SwitchMember],
    limits: Limits,
    scope: &WorkflowCancellationToken,
) -> Result<Ended, Stop> {
    let slots = slots(members);
    let timer = TimerOptions::builder(limits.behind_fence).cancellation_token(scope.clone());
    let timer = timer.summary("the time limit behind the fence".to_owned()).build();
    let mut limit = Box::pin(ctx.timer(timer).fuse());
    let mut cancelled = Box::pin(ctx.cancelled());
    let mut lost = Box::pin(keep_up(ctx, &slots, scope).fuse());
    let mut work = Box::pin(work(ctx, request, members, limits, scope).fuse());
    let ended = select! {
        ended = work => Some(ended),
        stop = lost => Some(Err(stop)),
        _ = cancelled => Some(Err(Stop::Cancelled)),
        _ = limit => None,
    };
    if ctx.cancellation_token().is_cancelled() {
        return ended.unwrap_or(Err(Stop::Cancelled));
    }
    ended.unwrap_or_else(|| {
        let seconds = limits.behind_fence.as_secs();
        let held_back = match ctx.state(|state| state.controls().held_back()) {
            Some(it) => format!(" (it was held back by {}: {})", it.by, it.why),
            None => String::new(),
        };
        Err(Stop::failed(
            ErrorKind::Timeout,
            format!(
                "the switch was not done within {seconds} s behind its fence{held_back}, so it was taken back and the active \
                 slot is still the same: see what is slow with `--dry-run`, then switch again, or give it more time with \
                 time_limit_seconds"
            ),
        ))
    })
}

async fn work(
    ctx: &Context,
    request: &SwitchRequest,
    members: &mut [SwitchMember],
    limits: Limits,
    scope: &WorkflowCancellationToken,
) -> Result<Ended, Stop> {
    let input =
        RaiseFenceInput { request: Some(request.clone()), members: members.to_vec(), lasts_seconds: LASTS_SECONDS };
    let options = step::fenced("keep jobs of the platform away", scope.clone());
    let raised = ctx.execute_activity(Steps::raise_fence, input, options).await?;
    if !raised.in_the_way.is_empty() {
        return Ok(Ended::Busy(raised.in_the_way));
    }

    let needs_none = |member: &SwitchMember| {
        !member.skipped.is_empty() || raised.switched.iter().any(|it| it.sync_id == slot(member).sync_id)
    };
    let proof = async |member| if needs_none(member) { Ok(()) } else { prove(ctx, member).await };
    if request.force {
        let skipped = skipped_within(ctx, limits.for_proof(), members, proof).await?;
        for (member, skipped) in members.iter_mut().zip(skipped) {
            member.skipped.extend(skipped);
        }
    } else {
        each(members, proof).await?;
    }

    gate::pass(ctx).await?;
    set_phase(ctx, "flip");
    let input = FlipRolesInput { request: Some(request.clone()), members: members.to_vec() };
    let options = step::fenced("change the roles in one transaction", scope.clone());
    let flipped = ctx.execute_activity(Steps::flip_roles, input, options).await?;
    Ok(match flipped.came_in_between {
        Some(by) => Ended::Breached(by),
        None => Ended::Switched(flipped.switched),
    })
}

/// One round with nobody else writing, and its verification: from here on the slot equals the raw store.
async fn prove(ctx: &Context, member: &SwitchMember) -> Result<(), Stop> {
    let (slot, settings) = (slot(member), settings(member, 1)?);
    let mut state = CatchUp::of_a_ready_slot();
    catch_up::plan(ctx, &slot, &settings, &mut state).await?;
    if let Outcome::RollOver = catch_up::run(ctx, &slot, &settings, &mut state).await? {
        return Err(Stop::failed(
            ErrorKind::Conflict,
            format!("slot {} is too far behind for one round behind the fence: switch again", slot.slot_id),
        ));
    }
    gate::pass(ctx).await?;
    set_phase(ctx, "verify");
    let mut options = step::long("compare what changed with the raw store".to_owned());
    options.cancellation_token = Some(gate::token(ctx));
    let input = VerifyDeltaInput { slot: Some(slot), plan_id: state.plan.plan_id };
    ctx.execute_activity(Steps::verify_delta, input, options).await?;
    Ok(())
}

/// Renews the fence until that fails.
async fn keep_up(ctx: &Context, slots: &[proto::v1::SlotRef], scope: &WorkflowCancellationToken) -> Stop {
    loop {
        let timer = TimerOptions::builder(RENEWAL).cancellation_token(scope.clone()).build();
        ctx.timer(timer).await;
        if scope.is_cancelled() {
            return Stop::Cancelled;
        }
        let input = RenewFenceInput { slots: slots.to_vec(), lasts_seconds: LASTS_SECONDS };
        let options = step::fenced("renew the fence", scope.clone());
        if let Err(error) = ctx.execute_activity(Steps::renew_fence, input, options).await {
            return error.into();
        }
    }
}
