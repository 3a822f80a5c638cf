//! Catching up: while a plan is worked through the raw store goes on changing, so another plan is made of what changed, and
//! another, until one was small or they stop getting smaller.
//!
//! Written for every workflow that feeds a slot. [`run`] works through the plan there is and goes on with further rounds;
//! [`plan`] makes one. What is known so far is in [`CatchUp`], which survives a continue-as-new; the cursor of record is in
//! Postgres, so a workflow that is reset or started again loses nothing by planning anew.
//!
//! Every round honours pause, throttle and cancellation. Its plan has an id of its own, chosen here: the activity that makes
//! it may run twice and makes one plan.

use proto::v1::{CloseReplayInput, CloseReplayOutput, ForkOptions, Gap, Lag, PlanReplayInput, SlotRef};
use serde::{Deserialize, Serialize};
use temporalio_workflow::WorkflowContext;

use crate::controls::{Controlled, set_phase};
use crate::definitions::Steps;
use crate::domain::ErrorKind;
use crate::replay::{self, Plan, Tally, Worked};
use crate::step::Patience;
use crate::stop::Stop;
use crate::{gate, progress, step};

/// How a slot is fed, and when it has caught up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub batch_entities: u32,
    pub segment_entities: u32,
    pub max_drop_percent: Option<u32>,
    pub confirm_drop: u64,
    pub allow_incomplete: bool,
    pub dead_letter_budget: Option<u32>,
    /// A round with at most this many entities to write or delete is the last.
    pub small: u64,
    /// Most rounds after the first plan.
    pub rounds: u32,
    /// The slot was ready and stays so.
    pub follow: bool,
    pub patience: Patience,
}

impl Settings {
    /// What one round may have to do and still be the last, when the request says nothing.
    const DEFAULT_SMALL: u32 = 100;

    /// Rounds when the request says nothing, and most that can be asked for.
    const DEFAULT_ROUNDS: u32 = 5;
    const MOST_ROUNDS: u32 = 100;

    /// The settings of a request.
    pub(crate) fn of(options: &ForkOptions) -> Result<Self, Stop> {
        let rounds = options.catch_up_rounds.unwrap_or(Self::DEFAULT_ROUNDS);
        if rounds > Self::MOST_ROUNDS {
            return Err(Stop::failed(
                ErrorKind::InvalidInput,
                format!("options.catch_up_rounds must be at most {}, got {rounds}", Self::MOST_ROUNDS),
            ));
        }
        if let Some(percent) = options.max_drop_percent.filter(|percent| *percent > 100) {
            return Err(Stop::failed(
                ErrorKind::InvalidInput,
                format!("options.max_drop_percent must be at most 100, got {percent}"),
            ));
        }
        Ok(Self {
            batch_entities: options.batch_entities,
            segment_entities: options.segment_entities,
            max_drop_percent: options.max_drop_percent,
            confirm_drop: options.confirm_drop,
            allow_incomplete: options.allow_incomplete,
            dead_letter_budget: options.dead_letter_budget,
            small: options.catch_up_entities.unwrap_or(Self::DEFAULT_SMALL).into(),
            rounds,
            follow: false,
            patience: Patience::Endless,
        })
    }
}

/// How far catching up is. Survives a continue-as-new.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CatchUp {
    /// Plans made after the first.
    pub round: u32,
    /// The present plan.
    #[serde(flatten)]
    pub plan: Plan,
    #[serde(flatten)]
    pub tally: Tally,
    /// Objects the raw store listed for the present plan, and those that the slot held already for the first.
    pub listed: u64,
    pub unchanged: u64,
    /// Entities that the present plan keeps although the raw store no longer has them, because the platform knows them.
    pub held_back: u64,
    /// How far the slot was behind when the present plan was made, and when the one before was.
    pub lag: Lag,
    pub behind_before: u64,
    /// Things noticed that stop nothing.
    pub gaps: Vec<Gap>,
}

/// How catching up ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The last plan is worked through and closed.
    CaughtUp(CloseReplayOutput),
    /// The history is long enough: go on in a new execution.
    RollOver,
}

impl CatchUp {
    /// Of a slot that was filled long ago: every plan is a further round, and the first may be the last.
    pub(crate) fn of_a_ready_slot() -> Self {
        let unknown = Lag { entities: u64::MAX, oldest_change_ms: 0 };
        Self { round: 1, lag: unknown, ..Self::default() }
    }

    /// Whether another round would be worth its while.
    fn is_over(&self, settings: &Settings) -> bool {
        let caught_up =
            self.round > 0 && (self.lag.entities <= settings.small || self.lag.entities >= self.behind_before);
        caught_up || self.round >= settings.rounds
    }

    fn phase(&self) -> &'static str {
        if self.round == 0 { "replay" } else { "catch-up" }
    }

    /// Counts gaps of a plan to those of earlier ones.
    fn add_gaps(&mut self, gaps: &[Gap]) {
        for gap in gaps {
            match self.gaps.iter_mut().find(|known| known.what == gap.what) {
                Some(known) => known.count += gap.count,
                None => self.gaps.push(gap.clone()),
            }
        }
    }

    /// Everything noticed, what the slot still holds beyond the raw store included.
    pub(crate) fn all_gaps(&self) -> Vec<Gap> {
        let mut gaps = self.gaps.clone();
        if self.held_back > 0 {
            let what = "gone from the raw store, still known to the platform, kept in the slot".to_owned();
            gaps.push(Gap { what, count: self.held_back });
        }
        gaps
    }
}

/// Compares the raw store with the slot and makes a plan of the difference.
pub(crate) async fn plan<W: Controlled>(
    ctx: &WorkflowContext<W>,
    slot: &SlotRef,
    settings: &Settings,
    state: &mut CatchUp,
) -> Result<(), Stop> {
    let plan_id = ctx.uuid4();
    let input = PlanReplayInput {
        slot: Some(slot.clone()),
        plan_id: plan_id.clone(),
        segment_entities: settings.segment_entities,
        max_drop_percent: settings.max_drop_percent,
        confirm_drop: settings.confirm_drop,
        allow_incomplete: settings.allow_incomplete,
        catch_up: settings.follow || state.round > 0,
        follow: settings.follow,
    };
    let summary = match state.round {
        0 => "freeze how the slot differs into segments".to_owned(),
        round => format!("round {round}: freeze what changed meanwhile into segments"),
    };
    let mut options = settings.patience.with(step::long(summary));
    options.cancellation_token = Some(gate::token(ctx));
    let made = ctx.execute_activity(Steps::plan_replay, input, options).await?;
    state.plan.replace(plan_id, &made);
    state.listed = made.listed;
    if state.round == 0 {
        state.unchanged = made.unchanged;
    }
    state.held_back = made.held_back;
    state.behind_before = state.lag.entities;
    state.lag = made.lag.unwrap_or_default();
    let now_ms = progress::millis(ctx.workflow_time());
    ctx.state_mut(|workflow| workflow.controls_mut().begin_replay(now_ms));
    show(ctx, state);
    Ok(())
}

/// Works through the present plan, and through further rounds until the slot has caught up.
pub(crate) async fn run<W: Controlled>(
    ctx: &WorkflowContext<W>,
    slot: &SlotRef,
    settings: &Settings,
    state: &mut CatchUp,
) -> Result<Outcome, Stop> {
    loop {
        set_phase(ctx, state.phase());
        let CatchUp { plan: present, tally, .. } = state;
        if replay::run(ctx, slot, settings.batch_entities, settings.patience, present, tally).await?
            == Worked::UntilRollOver
        {
            return Ok(Outcome::RollOver);
        }
        let closed = close(ctx, slot, settings, state).await?;
        if state.is_over(settings) {
            return Ok(Outcome::CaughtUp(closed));
        }
        gate::pass(ctx).await?;
        state.round += 1;
        set_phase(ctx, state.phase());
        plan(ctx, slot, settings, state).await?;
    }
}

/// Proves that the plan is done and counts what could not be carried over. What it noticed goes with the next plan, so it is
/// kept here.
async fn close<W: Controlled>(
    ctx: &WorkflowContext<W>,
    slot: &SlotRef,
    settings: &Settings,
    state: &mut CatchUp,
) -> Result<CloseReplayOutput, Stop> {
    gate::pass(ctx).await?;
    if state.round == 0 {
        set_phase(ctx, "close");
    }
    let input = CloseReplayInput {
        slot: Some(slot.clone()),
        plan_id: state.plan.plan_id.clone(),
        dead_letter_budget: settings.dead_letter_budget,
    };
    let mut options = settings.patience.with(step::short("count the dead letters against the budget"));
    options.cancellation_token = Some(gate::token(ctx));
    let closed = ctx.execute_activity(Steps::close_replay, input, options).await?;
    state.add_gaps(&closed.gaps);
    Ok(closed)
}

/// Shows how far catching up is.
pub(crate) fn show<W: Controlled>(ctx: &WorkflowContext<W>, state: &CatchUp) {
    ctx.state_mut(|workflow| {
        let shown = &mut workflow.controls_mut().progress;
        shown.catch_up_round = state.round;
        shown.lag = Some(state.lag);
    });
    replay::show(ctx, &state.plan, &state.tally, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(small: u64, rounds: u32) -> Settings {
        let options = ForkOptions { catch_up_entities: u32::try_from(small).ok(), ..ForkOptions::default() };
        Settings { rounds, ..Settings::of(&options).unwrap_or_else(|stop| panic!("{stop:?}")) }
    }

    #[test]
    fn rounds_end_when_one_was_small_or_none_gets_smaller() {
        // Round, behind before, behind now, over.
        for (round, behind_before, behind, over) in [
            (0, 0, 3, false),
            (1, 1000, 3, true),
            (1, 1000, 10, true),
            (1, 1000, 11, false),
            (2, 11, 11, true),
            (2, 11, 12, true),
            (3, 900, 800, false),
            (4, 900, 800, true),
        ] {
            let lag = Lag { entities: behind, oldest_change_ms: 0 };
            let state = CatchUp { round, behind_before, lag, ..CatchUp::default() };
            assert_eq!(state.is_over(&settings(10, 4)), over, "round {round}: {behind_before}, then {behind}");
        }
        assert!(CatchUp::default().is_over(&settings(10, 0)), "no round was asked for");
    }

    #[test]
    fn of_a_ready_slot_the_first_round_may_be_the_last() {
        for (rounds, behind, over) in [(5, 10, true), (5, 11, false), (1, 1_000_000, true)] {
            let mut state = CatchUp::of_a_ready_slot();
            state.behind_before = state.lag.entities;
            state.lag.entities = behind;
            assert_eq!(state.is_over(&settings(10, rounds)), over, "{behind} behind, of {rounds} rounds");
        }
    }

    #[test]
    fn gaps_of_all_rounds_add_up() {
        let gap = |what: &str, count| Gap { what: what.to_owned(), count };
        let mut state = CatchUp { gaps: vec![gap("a", 1)], held_back: 2, ..CatchUp::default() };
        state.add_gaps(&[gap("b", 4), gap("a", 2)]);
        assert_eq!(state.gaps, [gap("a", 3), gap("b", 4)]);
        assert_eq!(state.all_gaps()[2].count, 2);
    }

    #[test]
    fn settings_have_bounds() {
        let refused = |options: ForkOptions| {
            matches!(Settings::of(&options), Err(Stop::Failed { kind: ErrorKind::InvalidInput, .. }))
        };
        assert!(refused(ForkOptions { catch_up_rounds: Some(101), ..ForkOptions::default() }));
        assert!(refused(ForkOptions { max_drop_percent: Some(101), ..ForkOptions::default() }));
        assert!(!refused(ForkOptions {
            catch_up_rounds: Some(100),
            max_drop_percent: Some(100),
            ..ForkOptions::default()
        }));
    }
}
