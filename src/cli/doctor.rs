//! `syncmux doctor`

use std::time::Duration;

use activities::connections::Connections;
use activities::credentials::CredentialReader;
use activities::database::Database;
use activities::database::platform::{self, ConnectionInfo};
use activities::embedding::StaticTable;
use activities::platform_api::PlatformApi;
use activities::raw_store::RawStore;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::list::parse_uuid;
use crate::output::{Failure, print_json};
use crate::temporal;
use crate::worker::WorkerSettings;

/// How long a destination may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Check everything a worker needs, and say what to do about what is wrong.
///
/// Looks only; nothing is changed. Takes the settings a worker takes. Exits with 10 when something is wrong.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    settings: WorkerSettings,
    /// Also ask the destination behind this connection
    #[arg(long, value_name = "UUID", requires = "organization")]
    connection: Option<String>,
    /// Organisation that the connection belongs to
    #[arg(long, env = "SYNCMUX_ORGANIZATION_ID", value_name = "UUID")]
    organization: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    says: String,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut findings = vec![
            finding("database", self.database().await),
            finding("raw store", self.raw_store()),
            finding("temporal", self.temporal().await),
            finding("credentials", self.credentials()),
            finding("model", self.model()),
            finding("qdrant", self.native("qdrant").await),
            finding("vespa", self.native("vespa").await),
            finding("platform", self.platform()),
        ];
        if let (Some(connection), Some(organization)) = (&self.connection, &self.organization) {
            findings.push(finding("connection", self.connection(organization, connection).await));
        }
        if self.json {
            print_json(&findings)?;
        } else {
            for Finding { what, ok, says } in &findings {
                println!("{}  {what:<12} {says}", if *ok { "ok   " } else { "wrong" });
            }
        }
        match findings.iter().filter(|it| !it.ok).count() {
            0 => Ok(()),
            wrong => Err(Failure::new(
                ErrorKind::Unavailable,
                format!("{wrong} of {} checks found something", findings.len()),
            )),
        }
    }

    async fn database(&self) -> Result<String, Failure> {
        let database = Database::connect(&self.settings.database.database_url, 2).await?;
        let schema = database.migration_status().await?;
        if schema.is_current() {
            Ok("reachable, schema up to date".to_owned())
        } else {
            Err(Failure::new(ErrorKind::Conflict, "reachable, but the schema is not up to date; run `syncmux migrate`"))
        }
    }

    fn raw_store(&self) -> Result<String, Failure> {
        let store = RawStore::open(&self.settings.store.store_url)?;
        Ok(format!("configured at {}; `syncmux arf check` reads a sync", store.location()))
    }

    async fn temporal(&self) -> Result<String, Failure> {
        let client = temporal::connect(&self.settings.temporal).await?;
        let missing = temporal::missing_search_attributes(&client).await?;
        if !missing.is_empty() {
            return Err(Failure::new(
                ErrorKind::NotFound,
                format!("reachable, but search attributes are missing ({}); run `syncmux setup`", missing.join(", ")),
            ));
        }
        let queue = &self.settings.temporal.task_queue;
        match temporal::pollers(&client, queue).await? {
            0 => Err(Failure::new(
                ErrorKind::NotFound,
                format!("reachable, but no worker polls {queue}; start `syncmux worker`"),
            )),
            pollers => Ok(format!("reachable, search attributes registered, {pollers} workers poll {queue}")),
        }
    }

    fn credentials(&self) -> Result<String, Failure> {
        let key = self.settings.worker.encryption_key.as_ref();
        CredentialReader::new(key)?;
        Ok(if key.is_some() {
            "ENCRYPTION_KEY is a Fernet key"
        } else {
            "ENCRYPTION_KEY is not set; only connections without credentials work"
        }
        .to_owned())
    }

    /// A destination that the platform brings, by the worker's own settings.
    async fn native(&self, kind: &str) -> Result<String, Failure> {
        let native = self.settings.worker.native.destinations()?;
        let (configured, variable) = match kind {
            "qdrant" => (native.qdrant.is_some(), "QDRANT_HOST"),
            _ => (native.vespa.is_some(), "VESPA_URL"),
        };
        let short_name = format!("{kind}_native");
        if !configured {
            return Ok(format!("{variable} is not set; connections of kind {short_name} do not work"));
        }
        let name = short_name.clone();
        self.ask(&ConnectionInfo { connection_id: Uuid::nil(), name, short_name, native: true, credential: None }).await
    }

    /// The platform's API, by its settings: no route of it may be asked without a reason.
    fn platform(&self) -> Result<String, Failure> {
        let settings = self.settings.worker.platform_api.settings()?;
        if PlatformApi::new(&settings)?.is_none() {
            return Ok("PLATFORM_API_URL is not set; resyncs do not work".to_owned());
        }
        Ok(match (&settings.api_key, &settings.admin_api_key) {
            (_, Some(_)) => "configured, with a key for administrators",
            (Some(_), None) => {
                "configured; without PLATFORM_ADMIN_API_KEY the organisation's key has to do for rebuilds"
            }
            (None, None) => {
                "configured; PLATFORM_API_KEY is not set, so only a platform without authentication answers"
            }
        }
        .to_owned())
    }

    async fn connection(&self, organization: &str, connection: &str) -> Result<String, Failure> {
        let organization = parse_uuid("--organization", organization)?;
        let connection = parse_uuid("--connection", connection)?;
        let database = Database::connect(&self.settings.database.database_url, 2).await?;
        let connection = platform::destination_connection(&database, organization, connection).await?;
        let said = self.ask(&connection).await?;
        Ok(format!("{:?} of kind {}: {said}", connection.name, connection.short_name))
    }

    /// Asks a destination something that changes nothing there. Where it was looked for is part of both answers.
    async fn ask(&self, connection: &ConnectionInfo) -> Result<String, Failure> {
        let worker = &self.settings.worker;
        let database_url = self.settings.database.database_url.clone();
        let connections =
            Connections::new(database_url, worker.encryption_key.as_ref(), worker.native.destinations()?)?;
        let place = connections.describe(connection)?;
        match tokio::time::timeout(PATIENCE, connections.reach(connection)).await {
            Ok(Ok(())) => Ok(format!("reachable, {place}")),
            Ok(Err(error)) => Err(Failure::new(error.kind(), format!("{} ({place})", error.message()))),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                Err(Failure::new(ErrorKind::Timeout, format!("did not answer within {seconds} s ({place})")))
            }
        }
    }

    fn model(&self) -> Result<String, Failure> {
        match &self.settings.worker.model_dir {
            Some(dir) => {
                StaticTable::load(dir)?;
                Ok(format!("loads from {}", dir.display()))
            }
            None => Ok("SYNCMUX_MODEL_DIR is not set; only profiles with an embeddings server work".to_owned()),
        }
    }
}

fn finding(what: &'static str, outcome: Result<String, Failure>) -> Finding {
    match outcome {
        Ok(says) => Finding { what, ok: true, says },
        Err(failure) => Finding { what, ok: false, says: failure.to_string() },
    }
}
