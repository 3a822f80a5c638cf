//! `cancel_resync`: undo of `trigger_resync`. Cancels the job that this operation started, if it did, and waits until
//! it has ended.
//!
//! The platform takes its time: the job is told to stop and says itself when it has. One that does not react is ended
//! by the platform's own reaper after some minutes, so this waits rather than believes. How long is up to the caller.

use proto::v1::{CancelResyncInput, CancelResyncOutput, PlatformJob};
use uuid::Uuid;

use super::resync_job::{self, Found, find, look};
use crate::context::Context;
use crate::database::platform;
use crate::database::resyncs::{self, ResyncScope};
use crate::database::sync_jobs::JobStatus;
use crate::error::{ErrorKind, Result};
use crate::platform_api::Outcome;

/// How often the platform may refuse to cancel a job that has not ended.
const REFUSALS: u32 = 5;

pub(crate) async fn run(context: &Context, input: CancelResyncInput) -> Result<CancelResyncOutput> {
    let scope = resync_job::scope(&input.organization_id, &input.sync_id, &input.operation_id)?;
    let Some(job_id) = job(context, &scope).await? else { return Ok(CancelResyncOutput { job: None }) };
    let job = end(context, &scope, job_id).await?;
    tracing::info!(%job_id, status = job.status, "undo: the platform's job has ended");
    Ok(CancelResyncOutput { job: Some(job) })
}

/// The job of this operation. While it is not certain that there is none, it is looked for.
async fn job(context: &Context, scope: &ResyncScope) -> Result<Option<Uuid>> {
    loop {
        let Some(resync) = resyncs::find(&context.database, scope).await? else { return Ok(None) };
        match find(context, scope, &resync).await? {
            Found::Job(job_id) => return Ok(Some(job_id)),
            Found::Nothing => return Ok(None),
            Found::NotYet => tokio::time::sleep(context.platform_api()?.timing().poll).await,
        }
    }
}

/// Cancels a job unless it has ended, and waits until it has.
async fn end(context: &Context, scope: &ResyncScope, job_id: Uuid) -> Result<PlatformJob> {
    let api = context.platform_api()?;
    let (mut asked, mut refusals) = (false, 0);
    loop {
        let job = match look(context, scope, job_id).await {
            // The platform removed it, with its sync.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(PlatformJob { sync_job_id: job_id.to_string(), ..PlatformJob::default() });
            }
            looked => looked?,
        };
        let status: JobStatus = job.status.parse()?;
        if status.has_ended() {
            return Ok(job);
        }
        if !asked && status != JobStatus::Cancelling {
            let source = platform::source_connection(&context.database, scope.organization_id, scope.sync_id).await?;
            match api.cancel(scope.organization_id, source, job_id).await {
                Ok(()) => asked = true,
                // It may have ended, or not have begun, just now.
                Err(refused) if refused.outcome == Outcome::Nothing && refusals < REFUSALS => {
                    if refused.error.kind().is_retryable() {
                        return Err(refused.error);
                    }
                    refusals += 1;
                }
                Err(refused) => return Err(refused.error),
            }
        }
        tokio::time::sleep(api.timing().poll).await;
    }
}
