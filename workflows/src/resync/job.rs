//! Judging the platform's job: whether it has ended, and whether its success can be believed.

use proto::v1::{PlatformJob, ResyncResult};

use crate::domain::ErrorKind;
use crate::stop::Stop;

/// Shortest and longest time between two looks of the workflow, in milliseconds. The activity looks more often and
/// answers at once when the status changes.
const SHORTEST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 15 * 60 * 1_000;

/// How long one look lasts after the job was watched for so long. A twentieth of it: what is shown is nearly fresh, and
/// the looks of a job of days fit into one history.
pub(super) fn patience_ms(watched_ms: u64) -> u64 {
    (watched_ms / 20).clamp(SHORTEST_MS, LONGEST_MS)
}

/// Whether nothing will become of the job any more.
pub(super) fn has_ended(job: &PlatformJob) -> bool {
    matches!(job.status.as_str(), "completed" | "failed" | "cancelled")
}

/// Whether the job did what it was started for. `before` holds what was there before it.
pub(super) fn judge(job: &PlatformJob, before: &ResyncResult, rebuild: bool) -> Result<(), Stop> {
    let id = &job.sync_job_id;
    let said = if job.error.is_empty() { String::new() } else { format!(": {:?}", job.error) };
    match job.status.as_str() {
        "completed" => believe(job, before, rebuild),
        "failed" => Err(Stop::failed(
            ErrorKind::RawStoreInvalid,
            format!(
                "job {id} of the platform failed{said}; nothing was changed here. Mend that at the platform and \
                 resync again"
            ),
        )),
        "cancelled" => Err(Stop::failed(
            ErrorKind::Conflict,
            format!("job {id} was cancelled at the platform{said}; nothing was changed here. Resync again"),
        )),
        other => Err(Stop::failed(ErrorKind::Internal, format!("job {id} cannot have ended as {other:?}"))),
    }
}

/// A source that could not be read at all may end as a success with nothing in it. Where there was something before,
/// that is no success.
fn believe(job: &PlatformJob, before: &ResyncResult, rebuild: bool) -> Result<(), Stop> {
    let there_was_something = before.entities_before > 0 || before.known_before > 0;
    let written = job.inserted + job.updated;
    let what = if job.encountered == 0 && written + job.kept == 0 {
        "without having seen a single entity"
    } else if rebuild && written == 0 {
        "without having written a single entity, though it was to rebuild the raw store"
    } else {
        return Ok(());
    };
    if !there_was_something {
        return Ok(());
    }
    Err(Stop::failed(
        ErrorKind::VerificationFailed,
        format!(
            "job {} of the platform completed {what}, and {} were in the raw store before and {} known to the \
             platform; nothing was changed here. Look at the source connection and its credentials, then resync again",
            job.sync_job_id, before.entities_before, before.known_before
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(status: &str) -> PlatformJob {
        PlatformJob { sync_job_id: "j".to_owned(), status: status.to_owned(), ..PlatformJob::default() }
    }

    fn judged(job: &PlatformJob, before: (u64, u64), rebuild: bool) -> Option<(ErrorKind, String)> {
        let before = ResyncResult { entities_before: before.0, known_before: before.1, ..ResyncResult::default() };
        match judge(job, &before, rebuild) {
            Ok(()) => None,
            Err(Stop::Failed { kind, message }) => Some((kind, message)),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_success_without_entities_is_believed_of_an_empty_source_only() {
        let nothing = job("completed");
        assert_eq!(judged(&nothing, (0, 0), false), None);
        for before in [(1, 0), (0, 1), (5, 5)] {
            let (kind, message) = judged(&nothing, before, false).expect("not believed");
            assert_eq!(kind, ErrorKind::VerificationFailed);
            assert!(message.contains("without having seen a single entity"), "{message}");
        }
        // Deleting all there was, and skipping, is no sight of the source either.
        let emptied = PlatformJob { deleted: 5, skipped: 2, ..nothing.clone() };
        assert_eq!(judged(&emptied, (5, 5), false).map(|it| it.0), Some(ErrorKind::VerificationFailed));
        for seen in [
            PlatformJob { encountered: 1, ..nothing.clone() },
            PlatformJob { kept: 1, ..nothing.clone() },
            PlatformJob { updated: 1, ..nothing.clone() },
            PlatformJob { inserted: 1, ..nothing },
        ] {
            assert_eq!(judged(&seen, (5, 5), false), None, "{seen:?}");
        }
    }

    #[test]
    fn a_rebuild_has_to_write() {
        let kept = PlatformJob { encountered: 5, kept: 5, ..job("completed") };
        assert_eq!(judged(&kept, (5, 5), false), None, "without a rebuild nothing new is a good answer");
        let (kind, message) = judged(&kept, (5, 5), true).expect("not believed");
        assert_eq!(kind, ErrorKind::VerificationFailed);
        assert!(message.contains("without having written"), "{message}");
        assert_eq!(judged(&PlatformJob { inserted: 5, ..kept }, (5, 5), true), None);
    }

    #[test]
    fn what_did_not_complete_fails_with_what_the_platform_says() {
        let failed = PlatformJob { error: "token \"x\" expired".to_owned(), ..job("failed") };
        let (kind, message) = judged(&failed, (5, 5), false).expect("a failure");
        assert_eq!(kind, ErrorKind::RawStoreInvalid);
        assert!(message.contains(r#""token \"x\" expired""#), "{message}");
        assert_eq!(judged(&job("cancelled"), (5, 5), false).map(|it| it.0), Some(ErrorKind::Conflict));
        assert_eq!(judged(&job("running"), (5, 5), false).map(|it| it.0), Some(ErrorKind::Internal));
        assert!(has_ended(&failed) && !has_ended(&job("cancelling")) && !has_ended(&job("pending")));
    }

    #[test]
    fn looks_become_longer_and_a_week_of_them_fits_into_a_history() {
        assert_eq!([0, 19_999, 60_000, u64::MAX].map(patience_ms), [1_000, 1_000, 3_000, LONGEST_MS]);
        let (mut watched, mut looks) = (0, 0);
        while watched < 7 * 24 * 3600 * 1_000 {
            watched += patience_ms(watched);
            looks += 1;
        }
        assert!(looks < 900, "{looks} looks");
    }
}
