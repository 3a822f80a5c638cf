//! Rate, remaining time and the small table operators read in the Temporal UI.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::v1::Progress;

/// Milliseconds since the Unix epoch; workflow time is the only clock.
pub(crate) fn millis(time: Option<SystemTime>) -> u64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Entities per second, and seconds that are left at that rate; both 0 while unknown.
pub(crate) fn rate_and_eta(done: u64, total: u64, elapsed_ms: u64) -> (f64, u64) {
    if done == 0 || elapsed_ms == 0 {
        return (0.0, 0);
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate for people; 2^53 entities is beyond any store")]
    let rate = done as f64 * 1000.0 / elapsed_ms as f64;
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]
    let eta = (total.saturating_sub(done) as f64 / rate).ceil() as u64;
    (rate, eta)
}

/// The progress as a Markdown table.
pub(crate) fn table(progress: &Progress) -> String {
    let percent = (progress.entities_done * 100).checked_div(progress.entities_total).unwrap_or(0);
    let paused = if progress.paused { " (paused)" } else { "" };
    let eta = match progress.eta_seconds {
        _ if progress.entities_total > 0 && progress.entities_done >= progress.entities_total => "none".to_owned(),
        0 => "unknown".to_owned(),
        seconds => duration(seconds),
    };
    format!(
        "### {} {}{paused}\n\n| | |\n|---|---|\n| entities | {} of {} ({percent} %) |\n| rate | {:.0} entities/s |\n\
         | time left | {eta} |\n| points | {} |\n| chunks | {} embedded, {} reused |\n| segments | {} of {}, {} in flight |\n| deleted | {} |\n| dead letters | {} |\n{}{}",
        progress.operation,
        progress.phase,
        progress.entities_done,
        progress.entities_total,
        progress.entities_per_second,
        progress.points,
        progress.chunks_embedded,
        progress.chunks_reused,
        progress.segments_done,
        progress.segments_total,
        progress.segments_in_flight,
        progress.deleted,
        progress.dead_letters,
        [lag(progress), waits_for(progress)].concat(),
        platform_job(progress),
    )
}

/// A row about what is waited for.
fn waits_for(progress: &Progress) -> String {
    match progress.waits_for.as_str() {
        "" => String::new(),
        words => format!("| waits for | {words} |\n"),
    }
}

/// Rows about catching up, once there is something to tell.
fn lag(progress: &Progress) -> String {
    let Some(lag) = progress.lag.filter(|_| progress.catch_up_round > 0) else { return String::new() };
    let oldest = match lag.oldest_change_ms {
        0 => String::new(),
        age => format!(", the oldest change {} old", duration(age.div_ceil(1000))),
    };
    format!("| catch-up | round {}: {} entities behind{oldest} |\n", progress.catch_up_round, lag.entities)
}

/// A row about the platform's job, when there is one.
fn platform_job(progress: &Progress) -> String {
    let Some(job) = &progress.platform_job else { return String::new() };
    let by_api = match job.status_by_api.as_str() {
        "" => String::new(),
        said => format!(", {said} by its API"),
    };
    format!(
        "| the platform's job | {}{by_api}: {} encountered, {} inserted, {} updated, {} deleted, {} kept, {} skipped |\n",
        job.status, job.encountered, job.inserted, job.updated, job.deleted, job.kept, job.skipped
    )
}

fn duration(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{Lag, PlatformJob};

    use super::*;

    #[test]
    fn nothing_done_means_nothing_known() {
        assert_eq!(rate_and_eta(0, 100, 5_000), (0.0, 0));
        assert_eq!(rate_and_eta(10, 100, 0), (0.0, 0));
    }

    #[test]
    fn time_left_follows_the_rate() {
        assert_eq!(rate_and_eta(50, 150, 10_000), (5.0, 20));
        assert_eq!(rate_and_eta(150, 150, 10_000), (15.0, 0));
    }

    #[test]
    fn the_table_says_where_vectors_came_from() {
        let progress = Progress { chunks_embedded: 3, chunks_reused: 40, points: 43, ..Progress::default() };
        let table = table(&progress);
        assert!(table.contains("| points | 43 |\n| chunks | 3 embedded, 40 reused |\n"), "{table}");
    }

    #[test]
    fn the_table_says_how_far_behind_a_slot_is() {
        let lag = Some(Lag { entities: 12, oldest_change_ms: 61_500 });
        let shown = |catch_up_round| table(&Progress { catch_up_round, lag, ..Progress::default() });
        assert!(!shown(0).contains("catch-up"), "the first replay");
        let table = shown(2);
        assert!(
            table.ends_with("| catch-up | round 2: 12 entities behind, the oldest change 1 min 2 s old |\n"),
            "{table}"
        );
    }

    #[test]
    fn the_table_says_what_is_waited_for() {
        let waits_for = "job 7 of sync 1 (running)".to_owned();
        let table = table(&Progress { waits_for, ..Progress::default() });
        assert!(table.ends_with("| waits for | job 7 of sync 1 (running) |\n"), "{table}");
    }

    #[test]
    fn the_table_says_what_the_platforms_job_does() {
        let job = PlatformJob {
            status: "running".to_owned(),
            status_by_api: "pending".to_owned(),
            encountered: 7,
            kept: 6,
            ..PlatformJob::default()
        };
        let shown = table(&Progress { platform_job: Some(job), ..Progress::default() });
        assert!(shown.contains("| running, pending by its API: 7 encountered, 0 inserted, "), "{shown}");
        assert!(!table(&Progress::default()).contains("platform"));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([duration(9), duration(125), duration(7_320)], ["9 s", "2 min 5 s", "2 h 2 min"]);
    }
}
