//! `watch_resync`: looks at the platform's job until it ends, its status changes, or patience is over. Read only.
//!
//! The row decides. What the API says is put beside it, for people who see only the API; an API that is away does not
//! keep a job from being watched.

use std::time::Duration;

use proto::v1::{PlatformJob, WatchResyncInput};
use tokio::time::Instant;
use uuid::Uuid;

use super::resync_job::{self, shown};
use crate::context::Context;
use crate::database::resyncs::{self, ResyncScope};
use crate::database::{operations, platform, sync_jobs};
use crate::error::{Error, ErrorKind, Result};

/// How long the API may take to say what it thinks.
const API_PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at most, however long the job takes.
const LONGEST_POLL: Duration = Duration::from_secs(5);

pub(crate) async fn run(context: &Context, input: WatchResyncInput) -> Result<PlatformJob> {
    let scope = resync_job::scope(&input.organization_id, &input.sync_id, &input.operation_id)?;
    operations::set_phase(&context.database, scope.organization_id, scope.operation_id, "watch").await?;
    let job_id = resyncs::get(&context.database, &scope)
        .await?
        .job_id
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a resync is watched that has no job"))?;
    let until = Instant::now() + Duration::from_millis(input.patience_ms);
    let mut poll = context.platform_api()?.timing().poll;
    let job = loop {
        let job = sync_jobs::get(&context.database, scope.organization_id, scope.sync_id, job_id).await?;
        if job.status.has_ended() || job.status.as_str() != input.known_status || Instant::now() >= until {
            break job;
        }
        tokio::time::sleep_until(until.min(Instant::now() + poll)).await;
        poll = (poll * 2).min(LONGEST_POLL);
    };
    Ok(PlatformJob { status_by_api: by_api(context, &scope, job_id).await, ..shown(context, &job)? })
}

/// What the API says, or in brackets why that is not known.
async fn by_api(context: &Context, scope: &ResyncScope, job_id: Uuid) -> String {
    let asked = async {
        let source = platform::source_connection(&context.database, scope.organization_id, scope.sync_id).await?;
        context.platform_api()?.status(scope.organization_id, source, job_id).await
    };
    match tokio::time::timeout(API_PATIENCE, asked).await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => format!("({})", error.kind()),
        Err(_) => format!("({})", ErrorKind::Timeout),
    }
}
