//! `syncmux doctor`

use std::path::PathBuf;
use std::time::Duration;

use activities::connections::Connections;
use activities::credentials::CredentialReader;
use activities::database::platform::{self, ConnectionInfo};
use activities::database::{Database, clock};
use activities::embedding::StaticTable;
use activities::platform_api::PlatformApi;
use activities::raw_store::RawStore;
use chrono::{TimeDelta, Utc};
use clap::Args;
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use temporalio_client::{Client, NamespacedClient as _};
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::list::parse_uuid;
use crate::output::{Failure, print_json};
use crate::temporal;
use crate::worker::WorkerSettings;

/// How long a destination may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Free space below which a disk counts as full.
const LEAST_FREE: u64 = 1 << 30;

/// How far this machine's clock may be from the database's. A fence lasts 30 s.
const MOST_AHEAD: TimeDelta = TimeDelta::seconds(5);

/// Check everything a worker needs, and say what to do about what is wrong.
///
/// Looks only; nothing is changed. Takes the settings a worker takes. Exits with 10 when something
/// is wrong.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux doctor
  syncmux doctor --connection $CONNECTION")]
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

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    says: String,
    /// What to do about it, when it is wrong.
    #[serde(skip_serializing_if = "str::is_empty")]
    next_step: &'static str,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), Failure> {
        const NATIVE: &str = "mend the address or the credentials in the worker's environment, or start that server";
        let mut findings = self.database().await;
        findings.push(finding(
            "raw store",
            self.raw_store(),
            "set ARF_STORE_URL to the folder or bucket that the platform writes raw data to",
        ));
        findings.push(finding("disk", self.disk(), "free or add space there; a full disk holds every operation up"));
        findings.extend(self.temporal().await);
        findings.push(finding(
            "credentials",
            self.credentials(),
            "set ENCRYPTION_KEY to the Fernet key that the platform uses",
        ));
        findings.push(finding(
            "model",
            self.model(),
            "set SYNCMUX_MODEL_DIR to the folder of the embedding table, such as .dev/model after `make prepare`",
        ));
        findings.push(finding("qdrant", self.native("qdrant").await, NATIVE));
        findings.push(finding("vespa", self.native("vespa").await, NATIVE));
        findings.push(finding(
            "platform",
            self.platform(),
            "mend PLATFORM_API_URL or the files of the keys; only resyncs need them",
        ));
        if let (Some(connection), Some(organization)) = (&self.connection, &self.organization) {
            findings.push(finding(
                "connection",
                self.connection(organization, connection).await,
                "mend the connection's credentials in the platform, or start that server",
            ));
        }
        self.print(&findings)
    }

    fn print(&self, findings: &[Finding]) -> Result<(), Failure> {
        if self.json {
            print_json(&findings)?;
        } else {
            for Finding { what, ok, says, next_step } in findings {
                println!("{}  {what:<18} {says}", if *ok { "ok   " } else { "wrong" });
                if !ok {
                    println!("{:26}{next_step}", "");
                }
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

    /// The database, its schema and its clock.
    async fn database(&self) -> Vec<Finding> {
        const REACH: &str =
            "set DATABASE_URL to the platform's Postgres, and look whether it runs and lets this user in";
        let database = match Database::connect(&self.settings.database.database_url, 2).await {
            Ok(database) => database,
            Err(error) => return vec![finding("database", Err(error.into()), REACH)],
        };
        vec![
            finding("database", Ok("reachable".to_owned()), REACH),
            finding("schema", schema(&database).await, "run `syncmux migrate`"),
            finding(
                "clock",
                clock(&database).await,
                "let both machines follow a time server: fences and reverse windows end by the database's clock",
            ),
        ]
    }

    fn raw_store(&self) -> Result<String, Failure> {
        let store = RawStore::open(&self.settings.store.store_url)?;
        Ok(format!("configured at {}; `syncmux arf check` reads a sync", store.location()))
    }

    /// Space on the disks of this machine that are used: that of a local raw store, and that of temporary files.
    fn disk(&self) -> Result<String, Failure> {
        let mut places = vec![std::env::temp_dir()];
        let store = &self.settings.store.store_url;
        let local = store.strip_prefix("file://").unwrap_or(store);
        places.extend(Some(PathBuf::from(local)).filter(|path| path.is_dir()));
        let mut told = Vec::new();
        for place in places {
            let at = statvfs(&place).map_err(std::io::Error::from)?;
            let (free, all) = (at.blocks_available() * at.fragment_size(), at.blocks() * at.fragment_size());
            let words = format!("{} of {} MiB free at {}", free >> 20, all >> 20, place.display());
            if free < LEAST_FREE {
                return Err(Failure::new(ErrorKind::OutOfSpace, words));
            }
            told.push(words);
        }
        Ok(told.join(", "))
    }

    /// Temporal, the search attributes of its namespace, and the workers on the task queue.
    async fn temporal(&self) -> Vec<Finding> {
        const REACH: &str =
            "set TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and, where it is wanted, TEMPORAL_TLS_* or TEMPORAL_API_KEY";
        let client = match temporal::connect(&self.settings.temporal).await {
            Ok(client) => client,
            Err(failure) => return vec![finding("temporal", Err(failure), REACH)],
        };
        vec![
            finding("temporal", Ok(format!("reachable, namespace {}", client.namespace())), REACH),
            finding(
                "search attributes",
                search_attributes(&client).await,
                "run `syncmux setup`, or have somebody register them who may",
            ),
            finding(
                "workers",
                workers(&client, &self.settings.temporal.task_queue).await,
                "start `syncmux worker`; its --task-queue, namespace and database must be these",
            ),
        ]
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
        let settings = self.settings.worker.platform_api.settings();
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

async fn schema(database: &Database) -> Result<String, Failure> {
    let status = database.migration_status().await?;
    if status.is_current() {
        Ok("up to date".to_owned())
    } else {
        Err(Failure::new(ErrorKind::Conflict, format!("{} migrations are not applied", status.pending.len())))
    }
}

async fn clock(database: &Database) -> Result<String, Failure> {
    let asked = Utc::now();
    let there = clock::now(database).await?;
    let answered = Utc::now();
    // Whatever time the question took, the answer was made in between.
    let ahead = (there - answered).max(asked - there).max(TimeDelta::zero());
    let words = format!("{} ms from the database's", ahead.num_milliseconds());
    if ahead > MOST_AHEAD { Err(Failure::new(ErrorKind::Conflict, words)) } else { Ok(words) }
}

async fn search_attributes(client: &Client) -> Result<String, Failure> {
    let missing = temporal::missing_search_attributes(client).await?;
    if missing.is_empty() {
        Ok("registered".to_owned())
    } else {
        Err(Failure::new(
            ErrorKind::NotFound,
            format!("missing: {}; workflows wait until they are registered", missing.join(", ")),
        ))
    }
}

async fn workers(client: &Client, queue: &str) -> Result<String, Failure> {
    match temporal::pollers(client, queue).await? {
        0 => Err(Failure::new(ErrorKind::NotFound, format!("nobody polls {queue}"))),
        pollers => Ok(format!("{pollers} poll {queue}")),
    }
}

fn finding(what: &'static str, outcome: Result<String, Failure>, next_step: &'static str) -> Finding {
    match outcome {
        Ok(says) => Finding { what, ok: true, says, next_step: "" },
        Err(failure) => Finding { what, ok: false, says: failure.to_string(), next_step },
    }
}
