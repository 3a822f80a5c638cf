//! Up, down and discard.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::LOOPBACK;
use super::options::StackOptions;
use super::paths::StackPaths;
use super::place::{PostgresPlace, remove_tree};
use super::ports::PortChoice;
use super::postgres::{self, PostgresOptions, SUPERUSER};
use super::state::{LOCK_WITHIN, PostgresRecord, StackLock, StackState, TemporalRecord};
use super::temporal::{self, TemporalServerOptions};

/// A stack that runs and answered.
///
/// Dropping it stops nothing: the servers are there for the next program too, until [`Stack::down`].
#[derive(Debug, Clone)]
pub struct Stack {
    paths: StackPaths,
    postgres: PostgresRecord,
    temporal: TemporalRecord,
}

impl Stack {
    /// Makes both servers run and waits until they answer. Running ones are used again.
    ///
    /// # Errors
    /// When the tools are not prepared, or a server does not come up in time; the message quotes its log.
    pub async fn up(options: &StackOptions) -> Result<Self> {
        let paths = StackPaths::discover(&options.dev_dir)?;
        fs::create_dir_all(&options.run_dir).with_context(|| format!("cannot make {}", options.run_dir.display()))?;
        let run_dir = options.run_dir.canonicalize()?;
        let _lock = StackLock::acquire(&run_dir, LOCK_WITHIN).await?;
        let known = StackState::load(&run_dir)?;

        let (postgres, temporal) = tokio::join!(
            postgres_up(options, &paths, &run_dir, known.postgres.as_ref()),
            temporal_up(options, &paths, &run_dir, known.temporal.as_ref()),
        );
        // Written even when one of the two failed, so that the other is not forgotten.
        let state = StackState {
            postgres: postgres.as_ref().ok().or(known.postgres.as_ref()).cloned(),
            temporal: temporal.as_ref().ok().or(known.temporal.as_ref()).cloned(),
        };
        state.save(&run_dir)?;
        Ok(Self { paths, postgres: postgres?, temporal: temporal? })
    }

    /// Stops both servers in an orderly way; their data stays. Fine when nothing runs.
    ///
    /// # Errors
    /// When a process of ours cannot be signalled.
    pub async fn down(options: &StackOptions) -> Result<()> {
        let Some(run_dir) = existing(&options.run_dir)? else { return Ok(()) };
        let _lock = StackLock::acquire(&run_dir, LOCK_WITHIN).await?;
        stop_both(options, &run_dir).await
    }

    /// Stops both servers and removes their data, logs and state.
    ///
    /// # Errors
    /// When a process of ours cannot be signalled or a file cannot be removed.
    pub async fn discard(options: &StackOptions) -> Result<()> {
        let Some(run_dir) = existing(&options.run_dir)? else { return Ok(()) };
        let _lock = StackLock::acquire(&run_dir, LOCK_WITHIN).await?;
        stop_both(options, &run_dir).await?;
        PostgresPlace::discard(&dev_dir(options)?, &run_dir)?;
        remove_tree(&run_dir)
    }

    /// URL of the superuser on the database `postgres`.
    #[must_use]
    pub fn postgres_admin_url(&self) -> String {
        self.database_url("postgres")
    }

    /// URL of the database `name` for the superuser.
    #[must_use]
    pub fn database_url(&self, name: &str) -> String {
        format!("postgres://{SUPERUSER}@{LOOPBACK}:{}/{name}", self.postgres.port)
    }

    /// Host and port of Temporal's gRPC frontend, such as `127.0.0.1:7233`.
    #[must_use]
    pub fn temporal_address(&self) -> String {
        temporal::address(self.temporal.port)
    }

    /// Where to look at the workflows with a browser.
    #[must_use]
    pub fn temporal_ui_url(&self) -> String {
        temporal::ui_url(self.temporal.ui_port)
    }

    /// The folder with the static embedding table and its tokenizer.
    #[must_use]
    pub fn model_dir(&self) -> PathBuf {
        self.paths.model_dir()
    }

    /// The Temporal CLI.
    #[must_use]
    pub fn temporal_bin(&self) -> &Path {
        self.paths.temporal_bin()
    }

    /// The Vespa CLI, for the test-suite; it need not be there.
    #[must_use]
    pub fn vespa_cli(&self) -> PathBuf {
        self.paths.vespa_cli()
    }

    /// The folder with pyvespa, for the test-suite; it need not be there.
    #[must_use]
    pub fn pyvespa_dir(&self) -> PathBuf {
        self.paths.pyvespa_dir()
    }

    /// The folder with schemathesis, for the test-suite; it need not be there.
    #[must_use]
    pub fn schemathesis_dir(&self) -> PathBuf {
        self.paths.schemathesis_dir()
    }

    /// The folder with temporalio, for the test-suite; it need not be there.
    #[must_use]
    pub fn temporalio_dir(&self) -> PathBuf {
        self.paths.temporalio_dir()
    }

    /// The process of PostgreSQL's postmaster.
    #[must_use]
    pub fn postgres_pid(&self) -> u32 {
        self.postgres.process.pid()
    }

    /// The process of the Temporal dev server.
    #[must_use]
    pub fn temporal_pid(&self) -> u32 {
        self.temporal.process.pid()
    }

    /// Ends PostgreSQL as a crash would (SIGKILL); [`Stack::up`] brings it back on the same port.
    ///
    /// # Errors
    /// When the process cannot be signalled.
    pub async fn kill9_postgres(&self) -> Result<()> {
        self.postgres.process.kill9().await
    }

    /// Ends Temporal as a crash would (SIGKILL); [`Stack::up`] brings it back on the same port.
    ///
    /// # Errors
    /// When the process cannot be signalled.
    pub async fn kill9_temporal(&self) -> Result<()> {
        self.temporal.process.kill9().await
    }

    pub(super) fn postgres_port(&self) -> u16 {
        self.postgres.port
    }
}

/// Where one server's log is.
pub(super) fn log_file(run_dir: &Path, server: &str) -> PathBuf {
    run_dir.join(format!("{server}.log"))
}

fn temporal_db_file(run_dir: &Path) -> PathBuf {
    run_dir.join("temporal.db")
}

async fn postgres_up(
    options: &StackOptions,
    paths: &StackPaths,
    run_dir: &Path,
    known: Option<&PostgresRecord>,
) -> Result<PostgresRecord> {
    if let Some(record) = known {
        if postgres::answers_within(record, options.ready_within).await {
            return Ok(record.clone());
        }
        postgres::stop(&record.process).await?;
    }
    postgres::start(&PostgresOptions {
        place: PostgresPlace::choose(paths, run_dir)?,
        log_file: log_file(run_dir, "postgres"),
        port: port(options.ports.postgres, known.map(|record| record.port)),
        durable: options.durable,
        ready_within: options.ready_within,
    })
    .await
}

async fn temporal_up(
    options: &StackOptions,
    paths: &StackPaths,
    run_dir: &Path,
    known: Option<&TemporalRecord>,
) -> Result<TemporalRecord> {
    if let Some(record) = known {
        if temporal::answers_within(paths.temporal_bin(), record, options.ready_within).await {
            return Ok(record.clone());
        }
        temporal::stop(&record.process).await?;
    }
    let server = TemporalServerOptions {
        bin: paths.temporal_bin().to_owned(),
        db_file: temporal_db_file(run_dir),
        log_file: log_file(run_dir, "temporal"),
        ready_within: options.ready_within,
    };
    let ports = [
        port(options.ports.temporal, known.map(|record| record.port)),
        port(options.ports.temporal_ui, known.map(|record| record.ui_port)),
    ];
    temporal::start(&server, ports).await
}

fn port(preferred: u16, had_before: Option<u16>) -> PortChoice {
    had_before.map_or(PortChoice::Prefer(preferred), PortChoice::Keep)
}

/// Ends what was written down, and what runs on our data although it was not.
async fn stop_both(options: &StackOptions, run_dir: &Path) -> Result<()> {
    let state = StackState::load(run_dir)?;
    let postgres = async {
        if let Some(record) = &state.postgres {
            postgres::stop(&record.process).await?;
        }
        for data_dir in PostgresPlace::data_dirs(&dev_dir(options)?, run_dir) {
            postgres::stop_strays(&data_dir).await?;
        }
        Ok(())
    };
    let temporal = async {
        if let Some(record) = &state.temporal {
            temporal::stop(&record.process).await?;
        }
        temporal::stop_strays(&temporal_db_file(run_dir)).await
    };
    tokio::try_join!(postgres, temporal)?;
    Ok(())
}

/// The folder of the tools as [`StackPaths`] names it, even when it is gone by now.
fn dev_dir(options: &StackOptions) -> Result<PathBuf> {
    Ok(existing(&options.dev_dir)?.unwrap_or_else(|| options.dev_dir.clone()))
}

fn existing(dir: &Path) -> Result<Option<PathBuf>> {
    match dir.canonicalize() {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", dir.display())),
    }
}
