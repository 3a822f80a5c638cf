//! Resyncs of this world.

use std::time::Duration;

use proto::v1::{ResyncOptions, ResyncRequest, ResyncResult};
use sync_multiplexer::output::Failure;
use sync_multiplexer::temporal;
use temporalio_client::{Client, WorkflowHandle};
use workflows::resync::ResyncWorkflow;
use workflows::resync_workflow_id;

use crate::platform_api::PlatformServer;
use crate::{AnyWorkflow, Worker, World, progress, until};

/// For a job to get somewhere.
const SHORTLY: Duration = Duration::from_secs(30);

impl World {
    /// A worker that knows the platform's API.
    #[must_use]
    pub fn worker_at(&self, platform: &PlatformServer) -> Worker {
        self.worker_among(&platform.variables())
    }

    /// A request to resync this world's sync. A platform that is away is not waited for long.
    #[must_use]
    pub fn resync_request(&self) -> ResyncRequest {
        ResyncRequest {
            organization_id: self.ids.organization_id.to_string(),
            sync_id: self.ids.sync_id.to_string(),
            requested_by: "a test".to_owned(),
            options: Some(ResyncOptions { away_limit_seconds: 20, ..ResyncOptions::default() }),
            ..ResyncRequest::default()
        }
    }

    /// Starts a resync.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_resync(
        &self,
        request: &ResyncRequest,
    ) -> Result<WorkflowHandle<Client, ResyncWorkflow>, Failure> {
        temporal::start_resync(&self.client, &self.task_queue, request).await
    }

    /// Resyncs and waits for the end.
    ///
    /// # Errors
    ///
    /// What the resync failed with.
    pub async fn resync(&self, request: &ResyncRequest) -> Result<ResyncResult, Failure> {
        temporal::watch_resync(&self.start_resync(request).await?, |_| {}).await
    }

    /// The workflow that resyncs this world's sync.
    #[must_use]
    pub fn resync_workflow(&self) -> AnyWorkflow {
        self.any_workflow(&resync_workflow_id(&self.ids.sync_id.to_string()))
    }

    /// Waits until the resync sees its job in a status.
    ///
    /// # Panics
    ///
    /// When it does not come to that.
    pub async fn until_job_is(&self, status: &str) {
        let handle = self.resync_workflow();
        until(&format!("a job that is {status}"), SHORTLY, async || {
            let job = progress(&handle).await.and_then(|progress| progress.platform_job);
            job.is_some_and(|job| job.status == status)
        })
        .await;
    }
}
