//! What operators steer in a workflow that replays, and what they see of it.

use proto::v1::{LimitOperationInput, Progress, Throttle, Throttling};
use temporalio_common::data_converters::RawValue;
use temporalio_workflow::{WaitConditionOptions, WorkflowCancellationToken, WorkflowContext};

use crate::definitions::Steps;
use crate::gate::Pausable;
use crate::input::decode;
use crate::stop::Stop;
use crate::{operator, progress, search_attributes, step};

/// The part of a workflow's state that pause, resume, throttle and progress are about.
#[derive(Debug)]
pub(crate) struct Controls {
    pub(crate) progress: Progress,
    /// Segments worked on at a time.
    pub(crate) lanes: u32,
    /// Whether an operator said how many that are, in this execution.
    is_throttled: bool,
    /// When work on the present plan began.
    pub(crate) replay_since_ms: Option<u64>,
    /// Milliseconds spent paused since then, and when the present pause began.
    pub(crate) paused_ms: u64,
    pub(crate) paused_since_ms: Option<u64>,
    /// What the present part is cancelled by, when it has a scope of its own.
    pub(crate) scope: Option<WorkflowCancellationToken>,
    /// Organisation and id of the operation, once its record is open.
    operation: Option<(String, String)>,
    /// What holds segments back, as the last of them told.
    held_back: Option<Throttling>,
    /// Rates that operators asked for, and those of them that are recorded: in the order they were asked for.
    asked: u64,
    recorded: u64,
}

/// A workflow with controls.
pub(crate) trait Controlled: Pausable + 'static {
    fn controls(&self) -> &Controls;
    fn controls_mut(&mut self) -> &mut Controls;
}

impl Controls {
    pub(crate) fn new(operation: &str, lanes: u32) -> Self {
        let operation = operation.to_owned();
        Self {
            progress: Progress { operation, phase: "start".to_owned(), lanes, ..Progress::default() },
            lanes,
            is_throttled: false,
            replay_since_ms: None,
            paused_ms: 0,
            paused_since_ms: None,
            scope: None,
            operation: None,
            held_back: None,
            asked: 0,
            recorded: 0,
        }
    }

    /// The record of the operation is open: from now on it may have limits of its own.
    pub(crate) fn opened(&mut self, organization_id: &str, operation_id: &str) {
        self.operation = Some((organization_id.to_owned(), operation_id.to_owned()));
    }

    /// What the workflow tells a segment that it shows as holding it back.
    pub(crate) fn held_back(&self) -> Option<Throttling> {
        self.held_back.clone()
    }

    /// A segment told what holds it back, or that nothing does.
    pub(crate) fn set_held_back(&mut self, by: Option<Throttling>) {
        self.held_back = by;
        self.show_throttling();
    }

    fn show_throttling(&mut self) {
        let paused = self.paused_since_ms.map(|since_ms| Throttling {
            by: "operator".to_owned(),
            why: "it is paused".to_owned(),
            since_ms,
        });
        self.progress.throttle = paused.or_else(|| self.held_back.clone());
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_since_ms.is_some()
    }

    pub(crate) fn pause(&mut self, now_ms: u64) {
        if self.paused_since_ms.is_none() {
            self.paused_since_ms = Some(now_ms);
            self.progress.paused = true;
            self.show_throttling();
        }
    }

    pub(crate) fn resume(&mut self, now_ms: u64) {
        if let Some(since) = self.paused_since_ms.take() {
            self.paused_ms += now_ms.saturating_sub(since);
            self.progress.paused = false;
            self.show_throttling();
        }
    }

    /// A pause that an earlier execution carried over, unless somebody said something since.
    pub(crate) fn begin_with_pause(&mut self, paused_since_ms: Option<u64>) {
        self.paused_since_ms = self.paused_since_ms.or(paused_since_ms);
        self.progress.paused = self.is_paused();
        self.show_throttling();
    }

    /// Takes the lanes that an operator asks for.
    pub(crate) fn set_lanes(&mut self, lanes: u32) {
        self.use_lanes(lanes);
        self.is_throttled = true;
    }

    /// Takes the lanes of the request, or of the execution before. An operator who spoke before the first task knows better.
    pub(crate) fn begin_with_lanes(&mut self, lanes: u32) {
        if !self.is_throttled {
            self.use_lanes(lanes);
        }
    }

    fn use_lanes(&mut self, lanes: u32) {
        self.lanes = lanes;
        self.progress.lanes = lanes;
    }

    /// Starts the clock of a plan.
    pub(crate) fn begin_replay(&mut self, now_ms: u64) {
        self.replay_since_ms = Some(now_ms);
        self.paused_ms = 0;
        // A pause that lasts is counted from now on.
        self.paused_since_ms = self.paused_since_ms.map(|_| now_ms);
    }

    /// Milliseconds of work on the present plan, without pauses.
    pub(crate) fn replaying_ms(&self, now_ms: u64) -> u64 {
        let paused_now = self.paused_since_ms.map_or(0, |since| now_ms.saturating_sub(since));
        self.replay_since_ms.map_or(0, |since| now_ms.saturating_sub(since + self.paused_ms + paused_now))
    }
}

/// Shows a phase in the search attributes, the progress query and the UI.
pub(crate) fn set_phase<W: Controlled>(ctx: &WorkflowContext<W>, phase: &str) {
    ctx.state_mut(|state| phase.clone_into(&mut state.controls_mut().progress.phase));
    ctx.upsert_search_attributes([search_attributes::PHASE.value_set(phase.to_owned())]);
    publish(ctx);
}

/// Shows the progress in the UI.
pub(crate) fn publish<W: Controlled>(ctx: &WorkflowContext<W>) {
    ctx.set_current_details(ctx.state(|state| progress::table(&state.controls().progress)));
}

/// Does what an operator asks for, and answers with what is in force: lanes hold from the next segment on, rates when they are
/// recorded, which is when this returns. Several at a time are recorded one after the other.
///
/// # Errors
///
/// Why not, in words.
pub(crate) async fn throttle<W: Controlled>(ctx: &WorkflowContext<W>, asked: Throttle) -> Result<Throttle, String> {
    let wanted = operator::lanes(&asked)?;
    let (lanes, turn) = ctx.state_mut(|state| {
        let controls = state.controls_mut();
        if let Some(lanes) = wanted {
            controls.set_lanes(lanes);
        }
        controls.asked += u64::from(operator::has_rates(&asked));
        (controls.lanes, controls.asked)
    });
    publish(ctx);
    if !operator::has_rates(&asked) {
        return Ok(Throttle { lanes, ..Throttle::default() });
    }
    // Detached, as the record: what was asked for before a cancellation holds for the undo as well.
    let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
    let is_my_turn = move |state: &W| state.controls().operation.is_some() && state.controls().recorded + 1 == turn;
    // Only a cancelled token ends the wait otherwise, and nobody has this one.
    let _ = ctx.wait_condition_with_options(is_my_turn, detached).await;
    let (organization_id, operation_id) = ctx.state(|state| state.controls().operation.clone()).unwrap_or_default();
    let input = LimitOperationInput { organization_id, operation_id, throttle: Some(asked) };
    let recorded = ctx.execute_activity(Steps::limit_operation, input, step::detached("record the rates")).await;
    ctx.state_mut(|state| state.controls_mut().recorded += 1);
    match recorded.map_err(Stop::from) {
        Ok(in_force) => Ok(Throttle { lanes, ..in_force }),
        Err(Stop::Failed { kind, message }) => Err(format!("{kind}: {message}")),
        Err(Stop::Cancelled | Stop::ContinueAsNew(_)) => Err("the rates were not recorded".to_owned()),
    }
}

/// The same for a signal, which nobody answers.
pub(crate) async fn throttle_by_signal<W: Controlled>(ctx: &WorkflowContext<W>, argument: &RawValue) {
    let outcome = match decode::<Throttle>(&argument.payloads) {
        Ok(asked) => throttle(ctx, asked).await,
        Err(error) => Err(error.to_string()),
    };
    if let Err(reason) = outcome
        && !ctx.is_replaying()
    {
        tracing::warn!(%reason, "ignored a throttle signal");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_not_work() {
        let mut controls = Controls::new("fork", 1);
        assert_eq!(controls.replaying_ms(50), 0, "nothing has begun");
        controls.begin_replay(100);
        controls.pause(150);
        controls.pause(170);
        assert_eq!(controls.replaying_ms(300), 50);
        controls.resume(400);
        controls.resume(500);
        assert_eq!(controls.replaying_ms(500), 150);
        // The next plan begins in a pause.
        controls.pause(600);
        controls.begin_replay(700);
        assert_eq!(controls.replaying_ms(900), 0);
        controls.resume(1000);
        assert_eq!((controls.replaying_ms(1010), controls.is_paused()), (10, false));
    }

    #[test]
    fn it_is_said_who_holds_it_back() {
        let mut controls = Controls::new("fork", 3);
        assert_eq!((controls.progress.lanes, &controls.progress.throttle), (3, &None));
        let told = Throttling { by: "global".to_owned(), why: "5 entities/s".to_owned(), since_ms: 7 };
        controls.set_held_back(Some(told.clone()));
        assert_eq!(controls.progress.throttle, Some(told.clone()));
        controls.pause(9);
        let shown = controls.progress.throttle.clone().unwrap();
        assert_eq!((shown.by.as_str(), shown.since_ms), ("operator", 9), "a pause comes first");
        controls.resume(11);
        assert_eq!(controls.progress.throttle, Some(told));
        controls.set_held_back(None);
        assert_eq!(controls.progress.throttle, None);
    }
}
