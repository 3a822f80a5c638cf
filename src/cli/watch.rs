//! `syncmux status --watch`: where operations are, again and again.
//!
//! On a terminal one line per operation is drawn again in its place. Otherwise a line is printed when something that
//! matters changed, so that a log of it can be read.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use activities::database::operation_list::{Filter, MAX_PAGE};
use activities::database::operations::OperationState;
use chrono::Utc;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::operations::{line, print_end};
use crate::operations::{OperationView, Operations};
use crate::output::Failure;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Watches one operation to its end, and ends as it ended.
pub(super) async fn one(operations: &Operations, organization: Uuid, operation: Uuid) -> Result<(), Failure> {
    let mut shown = Shown::new();
    loop {
        let view = operations.get(organization, operation).await?;
        shown.show(&view);
        if view.record.state != OperationState::Running {
            shown.close();
            print_end(&view.record)?;
            return outcome(&view);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Watches everything that runs, of one sync or of the organisation, until somebody interrupts it.
pub(super) async fn all(operations: &Operations, organization: Uuid, sync: Option<Uuid>) -> Result<(), Failure> {
    let running = Filter { sync_id: sync, state: Some(OperationState::Running), ..Filter::default() };
    let mut shown = Shown::new();
    let mut known = Vec::new();
    loop {
        let page = operations.list(organization, &running, None, MAX_PAGE).await?;
        let mut now: Vec<Uuid> = page.operations.iter().map(|it| it.operation_id).collect();
        now.reverse();
        // What ran a moment ago is looked at once more: it ended.
        let ended = known.iter().filter(|id| !now.contains(id)).copied().collect::<Vec<_>>();
        for id in ended.iter().chain(&now) {
            shown.show(&operations.get(organization, *id).await?);
        }
        known = now;
        tokio::time::sleep(INTERVAL).await;
    }
}

fn outcome(view: &OperationView) -> Result<(), Failure> {
    match view.record.state {
        OperationState::Running | OperationState::Completed => Ok(()),
        OperationState::Cancelled => Err(Failure::new(ErrorKind::Conflict, "it was cancelled")),
        OperationState::Failed => {
            let kind = view.record.error_kind.as_deref().and_then(|kind| kind.parse().ok());
            Err(Failure::new(kind.unwrap_or(ErrorKind::Internal), "it failed"))
        }
    }
}

/// What is on the screen.
struct Shown {
    screen: Option<MultiProgress>,
    lines: BTreeMap<Uuid, Line>,
}

/// The line of one operation, and what of it was told last.
struct Line {
    bar: Option<ProgressBar>,
    told: String,
}

impl Shown {
    fn new() -> Self {
        let screen =
            std::io::stdout().is_terminal().then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout()));
        Self { screen, lines: BTreeMap::new() }
    }

    fn show(&mut self, view: &OperationView) {
        let OperationView { record, progress, silent } = view;
        let state = if record.terminated { "terminated" } else { record.state.as_str() };
        let words = match (record.state, progress, silent) {
            (OperationState::Running, Some(progress), _) => line(progress),
            (OperationState::Running, None, Some(silent)) => format!("{}; {silent}", record.phase),
            (OperationState::Running, None, None) => record.phase.clone(),
            _ => state.to_owned(),
        };
        // Rates change with every look, and are no news.
        let news = match progress {
            Some(it) if record.state == OperationState::Running => {
                let tenth = it.entities_done.saturating_mul(10).checked_div(it.entities_total);
                let held_back = it.throttle.as_ref().map(|throttle| (&throttle.by, throttle.since_ms));
                format!("{} {} {tenth:?} {} {held_back:?}", it.phase, it.paused, it.waits_for)
            }
            _ => words.clone(),
        };
        let what = format!("{} {}  {words}", record.kind, record.operation_id);
        let screen = &self.screen;
        let shown = self
            .lines
            .entry(record.operation_id)
            .or_insert_with(|| Line { bar: screen.as_ref().map(|screen| screen.add(bar())), told: String::new() });
        match &shown.bar {
            Some(bar) if record.state == OperationState::Running => bar.set_message(what),
            Some(bar) => bar.finish_with_message(what),
            None if shown.told != news => println!("{}  {what}", Utc::now().format("%H:%M:%S")),
            None => {}
        }
        shown.told = news;
    }

    /// Leaves the lines where they are.
    fn close(&self) {
        for bar in self.lines.values().filter_map(|line| line.bar.as_ref()) {
            bar.abandon();
        }
    }
}

/// A line as wide as the terminal.
fn bar() -> ProgressBar {
    // The template is a constant of this file, so it parses.
    let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new_spinner().with_style(style)
}
