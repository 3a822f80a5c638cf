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
         | time left | {eta} |\n| points | {} |\n| chunks | {} embedded, {} reused |\n| segments | {} of {}, {} in flight, {} lanes |\n| deleted | {} |\n| dead letters | {} |\n{}{}",
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
        progress.lanes,
        progress.deleted,
        progress.dead_letters,
        [lag(progress), waits_for(progress), held_back(progress)].concat(),
        platform_job(progress),
    )
}

/// A row about who holds it back, why, and since when.
fn held_back(progress: &Progress) -> String {
    match &progress.throttle {
        Some(it) => format!("| held back by | {}: {}, since {} |\n", it.by, cell(&it.why), time(it.since_ms)),
        None => String::new(),
    }
}

/// The same below a table of something else.
pub(crate) fn held_back_line(progress: &Progress) -> String {
    match &progress.throttle {
        Some(it) => format!("\nheld back by {}: {}, since {}\n", it.by, it.why, time(it.since_ms)),
        None => String::new(),
    }
}

/// What somebody wrote, so that it stays in its cell.
fn cell(words: &str) -> String {
    words.replace('|', "/").replace(['\n', '\r'], " ")
}

/// A time of day with its date. Days are counted from the first of March, so that a leap day is the last of its year.
fn time(at_ms: u64) -> String {
    let (days, seconds) = (at_ms / 86_400_000, at_ms / 1000 % 86_400);
    let from_march = days + 719_468;
    let (era, of_era) = (from_march / 146_097, from_march % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
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
    use proto::v1::{Lag, PlatformJob, Throttling};

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
    fn the_table_says_who_holds_it_back_and_since_when() {
        let why = "5 entities/s for all operations together, set by ann: backup | tonight".to_owned();
        let throttle = Some(Throttling { by: "global".to_owned(), why, since_ms: 1_709_210_096_789 });
        let shown = table(&Progress { throttle, lanes: 4, ..Progress::default() });
        assert!(shown.contains(", 0 in flight, 4 lanes |\n"), "{shown}");
        let row = "| held back by | global: 5 entities/s for all operations together, set by ann: backup / tonight, since \
                   2024-02-29 12:34:56 UTC |\n";
        assert!(shown.ends_with(row), "{shown}");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(time(seconds * 1000), expected);
        }
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([duration(9), duration(125), duration(7_320)], ["9 s", "2 min 5 s", "2 h 2 min"]);
    }
}
