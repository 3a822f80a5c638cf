//! The demo's worker: a process of its own, so that it can outlive the demo, or be killed to see what happens.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use activities::Settings;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use secrecy::ExposeSecret as _;
use workflows::domain::ErrorKind;

use crate::config::TemporalArgs;
use crate::output::Failure;
use crate::stack::{ServerProcess, StackOptions};

/// How long a worker may take to hand over.
const GRACE: Duration = Duration::from_secs(15);

/// A worker that was started.
pub(super) struct WorkerProcess {
    process: ServerProcess,
    log: PathBuf,
}

impl WorkerProcess {
    /// Starts this very program as a worker and writes down which process it is.
    pub(super) fn start(options: &StackOptions, settings: &Settings, temporal: &TemporalArgs) -> Result<Self, Failure> {
        let log = options.run_dir.join("worker.log");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--log", "info", "worker", "--task-queue", &temporal.task_queue, "--store", &settings.store_url]);
        command.args(["--database-url", settings.database_url.expose_secret()]);
        if let Some(address) = &temporal.temporal_address {
            command.args(["--temporal-address", address]);
        }
        // Not as an argument: a key may begin with a dash.
        if let Some(key) = &settings.encryption_key {
            command.env("ENCRYPTION_KEY", key.expose_secret());
        }
        if let Some(dir) = &settings.model_dir {
            command.arg("--model-dir").arg(dir);
        }
        let process = ServerProcess::detach(command, File::create(&log)?)?;
        fs::write(record(options), serde_json::to_vec(&process)?)?;
        Ok(Self { process, log })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }
}

/// Stops the demo's worker, whichever program started it. Fine when none runs.
///
/// # Errors
///
/// When the process cannot be signalled or its record cannot be read.
pub async fn stop(options: &StackOptions) -> Result<(), Failure> {
    let record = record(options);
    let Ok(bytes) = fs::read(&record) else { return Ok(()) };
    // A record that was cut off by a crash names no process that could be ours.
    if let Ok(process) = serde_json::from_slice::<ServerProcess>(&bytes)
        && process.is_running()
    {
        process.stop(Signal::SIGTERM, GRACE).await?;
    }
    fs::remove_file(&record)?;
    Ok(())
}

fn record(options: &StackOptions) -> PathBuf {
    options.run_dir.join("worker.json")
}

/// One demo at a time; the lock goes with the process, however it ends.
pub(super) struct DemoLock(#[allow(dead_code, reason = "held, not read")] Flock<File>);

impl DemoLock {
    pub(super) fn acquire(run_dir: &Path) -> Result<Self, Failure> {
        let file = File::create(run_dir.join("demo.lock"))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map(Self).map_err(|_| {
            Failure::new(ErrorKind::Conflict, "another demo is running in this checkout; wait for it, or stop it")
        })
    }
}
