//! One round of one slot: what changed is planned, carried over and verified.

use proto::v1::{FollowOptions, RecordFollowInput, SlotRef, VerifyDeltaInput};
use temporalio_workflow::WorkflowContext;

use super::FollowWorkflow;
use super::carried::Unfinished;
use crate::catch_up::{self, CatchUp, Outcome, Settings};
use crate::controls::set_phase;
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::step::{self, Patience};
use crate::stop::Stop;
use crate::{gate, operator, progress};

type Context = WorkflowContext<FollowWorkflow>;

/// Largest batch: what one transaction of a destination should hold.
const MAX_BATCH_ENTITIES: u32 = 1000;

/// How a round is done, for every slot.
pub(super) fn settings(options: &FollowOptions) -> Result<Settings, Stop> {
    let invalid = |words: String| Err(Stop::failed(ErrorKind::InvalidInput, words));
    if options.lanes > operator::MAX_LANES {
        return invalid(format!("options.lanes must be at most {}, got {}", operator::MAX_LANES, options.lanes));
    }
    if options.batch_entities > MAX_BATCH_ENTITIES {
        return invalid(format!(
            "options.batch_entities must be at most {MAX_BATCH_ENTITIES}, got {}",
            options.batch_entities
        ));
    }
    if let Some(percent) = options.max_drop_percent.filter(|percent| *percent > 100) {
        return invalid(format!("options.max_drop_percent must be at most 100, got {percent}"));
    }
    Ok(Settings {
        batch_entities: options.batch_entities,
        segment_entities: options.segment_entities,
        max_drop_percent: options.max_drop_percent,
        confirm_drop: 0,
        allow_incomplete: options.allow_incomplete,
        dead_letter_budget: options.dead_letter_budget,
        small: 0,
        // One plan a round; the next round is the next plan.
        rounds: 0,
        follow: true,
        patience: Patience::Short,
    })
}

/// How a round ended.
pub(super) enum Served {
    /// It is over, well or not.
    Over,
    /// The history is long enough: it goes on in a new execution.
    RollOver(Box<Unfinished>),
}

/// Does the round of a slot, from its beginning or from where an earlier execution left it, and records how the slot stands.
///
/// Only a cancellation is an error: what failed in the slot is shown.
pub(super) async fn serve(
    ctx: &Context,
    slot: &SlotRef,
    settings: &Settings,
    unfinished: Option<Unfinished>,
) -> Result<Served, Stop> {
    ctx.state_mut(|state| {
        state.controls.progress.slot_id.clone_from(&slot.slot_id);
        state.standing(&slot.slot_id);
    });
    match work(ctx, slot, settings, unfinished).await {
        Ok(Served::RollOver(unfinished)) => return Ok(Served::RollOver(unfinished)),
        Ok(Served::Over) => {}
        Err(Stop::Failed { kind, message }) => {
            let now_ms = progress::millis(ctx.workflow_time());
            ctx.state_mut(|state| {
                let standing = state.standing(&slot.slot_id);
                if is_somebody_elses(kind) { standing.went_well() } else { standing.failed(kind, &message, now_ms) }
            });
        }
        Err(stop) => return Err(stop),
    }
    record(ctx, slot).await?;
    Ok(Served::Over)
}

/// Whether a failure says that the slot is not ours for the moment: another plan replaced this one, an operation keeps others
/// out, or the slot is being removed. Whoever did that feeds the slot; the next round looks again.
fn is_somebody_elses(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Conflict | ErrorKind::NotFound)
}

async fn work(
    ctx: &Context,
    slot: &SlotRef,
    settings: &Settings,
    unfinished: Option<Unfinished>,
) -> Result<Served, Stop> {
    let mut round = match unfinished {
        Some(round) => round,
        None => plan(ctx, slot, settings).await?,
    };
    // Nothing differs: what the plan before changed has been verified, and nothing was written since.
    if round.catch_up.plan.segments > 0 {
        match catch_up::run(ctx, slot, settings, &mut round.catch_up).await? {
            Outcome::RollOver => return Ok(Served::RollOver(Box::new(round))),
            Outcome::CaughtUp(_) => verify(ctx, slot, &round.catch_up).await?,
        }
    }
    ctx.state_mut(|state| state.standing(&slot.slot_id).caught_up(round.compared_at_ms));
    Ok(Served::Over)
}

async fn plan(ctx: &Context, slot: &SlotRef, settings: &Settings) -> Result<Unfinished, Stop> {
    gate::pass(ctx).await?;
    set_phase(ctx, "compare");
    let compared_at_ms = progress::millis(ctx.workflow_time());
    let confirmed = ctx.state(|state| state.confirmed.get(&slot.slot_id).copied());
    let settings = Settings { confirm_drop: confirmed.unwrap_or_default(), ..*settings };
    let mut catch_up = CatchUp { round: 1, ..CatchUp::default() };
    catch_up::plan(ctx, slot, &settings, &mut catch_up).await?;
    ctx.state_mut(|state| {
        // What was confirmed meanwhile is for the next plan.
        if state.confirmed.get(&slot.slot_id).copied() == confirmed {
            state.confirmed.remove(&slot.slot_id);
        }
        state.standing(&slot.slot_id).compared(catch_up.lag, compared_at_ms);
    });
    Ok(Unfinished { slot: slot.clone(), compared_at_ms, catch_up })
}

async fn verify(ctx: &Context, slot: &SlotRef, catch_up: &CatchUp) -> Result<(), Stop> {
    gate::pass(ctx).await?;
    set_phase(ctx, "verify");
    let input = VerifyDeltaInput { slot: Some(slot.clone()), plan_id: catch_up.plan.plan_id.clone() };
    let options = Patience::Short.with(step::long("compare what the plan changed with the raw store".to_owned()));
    ctx.execute_activity(Steps::verify_delta, input, options).await?;
    Ok(())
}

/// Records how the slot stands. A database that is away keeps the follow from nothing: the next round says it again.
async fn record(ctx: &Context, slot: &SlotRef) -> Result<(), Stop> {
    let followed = ctx.state_mut(|state| state.standing(&slot.slot_id).shown.clone());
    let input = RecordFollowInput { slot: Some(slot.clone()), followed: Some(followed) };
    let options = Patience::Short.with(step::short("record how the slot stands"));
    match ctx.execute_activity(Steps::record_follow, input, options).await.map_err(Stop::from) {
        Ok(_) | Err(Stop::Failed { .. }) => Ok(()),
        Err(stop) => Err(stop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_bounds() {
        let refused = |options: &FollowOptions| {
            matches!(settings(options), Err(Stop::Failed { kind: ErrorKind::InvalidInput, .. }))
        };
        assert!(!refused(&FollowOptions::default()));
        assert!(!refused(&FollowOptions { lanes: 64, batch_entities: 1000, ..FollowOptions::default() }));
        assert!(refused(&FollowOptions { lanes: 65, ..FollowOptions::default() }));
        assert!(refused(&FollowOptions { batch_entities: 1001, ..FollowOptions::default() }));
        assert!(refused(&FollowOptions { max_drop_percent: Some(101), ..FollowOptions::default() }));
    }

    #[test]
    fn only_what_somebody_else_does_is_no_failure() {
        let theirs: Vec<_> = ErrorKind::ALL.into_iter().filter(|kind| is_somebody_elses(*kind)).collect();
        assert_eq!(theirs, [ErrorKind::NotFound, ErrorKind::Conflict]);
    }
}
