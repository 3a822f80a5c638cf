//! Which job of the platform is a resync's.

use proto::v1::PlatformJob;
use uuid::Uuid;

use crate::context::Context;
use crate::database::resyncs::{self, Resync, ResyncScope};
use crate::database::sync_jobs::{self, SyncJob};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::platform_api::{captures_everything, is_of};

/// What is known of the job.
#[derive(Debug)]
pub(super) enum Found {
    /// It is this one, and on record.
    Job(Uuid),
    /// The platform was not asked, or no job came of it.
    Nothing,
    /// The platform was asked, and a job may still come of it.
    NotYet,
}

/// The resync that a step works for.
pub(super) fn scope(organization_id: &str, sync_id: &str, operation_id: &str) -> Result<ResyncScope> {
    Ok(ResyncScope {
        organization_id: ids::uuid("organization_id", organization_id)?,
        sync_id: ids::uuid("sync_id", sync_id)?,
        operation_id: ids::uuid("operation_id", operation_id)?,
    })
}

/// Finds the job by the record, or among the jobs that appeared since the platform was asked; then it is recorded.
pub(super) async fn find(context: &Context, scope: &ResyncScope, resync: &Resync) -> Result<Found> {
    if let Some(job_id) = resync.job_id {
        return Ok(Found::Job(job_id));
    }
    let Some(posted_for) = resync.posted_for else { return Ok(Found::Nothing) };
    let appeared = resyncs::appeared(&context.database, scope).await?;
    match ours(appeared, scope, resync.rebuild)? {
        Some(job_id) => {
            resyncs::record_job(&context.database, scope, job_id).await?;
            tracing::info!(%job_id, operation_id = %scope.operation_id, "found the job whose answer was lost");
            Ok(Found::Job(job_id))
        }
        None if posted_for < settled_after(context)? => Ok(Found::NotYet),
        None => Ok(Found::Nothing),
    }
}

/// The job that was asked for, of those that appeared since. When there are several, it is the one that is active.
fn ours(appeared: Vec<SyncJob>, scope: &ResyncScope, rebuild: bool) -> Result<Option<Uuid>> {
    let mut candidates: Vec<SyncJob> = appeared
        .into_iter()
        .filter(|job| is_of(job, scope.operation_id) != Some(false) && captures_everything(job) == rebuild)
        .collect();
    if let Some(marked) = candidates.iter().find(|job| is_of(job, scope.operation_id) == Some(true)) {
        return Ok(Some(marked.job_id));
    }
    if candidates.len() > 1 {
        candidates.retain(|job| job.status.is_active());
        if candidates.len() != 1 {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the answer of the platform was lost, and several jobs of sync {} appeared meanwhile, so it is not \
                     known which one was asked for: look at them there",
                    scope.sync_id
                ),
            ));
        }
    }
    Ok(candidates.first().map(|job| job.job_id))
}

fn settled_after(context: &Context) -> Result<f64> {
    Ok(context.platform_api()?.timing().settled_after.as_secs_f64())
}

/// A job as its row shows it, with what the platform says of it fit for people.
pub(super) async fn look(context: &Context, scope: &ResyncScope, job_id: Uuid) -> Result<PlatformJob> {
    let job = sync_jobs::get(&context.database, scope.organization_id, scope.sync_id, job_id).await?;
    shown(context, &job)
}

/// A job as it is shown.
pub(super) fn shown(context: &Context, job: &SyncJob) -> Result<PlatformJob> {
    let view = job.view();
    let error = context.platform_api()?.quote(&view.error);
    Ok(PlatformJob { error, ..view })
}

/// The answer when a job keeps a resync from starting one.
pub(super) fn occupied(job: &SyncJob) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "job {} of this sync is {} at the platform: wait for it (wait_seconds), or cancel it there",
            job.job_id, job.status
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sqlx::types::Json;

    use super::*;
    use crate::database::sync_jobs::JobStatus;
    use crate::platform_api::mark;

    const US: Uuid = Uuid::from_u128(7);

    fn job(id: u128, status: JobStatus) -> SyncJob {
        SyncJob {
            job_id: Uuid::from_u128(id),
            status,
            scheduled: false,
            inserted: 0,
            updated: 0,
            deleted: 0,
            kept: 0,
            skipped: 0,
            encountered: None,
            error: None,
            started_at: None,
            ended_at: None,
            configuration: None,
            tags: None,
        }
    }

    fn tagged(job: SyncJob, tags: Value) -> SyncJob {
        SyncJob { tags: Some(Json(tags)), ..job }
    }

    fn found(appeared: Vec<SyncJob>, rebuild: bool) -> Result<Option<u128>> {
        let scope = ResyncScope { organization_id: US, sync_id: US, operation_id: US };
        Ok(ours(appeared, &scope, rebuild)?.map(|id| id.as_u128()))
    }

    #[test]
    fn a_job_that_appeared_alone_or_is_the_only_active_one_is_ours() {
        use JobStatus::{Completed, Failed, Running};
        assert_eq!(found(vec![], false).expect("no job"), None);
        assert_eq!(found(vec![job(1, Completed)], false).expect("it ended already"), Some(1));
        assert_eq!(found(vec![job(1, Failed), job(2, Running)], false).expect("the active one"), Some(2));
        for several in [vec![job(1, Failed), job(2, Completed)], vec![job(1, Running), job(2, Running)]] {
            assert_eq!(found(several, false).expect_err("nobody can know").kind(), ErrorKind::Conflict);
        }
    }

    #[test]
    fn marks_and_configurations_decide_where_there_are_some() {
        use JobStatus::Running;
        let ours = tagged(job(1, Running), json!(["manual", mark(US)]));
        let theirs = tagged(job(2, Running), json!(["manual"]));
        assert_eq!(found(vec![job(3, Running), theirs.clone(), ours], false).expect("the marked one"), Some(1));
        assert_eq!(found(vec![theirs], false).expect("somebody else's"), None);
        assert_eq!(found(vec![job(3, Running)], true).expect("an ordinary job is no rebuild"), None);
    }
}
