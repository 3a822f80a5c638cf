//! The platform's HTTP API: start a job of a sync, look at it, cancel it.
//!
//! The platform starts a job for every request that it accepts, so a failed request is only half of what a caller has
//! to know: the other half is whether a job may have come of it. [`Refused`] says both, and `classify` is the one place
//! that decides.
//!
//! Paths have no prefix such as `/api/v1`. A key is sent to the configured address only: redirects are not followed.
//! What the platform says is quoted in messages as data, cut short and without keys (`said`).
//!
//! Start at [`PlatformApi`]. `wire` speaks HTTP, `configuration` is what a rebuild asks for.

mod classify;
mod configuration;
mod said;
mod settings;
mod wire;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

pub use classify::{Outcome, Refused};
pub use configuration::{captures_everything, is_of, mark};
pub use settings::{PlatformApiSettings, PlatformApiTiming};

use crate::database::sync_jobs::ConfigurationForm;
use crate::error::{Error, ErrorKind, Result};
use wire::{Key, Wire};

/// Bytes of an answer that is one job.
const JOB_BYTES: usize = 256 * 1024;

/// Bytes of an answer that lists jobs: some versions list every job there ever was.
const JOBS_BYTES: usize = 8 * 1024 * 1024;

/// A client of the platform's API.
#[derive(Debug)]
pub struct PlatformApi {
    wire: Wire,
    timing: PlatformApiTiming,
}

/// A job, as far as an answer is read. Everything else in it is in the job's row as well.
#[derive(Debug, Deserialize)]
struct Job {
    id: Uuid,
    status: String,
}

impl PlatformApi {
    /// A client, or none when no address is configured. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the address is not usable or a key cannot be part of an HTTP header.
    pub fn new(settings: &PlatformApiSettings) -> Result<Option<Self>> {
        let Some(base) = settings.base_url()? else { return Ok(None) };
        Ok(Some(Self { wire: Wire::new(base, settings)?, timing: settings.timing }))
    }

    /// How long it is to be waited for.
    #[must_use]
    pub fn timing(&self) -> PlatformApiTiming {
        self.timing
    }

    /// `POST /source-connections/{id}/run`: starts a job that pulls everything and captures what changed. Answers its
    /// id.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub async fn run(
        &self,
        organization_id: Uuid,
        source_connection_id: Uuid,
        force_full_sync: bool,
    ) -> Result<Uuid, Refused> {
        let mut url = self.wire.url(&["source-connections", &source_connection_id.to_string(), "run"]);
        if force_full_sync {
            url.query_pairs_mut().append_pair("force_full_sync", "true");
        }
        let request = self.wire.request(Method::POST, url, Key::Own, organization_id);
        self.wire.ask::<Job>(request, JOB_BYTES).await.map(|job| job.id)
    }

    /// `POST /admin/resync/{sync_id}`: starts a job that captures everything into the raw store and writes nothing
    /// else. Answers its id.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub async fn rebuild(
        &self,
        organization_id: Uuid,
        sync_id: Uuid,
        form: ConfigurationForm,
        operation_id: Uuid,
    ) -> Result<Uuid, Refused> {
        let url = self.wire.url(&["admin", "resync", &sync_id.to_string()]);
        let body: Value = configuration::body(form, operation_id);
        let request = self.wire.request(Method::POST, url, Key::Admin, organization_id).json(&body);
        self.wire.ask::<Job>(request, JOB_BYTES).await.map(|job| job.id)
    }

    /// `POST /source-connections/{id}/jobs/{job}/cancel`: asks for the end of a job.
    ///
    /// # Errors
    ///
    /// See [`Refused`]; that the job has ended already is a refusal as well.
    pub async fn cancel(&self, organization_id: Uuid, source_connection_id: Uuid, job_id: Uuid) -> Result<(), Refused> {
        let path = ["source-connections", &source_connection_id.to_string(), "jobs", &job_id.to_string(), "cancel"];
        let request = self.wire.request(Method::POST, self.wire.url(&path), Key::Own, organization_id);
        self.wire.ask::<Job>(request, JOB_BYTES).await.map(|_| ())
    }

    /// `GET /source-connections/{id}/jobs`: the status of one job. The list is neither complete nor sorted in every
    /// version, so the job is looked for in it.
    ///
    /// # Errors
    ///
    /// `NotFound` when the job is not listed, otherwise what went wrong.
    pub async fn status(&self, organization_id: Uuid, source_connection_id: Uuid, job_id: Uuid) -> Result<String> {
        let mut url = self.wire.url(&["source-connections", &source_connection_id.to_string(), "jobs"]);
        url.query_pairs_mut().append_pair("limit", "100");
        let request = self.wire.request(Method::GET, url, Key::Own, organization_id);
        let jobs: Vec<Job> = self.wire.ask(request, JOBS_BYTES).await.map_err(|refused| refused.error)?;
        jobs.into_iter()
            .find(|job| job.id == job_id)
            .map(|job| said::quote(&job.status, &[]))
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "the platform's API does not list the job"))
    }

    /// What the platform says, fit for a message: one line, cut short, without the keys.
    #[must_use]
    pub fn quote(&self, text: &str) -> String {
        said::quote(text, &self.wire.secrets())
    }
}
