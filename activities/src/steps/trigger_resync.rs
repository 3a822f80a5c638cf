//! `trigger_resync`: makes the platform start one job, and one only. Undo: `cancel_resync`.
//!
//! The platform starts a job for every request it accepts. So before it is asked that is recorded, together with the
//! jobs there are; whoever finds that record without a job looks for one that appeared since, and asks again only when
//! it is certain that none will.

use std::time::Duration;

use proto::v1::{PlatformJob, TriggerResyncInput};
use uuid::Uuid;

use super::resync_job::{self, Found, find, occupied, shown};
use crate::context::Context;
use crate::database::resyncs::{self, Posting, Resync, ResyncScope};
use crate::database::{operations, platform, sync_jobs};
use crate::error::{Error, ErrorKind, Result};
use crate::platform_api::{Outcome, PlatformApi, Refused, captures_everything};

/// How often the platform may say that a job is active when its table shows none.
const DISAGREEMENTS: u32 = 3;

pub(crate) async fn run(context: &Context, input: TriggerResyncInput) -> Result<PlatformJob> {
    let request = input.request.unwrap_or_default();
    let scope = resync_job::scope(&request.organization_id, &request.sync_id, &input.operation_id)?;
    let api = context.platform_api()?;
    operations::set_phase(&context.database, scope.organization_id, scope.operation_id, "trigger").await?;
    let wait = Duration::from_secs(request.options.unwrap_or_default().wait_seconds.into());
    let (mut lost, mut disagreements) = (None, 0);
    loop {
        let resync = resyncs::get(&context.database, &scope).await?;
        match find(context, &scope, &resync).await? {
            Found::Job(job_id) => return accept(context, &scope, &resync, job_id).await,
            Found::NotYet => {
                tokio::time::sleep(api.timing().poll).await;
                continue;
            }
            Found::Nothing if resync.posted_for.is_some() => {
                resyncs::take_back(&context.database, &scope).await?;
                if let Some(error) = lost.take() {
                    return Err(error);
                }
            }
            Found::Nothing => {}
        }
        match resyncs::mark_posted(&context.database, &scope).await? {
            Posting::Go => {}
            Posting::Occupied(job) if resync.begun_for < wait.as_secs_f64() => {
                tracing::debug!(job_id = %job.job_id, status = %job.status, "waiting for a job of the platform");
                tokio::time::sleep(api.timing().poll).await;
                continue;
            }
            Posting::Occupied(job) => return Err(occupied(&job)),
        }
        let Err(Refused { error, outcome }) = ask(context, api, &scope, resync.rebuild).await else { continue };
        match outcome {
            Outcome::Unknown => {
                tracing::warn!(error = error.chain(), "the platform's answer was lost; looking for its job");
                lost = Some(error);
            }
            Outcome::Over => {
                // What it did is done: one look tells.
                let asked = resyncs::get(&context.database, &scope).await?;
                if !matches!(find(context, &scope, &asked).await?, Found::Job(_)) {
                    resyncs::take_back(&context.database, &scope).await?;
                    return Err(error);
                }
            }
            Outcome::Occupied if disagreements < DISAGREEMENTS => {
                disagreements += 1;
                resyncs::take_back(&context.database, &scope).await?;
                tokio::time::sleep(api.timing().poll).await;
            }
            Outcome::Nothing | Outcome::Occupied | Outcome::NoCursor => {
                resyncs::take_back(&context.database, &scope).await?;
                return Err(error);
            }
        }
    }
}

/// Asks the platform, and records the job it names.
async fn ask(context: &Context, api: &PlatformApi, scope: &ResyncScope, rebuild: bool) -> Result<(), Refused> {
    let ResyncScope { organization_id, sync_id, operation_id } = *scope;
    // Before the platform is asked nothing has come of it.
    let early = |error: Error| Refused { error, outcome: Outcome::Nothing };
    let job_id = if rebuild {
        let form = sync_jobs::configuration_form(&context.database).await.map_err(early)?;
        api.rebuild(organization_id, sync_id, form, operation_id).await?
    } else {
        let source = platform::source_connection(&context.database, organization_id, sync_id).await.map_err(early)?;
        match api.run(organization_id, source, true).await {
            // Without a cursor every job pulls everything; some versions refuse to be told so.
            Err(Refused { outcome: Outcome::NoCursor, .. }) => api.run(organization_id, source, false).await?,
            answered => answered?,
        }
    };
    tracing::info!(%job_id, %operation_id, rebuild, "the platform started a job");
    // The job is there, whatever becomes of recording it.
    let late = |error: Error| Refused { error, outcome: Outcome::Over };
    resyncs::record_job(&context.database, scope, job_id).await.map_err(late)
}

/// The job of this resync; when it was asked for a rebuild, it has to be one.
async fn accept(context: &Context, scope: &ResyncScope, resync: &Resync, job_id: Uuid) -> Result<PlatformJob> {
    let job = sync_jobs::get(&context.database, scope.organization_id, scope.sync_id, job_id).await?;
    if resync.rebuild && !captures_everything(&job) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "the platform did not take the configuration of job {job_id}, so it is an ordinary job and rebuilds \
                 nothing; its version is not known here"
            ),
        ));
    }
    shown(context, &job)
}
