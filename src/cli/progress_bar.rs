//! The progress of a fork on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use proto::v1::Progress;

/// A bar with phase, rate and time left; silent when stderr is not a terminal.
pub(crate) struct ForkBar(ProgressBar);

impl ForkBar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        // The template is a constant of this file, so it parses.
        let style = ProgressStyle::with_template("  {msg:14} {bar:32} {pos:>7} of {len} entities  {prefix}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─");
        bar.set_style(style);
        Self(bar)
    }

    pub(crate) fn show(&self, progress: &Progress) {
        self.0.set_length(progress.entities_total);
        self.0.set_position(progress.entities_done);
        self.0.set_message(if progress.paused { "paused".to_owned() } else { progress.phase.clone() });
        let rate = progress.entities_per_second;
        self.0.set_prefix(match (&progress.platform_job, rate > 0.0, progress.eta_seconds) {
            (_, true, 0) => format!("{rate:.0}/s"),
            (_, true, eta) => format!("{rate:.0}/s, {eta} s left"),
            (Some(job), false, _) => {
                let written = job.inserted + job.updated;
                format!("the platform's job is {}: {} seen, {written} written", job.status, job.encountered)
            }
            (None, false, _) => String::new(),
        });
        if let Some(it) = progress.throttle.as_ref().filter(|_| !progress.paused) {
            self.0.set_prefix(format!("held back by {}: {}", it.by, it.why));
        }
        self.0.tick();
    }

    pub(crate) fn done(self) {
        self.0.finish_and_clear();
    }
}
