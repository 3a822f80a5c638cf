//! Before the fence: most of the difference is carried over while everybody goes on, and what is in the way is waited for.

use std::time::Duration;

use futures::FutureExt as _;
use proto::v1::{FindInTheWayInput, InTheWay, SwitchMember};
use temporalio_workflow::{TimerOptions, WorkflowContext, select};

use super::SwitchWorkflow;
use super::members::{each, settings, slot, slots};
use crate::catch_up::{self, CatchUp, Outcome};
use crate::controls::{Controlled as _, publish, set_phase};
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::stop::Stop;
use crate::{gate, step};

type Context = WorkflowContext<SwitchWorkflow>;

/// Rounds of catching up before the fence.
const ROUNDS: u32 = 5;

/// Between two looks at what is in the way: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Whether catching up came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Approached {
    Near,
    /// The history is long enough: go on in a new execution.
    RollOver,
}

/// Catches every slot up. This saves time behind the fence and proves nothing, so losing a race against somebody else who
/// plans for a slot is no failure.
pub(super) async fn catch_up(ctx: &Context, members: &[SwitchMember]) -> Result<Approached, Stop> {
    set_phase(ctx, "catch-up");
    let approached = each(members, async |member| match near(ctx, member).await {
        Err(Stop::Failed { kind: ErrorKind::Conflict | ErrorKind::NotFound, .. }) => Ok(Approached::Near),
        other => other,
    })
    .await?;
    Ok(if approached.contains(&Approached::RollOver) { Approached::RollOver } else { Approached::Near })
}

/// The same, but a slot that cannot be caught up within `limit` is left as it is: the reason becomes part of what the switch
/// skips.
pub(super) async fn catch_up_if_possible(
    ctx: &Context,
    members: &mut [SwitchMember],
    limit: Duration,
) -> Result<(), Stop> {
    set_phase(ctx, "catch-up");
    let skipped = skipped_within(ctx, limit, members, async |member| near(ctx, member).await.map(|_| ())).await?;
    for (member, skipped) in members.iter_mut().zip(skipped) {
        member.skipped.extend(skipped);
    }
    Ok(())
}

async fn near(ctx: &Context, member: &SwitchMember) -> Result<Approached, Stop> {
    let (slot, settings) = (slot(member), settings(member, ROUNDS)?);
    let mut state = CatchUp::of_a_ready_slot();
    catch_up::plan(ctx, &slot, &settings, &mut state).await?;
    Ok(match catch_up::run(ctx, &slot, &settings, &mut state).await? {
        Outcome::CaughtUp(_) => Approached::Near,
        Outcome::RollOver => Approached::RollOver,
    })
}

/// Why `work` was not done for each member within `limit`; nothing where it was. Past the limit it is cancelled, and its end is
/// waited for: nothing of it may be under way when the roles change.
///
/// # Errors
///
/// A cancellation from outside.
pub(super) async fn skipped_within<'m, F>(
    ctx: &Context,
    limit: Duration,
    members: &'m [SwitchMember],
    mut work: impl FnMut(&'m SwitchMember) -> F,
) -> Result<Vec<Option<String>>, Stop>
where
    F: Future<Output = Result<(), Stop>> + 'm,
{
    let outside = gate::token(ctx);
    let inside = outside.child_token();
    let before = ctx.state_mut(|state| state.controls_mut().scope.replace(inside.clone()));
    let timer = TimerOptions::builder(limit).cancellation_token(inside.clone()).build();
    let mut timer = Box::pin(ctx.timer(timer).fuse());
    let mut all = Box::pin(each(members, |member| work(member).map(Ok)).fuse());
    let ended = select! {
        ended = all => ended,
        _ = timer => {
            inside.cancel_with_reason("it took too long");
            all.await
        }
    };
    inside.cancel();
    ctx.state_mut(|state| state.controls_mut().scope = before);
    let skipped = |ended| match ended {
        Ok(()) => Ok(None),
        Err(Stop::Failed { kind, message }) => Ok(Some(format!("last catch-up and verification: {kind}: {message}"))),
        Err(_) if outside.is_cancelled() => Err(Stop::Cancelled),
        Err(_) => Ok(Some(format!("last catch-up and verification: not done within {} s", limit.as_secs()))),
    };
    ended?.into_iter().map(skipped).collect()
}

/// Waits until nothing is in the way any more, at most as long as is `left`, which is counted down.
pub(super) async fn wait(
    ctx: &Context,
    members: &[SwitchMember],
    mut in_the_way: Vec<InTheWay>,
    left: &mut Duration,
) -> Result<(), Stop> {
    set_phase(ctx, "wait");
    let mut pause = PAUSES.0;
    while !in_the_way.is_empty() {
        let words = in_the_way.iter().map(words).collect::<Vec<_>>().join("; ");
        show(ctx, &words);
        if left.is_zero() {
            show(ctx, "");
            return Err(Stop::failed(
                ErrorKind::Conflict,
                format!(
                    "{words} is in the way, and job_wait_seconds are over: wait for its end or cancel it, then switch again"
                ),
            ));
        }
        gate::pass(ctx).await?;
        ctx.timer(pause.min(*left)).await;
        gate::pass(ctx).await?;
        *left = left.saturating_sub(pause);
        pause = (pause * 2).min(PAUSES.1);
        let input = FindInTheWayInput { slots: slots(members) };
        in_the_way = ctx
            .execute_activity(Steps::find_in_the_way, input, step::short("look for what is in the way"))
            .await?
            .in_the_way;
    }
    show(ctx, "");
    Ok(())
}

/// What is in the way, in words.
pub(super) fn words(it: &InTheWay) -> String {
    let InTheWay { sync_id, job_id, fence_owner, status, since } = it;
    if fence_owner.is_empty() {
        format!("job {job_id} of sync {sync_id} ({status} since {since})")
    } else {
        format!("operation {fence_owner}, which is switching sync {sync_id} since {since}")
    }
}

fn show(ctx: &Context, words: &str) {
    ctx.state_mut(|state| words.clone_into(&mut state.controls_mut().progress.waits_for));
    publish(ctx);
}
